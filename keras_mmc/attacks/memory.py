"""What a runner remembers of an attack: finished batches, which an interrupted audit finds again.

A memory is called with the name of an attack, the numbers of the images that it is to attack,
`(n,)`, and a function that attacks those it is given and yields a `Part` for each batch as soon as
it is finished, none if there is no image. It returns parts in which all these images occur, from
wherever it has them.
"""

from collections.abc import Callable, Iterable

import numpy as np

Part = dict[str, np.ndarray]
"""Arrays of a batch; `rows` holds the numbers of its images."""
Remember = Callable[[str, np.ndarray, Callable[[np.ndarray], Iterable[Part]]], list[Part]]


def broken_of(parts: list[Part], rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which of the images `rows` were broken, in order, and their adversarial examples.

    Args:
        parts: batches with the broken images as `broken`, `(m,)`, and what they became as `x_adv`,
            `(m, ...)`; they may hold other images too.
        rows: numbers of images, `(n,)`.
    """
    broken, x_adv = (np.concatenate([part[key] for part in parts]) for key in ("broken", "x_adv"))
    found, places = np.unique(broken, return_index=True)
    ours = np.isin(found, rows)
    return found[ours], x_adv[places[ours]]

"""Which attacks a suite runs, and in which order."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from keras_mmc._choices import SUITES
from keras_mmc.attacks import (
    MIM,
    PGD,
    Attack,
    AutoAttack,
    Ball,
    MultiTargeted,
    NearestWrongCenter,
    Transfer,
)
from keras_mmc.evaluation.protocols import PROTOCOLS, Trial, make_protocol

NAIVE = "naive pgd (cross-entropy)"
TRANSFER = "transfer (mim)"

_SUITES_WITH_SUBSTITUTE = ("adaptive", "mmc")


@dataclasses.dataclass(frozen=True)
class Suite:
    """The attacks of an audit.

    Attributes:
        name: name of the suite.
        attacks: attacks inside the ball by name, the naive control first; each runs on the images
            that those before it did not break.
        trials: attacks of a paper by name; each runs on its own.
        notes: sentences a report must show.
    """

    name: str
    attacks: dict[str, Attack]
    trials: dict[str, Trial] = dataclasses.field(default_factory=dict)
    notes: tuple[str, ...] = ()


def make_suite(
    suite: str,
    within: Ball,
    image_shape: Sequence[int],
    num_classes: int,
    substitute: Any = None,
) -> Suite:
    """The attacks of a suite.

    Args:
        suite: `"quick"`, `"standard"` (AutoAttack), `"adaptive"` (AutoAttack, then the attacks
            made against center losses), or a paper of `PROTOCOLS`: its attacks, then `"standard"`.
        within: the ball that the attacks search.
        image_shape: shape of an image, such as `(H, W, C)`.
        num_classes: number of classes K.
        substitute: a second model to craft adversarial examples on, for `"adaptive"` and `"mmc"`.

    Raises:
        ValueError: for an unknown suite, or a substitute that the suite does not use.
    """
    if suite not in SUITES:
        raise ValueError(f"`suite` must be one of {list(SUITES)}; received {suite!r}.")
    if substitute is not None and suite not in _SUITES_WITH_SUBSTITUTE:
        raise ValueError(
            f"The suite {suite!r} does not use a substitute model. Leave `substitute` out, or "
            f"choose one of {list(_SUITES_WITH_SUBSTITUTE)}."
        )
    ball = dataclasses.asdict(within)
    naive: dict[str, Attack] = {NAIVE: PGD(**ball, steps=20, objective="cross_entropy")}
    if suite == "quick":
        restarted = {"pgd-50 (margin) x 5": PGD(**ball, steps=50, restarts=5)}
        attacks = naive | restarted | {"nearest wrong center": _nearest_wrong(ball, steps=100)}
        made = Suite(suite, attacks)
    else:
        strong, notes = AutoAttack(**ball).attacks(num_classes)
        if len(image_shape) != 3:
            del strong["square"]
            notes += ("Square changes squares of images (N, H, W, C) and was left out.",)
        if suite == "adaptive":
            strong["nearest wrong center"] = _nearest_wrong(ball, steps=600)
            strong["multi-targeted pgd (margin)"] = MultiTargeted(**ball, steps=50)
        made = Suite(suite, naive | strong, notes=notes)
    if suite in PROTOCOLS:
        protocol = make_protocol(suite, within, image_shape, substitute)
        return Suite(suite, made.attacks, protocol.trials, (*protocol.notes, *made.notes))
    if substitute is None:
        return made
    transfer = {TRANSFER: Transfer(MIM(**ball, steps=10), substitute)}
    return dataclasses.replace(made, attacks=made.attacks | transfer)


def _nearest_wrong(ball, steps):
    """The critics' step of 0.5/255 for eps = 8/255, in proportion for other balls."""
    return NearestWrongCenter(**ball, steps=steps, step_size=ball["eps"] / 16)

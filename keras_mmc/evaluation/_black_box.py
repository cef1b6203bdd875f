"""What an audit of a black box runs, and what it may say of the result."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from keras_mmc._choices import BLACK_BOX
from keras_mmc.adapters import BlackBox
from keras_mmc.attacks import MIM, Attack, Ball, RayS, Square, Transfer
from keras_mmc.evaluation.checkpoint import digest_of_weights
from keras_mmc.evaluation.rows import AttackRow

TRANSFER = "transfer (mim)"
QUERIES = 5000
UPPER_BOUND = (
    "A black box is attacked without gradients: the robust accuracy is an upper bound, the "
    "fraction of images that these attacks did not break with these queries. Attacks with "
    "gradients would break more. There is no naive control, and no check that needs gradients."
)


def attacks_in(suite: Any) -> Iterable[Any]:
    """The attacks of a `Suite`, a dict or a list; one attack alone is a list of one."""
    attacks = getattr(suite, "attacks", suite)
    if isinstance(attacks, Mapping):
        return attacks.values()
    return attacks if isinstance(attacks, Sequence) else [attacks]


def as_black_box(model: Any, suite: Any) -> Any:
    """A function as a `BlackBox`; a Keras model too, where the suite is `"black_box"`.

    Raises:
        ValueError: for a black box with a suite whose attacks take gradients.
    """
    is_model = isinstance(model, keras.Layer) and not isinstance(model, BlackBox)
    if is_model and suite == BLACK_BOX:
        return BlackBox(model, digest=digest_of_weights(model))
    if is_model or not callable(model):
        return model
    if isinstance(suite, str):
        needs_gradients, name = suite != BLACK_BOX, suite
    else:
        attacks, name = list(attacks_in(suite)), "custom"
        needs_gradients = any(getattr(attack, "uses_gradients", True) for attack in attacks)
    if needs_gradients:
        raise ValueError(
            f"The suite {name!r} takes gradients of a Keras model; received {model!r}, which only "
            "answers. Pass suite='black_box', or a Keras model."
        )
    return model if isinstance(model, BlackBox) else BlackBox(model)


def without_square_of_no_image(
    attacks: dict[str, Attack], image_shape: Sequence[int]
) -> tuple[dict[str, Attack], tuple[str, ...]]:
    """Attacks, Square left out where images have no rows and columns, and sentences on it."""
    axes = Square.axes_of(image_shape)
    if axes is None:
        kept = {name: attack for name, attack in attacks.items() if name != "square"}
        return kept, ("Square changes squares of images (N, H, W, C) and was left out.",)
    if axes == "CHW":
        note = f"Square takes images of shape {tuple(image_shape)} for (C, H, W), channels first."
        return attacks, (note,)
    return attacks, ()


def black_box_attacks(
    within: Ball,
    image_shape: Sequence[int],
    substitute: Callable | None,
    queries: int | None,
    labels_only: bool,
) -> tuple[dict[str, Attack], tuple[str, ...]]:
    """The attacks of the suite by name, and sentences that a report must show."""
    queries = QUERIES if queries is None else queries
    norm, box = within.norm, within.box
    attacks: dict[str, Attack] = {}
    notes: tuple[str, ...] = (UPPER_BOUND,)
    if labels_only:
        notes += ("The black box returns labels only: Square needs scores and was left out.",)
    else:
        attacks["square"] = Square(within.eps, queries, norm, box)
        attacks, said = without_square_of_no_image(attacks, image_shape)
        notes += said
    inner = within.eps
    if norm == "l2":
        inner = within.eps / float(np.sqrt(np.prod(image_shape)))
        notes += (
            f"RayS knows L-infinity balls: it searches that of radius {inner:.4g}, which lies "
            "inside the L2 ball.",
        )
    attacks["rays"] = RayS(inner, queries, box)
    if substitute is not None:
        crafted = MIM(within.eps, steps=10, norm=norm, box=box)
        attacks[TRANSFER] = Transfer(crafted, substitute)
    return attacks, notes


def said_of_queries(rows: Sequence[AttackRow], num_images: int, distilled: int) -> tuple[str, ...]:
    """What the black box was asked, as sentences; `distilled` images were for a substitute."""
    total = distilled + sum(row.queries or 0 for row in rows)
    most = distilled // num_images + sum(row.most_queries or 0 for row in rows)
    text = f"Queries per image: {total / num_images:.1f} on average, at most {most}"
    if distilled:
        text += (
            f", {distilled // num_images} of them for a substitute, a small network that was "
            "trained here on the answers; a better one would transfer better"
        )
    return (f"{text}. Clean images and the checks of the report are not counted.",)

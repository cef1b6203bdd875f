"""Which attacks a suite runs, and in which order."""

import dataclasses
import re
from collections.abc import Mapping, Sequence
from typing import Any

from keras_mmc._choices import BLACK_BOX, SUITES
from keras_mmc._validation import check, check_count, shown
from keras_mmc.attacks import (
    MIM,
    PGD,
    Attack,
    AutoAttack,
    Ball,
    MultiTargeted,
    NearestWrongCenter,
    Transfer,
    named,
)
from keras_mmc.evaluation._black_box import (
    TRANSFER,
    attacks_in,
    black_box_attacks,
    without_square_of_no_image,
)
from keras_mmc.evaluation.protocols import PROTOCOLS, Trial, check_places, make_protocol

NAIVE = "naive pgd (cross-entropy)"

_SUITES_WITH_SUBSTITUTE = ("adaptive", "mmc", BLACK_BOX)


@dataclasses.dataclass(frozen=True)
class Suite:
    """The attacks of an audit.

    Attributes:
        name: name of the suite.
        attacks: attacks inside the ball by name, the naive control first, if the model has
            gradients for it; each runs on the images that those before it did not break.
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
    *,
    queries: int | None = None,
    labels_only: bool = False,
) -> Suite:
    """The attacks of a suite.

    Args:
        suite: `"quick"`, `"standard"` (AutoAttack), `"adaptive"` (AutoAttack, then the attacks
            made against center losses), a paper of `PROTOCOLS`: its attacks, then `"standard"`,
            or `"black_box"`: Square, RayS and, with a substitute, a transfer.
        within: the ball that the attacks search.
        image_shape: shape of an image, such as `(H, W, C)`.
        num_classes: number of classes K.
        substitute: a second model to craft adversarial examples on, for `"adaptive"`, `"mmc"` and
            `"black_box"`.
        queries: queries per image of Square and of RayS in `"black_box"`; `None` means 5000.
        labels_only: whether the black box returns labels; then Square is left out.

    Raises:
        ValueError: for an unknown suite, or a substitute or queries that the suite does not use.
    """
    if not isinstance(suite, str) or suite not in SUITES:
        raise ValueError(f"`suite` must be one of {list(SUITES)}; received {shown(suite)}.")
    image_shape = check_places("make_suite", within, image_shape)
    check_count("make_suite", "num_classes", num_classes, least=2)
    if substitute is not None and suite not in _SUITES_WITH_SUBSTITUTE:
        raise ValueError(
            f"The suite {suite!r} does not use a substitute model. Leave `substitute` out, or "
            f"choose one of {list(_SUITES_WITH_SUBSTITUTE)}."
        )
    if suite == BLACK_BOX:
        options = queries, labels_only
        attacks, notes = black_box_attacks(within, image_shape, substitute, *options)
        return Suite(suite, attacks, notes=notes)
    if queries is not None:
        raise ValueError(
            f"`queries` is a budget of the suite {BLACK_BOX!r}; received {queries!r} for "
            f"{suite!r}. Leave it out."
        )
    ball, naive = dataclasses.asdict(within), {NAIVE: _naive(within)}
    if suite == "quick":
        restarted = {"pgd-50 (margin) x 5": PGD(**ball, steps=50, restarts=5)}
        nearest = {"nearest wrong center": _nearest_wrong(ball, steps=100)}
        made = Suite(suite, {**naive, **restarted, **nearest})
    else:
        strong, notes = AutoAttack(**ball).attacks(num_classes)
        strong, said = without_square_of_no_image(strong, image_shape)
        notes = (*notes, *said)
        if suite == "adaptive":
            strong["nearest wrong center"] = _nearest_wrong(ball, steps=600)
            strong["multi-targeted pgd (margin)"] = MultiTargeted(**ball, steps=50)
        made = Suite(suite, {**naive, **strong}, notes=notes)
    if suite in PROTOCOLS:
        protocol = make_protocol(suite, within, image_shape, substitute)
        return Suite(suite, made.attacks, protocol.trials, (*protocol.notes, *made.notes))
    if substitute is None:
        return made
    transfer = {TRANSFER: Transfer(MIM(**ball, steps=10), substitute)}
    return dataclasses.replace(made, attacks=made.attacks | transfer)


def custom_suite(
    attacks: Sequence[Attack] | Mapping[str, Attack], within: Ball, *, has_gradients: bool = True
) -> Suite:
    """The naive control, then attacks of your own.

    Args:
        attacks: attacks by name; or a list, which gets the names of `keras_mmc.attacks.named`. An
            attack that comes twice in a list, or is the naive control, runs once.
        within: the ball that all of them must search.
        has_gradients: whether the model has; without them there is no naive control.

    Raises:
        ValueError: if there is no attack, something is none, one searches another ball, or a name
            is taken.

    Example:
    >>> ball = keras_mmc.attacks.Ball(8 / 255)
    >>> custom_suite([keras_mmc.attacks.APGD(8 / 255)], ball).attacks
    """
    check("custom_suite", "within", within, isinstance(within, Ball), "a Ball")
    naive = _naive(within)
    control: dict[str, Attack] = {NAIVE: naive} if has_gradients else {}
    listed = list(attacks_in(attacks))
    wrong = [attack for attack in listed if not isinstance(attack, Attack)]
    if wrong or not listed:
        raise ValueError(
            f"`suite` must be one of {list(SUITES)}, or hold attacks, as [PGD(8 / 255)] or "
            f"{{'pgd': PGD(8 / 255)}}; received {wrong[0] if wrong else attacks!r}."
        )
    for attack in listed:
        if attack.ball != within:
            raise ValueError(
                f"Every attack of an audit must search the ball that the audit is about, {within}; "
                f"received {attack!r}. Give it the same values. `attack_table` measures attacks "
                "of other balls, or of none."
            )
    if not isinstance(attacks, Mapping):
        own = named([a for i, a in enumerate(listed) if a != naive and a not in listed[:i]])
        return Suite("custom", control | own)
    # Finished batches are kept in files named after these letters and digits.
    names = [re.sub(r"[^a-z0-9.]+", "-", str(name).lower()) for name in (NAIVE, "clean", *attacks)]
    taken = sorted({name for name in names if names.count(name) > 1})
    if taken:
        raise ValueError(
            f"Names of attacks must differ in letters or digits, from each other and from 'clean' "
            f"and {NAIVE!r}, which runs first by itself; received {list(attacks)}."
        )
    return Suite("custom", control | dict(attacks))


def _naive(within: Ball) -> Attack:
    return PGD(**dataclasses.asdict(within), steps=20, objective="cross_entropy")


def _nearest_wrong(ball, steps):
    """The critics' step of 0.5/255 for eps = 8/255, in proportion for other balls."""
    return NearestWrongCenter(**ball, steps=steps, step_size=ball["eps"] / 16)

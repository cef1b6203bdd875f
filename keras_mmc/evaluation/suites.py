"""Which attacks a suite runs, and in which order."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

from keras_mmc.attacks import (
    BIM,
    FGSM,
    JSMA,
    MIM,
    PGD,
    SPSA,
    Attack,
    AutoAttack,
    Ball,
    CarliniWagner,
    GaussianNoise,
    MultiTargeted,
    NearestWrongCenter,
    Rotation,
    Transfer,
)

SUITES = ("quick", "standard", "adaptive", "paper")
NAIVE = "naive pgd (cross-entropy)"
TRANSFER = "transfer (mim)"

_SUITES_WITH_SUBSTITUTE = ("adaptive", "paper")
_SPSA_IMAGES, _CW_IMAGES, _JSMA_IMAGES = 1000, 500, 100
# Fewer leave no pair to change, more take too long.
_JSMA_PIXELS = range(8, 1025)


@dataclasses.dataclass(frozen=True)
class Suite:
    """The attacks of an audit.

    Attributes:
        attacks: attacks inside the ball by name, the naive control first; each runs on the images
            that those before it did not break.
        extras: attacks outside the ball by name; each runs on its own.
        limits: by the name of an attack, to how many of the first images it is limited.
        notes: sentences a report must show.
    """

    attacks: dict[str, Attack]
    extras: dict[str, Attack] = dataclasses.field(default_factory=dict)
    limits: dict[str, int] = dataclasses.field(default_factory=dict)
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
            made against center losses) or `"paper"` (the protocols of the papers of MMC and GCE).
        within: the ball that the attacks search.
        image_shape: shape of an image, such as `(H, W, C)`.
        num_classes: number of classes K.
        substitute: a second model to craft adversarial examples on, for `"adaptive"` and `"paper"`.

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
    if suite == "paper":
        made = _paper(naive, ball, image_shape)
    elif suite == "quick":
        restarted = {"pgd-50 (margin) x 5": PGD(**ball, steps=50, restarts=5)}
        made = Suite(naive | restarted | {"nearest wrong center": _nearest_wrong(ball, steps=100)})
    else:
        strong, notes = AutoAttack(**ball).attacks(num_classes)
        if len(image_shape) != 3:
            del strong["square"]
            notes += ("Square changes squares of images (N, H, W, C) and was left out.",)
        if suite == "adaptive":
            strong["nearest wrong center"] = _nearest_wrong(ball, steps=600)
            strong["multi-targeted pgd (margin)"] = MultiTargeted(**ball, steps=50)
        made = Suite(naive | strong, notes=notes)
    if substitute is None:
        return made
    transfer = {TRANSFER: Transfer(MIM(**ball, steps=10), substitute)}
    return dataclasses.replace(made, attacks=made.attacks | transfer)


def _nearest_wrong(ball, steps):
    """The critics' step of 0.5/255 for eps = 8/255, in proportion for other balls."""
    return NearestWrongCenter(**ball, steps=steps, step_size=ball["eps"] / 16)


def _paper(naive, ball, image_shape):
    """Chen et al., ICCV 2019, on the cross-entropy; then Pang et al., ICLR 2020."""
    eps, box, width = ball["eps"], ball["box"], ball["box"][1] - ball["box"][0]
    # Steps of 0.01 at eps = 0.3, in proportion for other balls.
    forty = ball | {"steps": 40, "step_size": eps / 30, "objective": "cross_entropy"}
    attacks = naive | {
        "fgsm (cross-entropy)": FGSM(**ball, objective="cross_entropy"),
        "bim-10 (cross-entropy)": BIM(**ball, steps=10, objective="cross_entropy"),
        "pgd-40 (cross-entropy)": PGD(**forty),
        "mim-40 (cross-entropy)": MIM(**forty),
    }
    # Steps of 2/255 at eps = 8/255, in proportion for other balls.
    for objective, targeted in (("distance", False), ("targeted_distance", True)):
        goal = {"objective": objective, "targeted": targeted, "step_size": eps / 4}
        for steps in (10, 50):
            for kind in (PGD, MIM):
                name = f"{kind.__name__.lower()}-{steps} ({objective.replace('_', ' ')})"
                attacks[name] = kind(**ball, steps=steps, **goal)
    notes = [
        "The papers' protocol is weaker than 'standard': a network that looks robust here may lose "
        "to AutoAttack, as Max-Mahalanobis networks without adversarial training do. Report "
        "'standard' or 'adaptive' beside it."
    ]
    limits = {}
    if ball["norm"] == "linf":
        # 0.01 at eps = 8/255, in proportion for other balls.
        rate = 0.01 * eps / (8 / 255)
        spsa = SPSA(eps, learning_rate=rate, delta=0.01 * width, box=box)
        attacks["spsa (margin)"], limits["spsa (margin)"] = spsa, _SPSA_IMAGES
    else:
        notes.append("SPSA searches an L-infinity ball and was left out.")
    extras: dict[str, Attack] = {"c&w l2": CarliniWagner(box=box)}
    limits["c&w l2"] = _CW_IMAGES
    notes.append(
        "C&W takes 0.01, the learning rate of Chen et al.: with the 0.005 of Pang et al. it ends "
        "short of the smallest distances, which flatters a network."
    )
    pixels = math.prod(image_shape)
    if pixels in _JSMA_PIXELS:
        extras["jsma (25 % of the pixels)"] = JSMA(theta=width, gamma=0.25, box=box)
        limits["jsma (25 % of the pixels)"] = _JSMA_IMAGES
    else:
        notes.append(f"JSMA suits 8 to 1024 pixels and was left out: here are {pixels}.")
    if len(image_shape) == 3:
        extras["rotation up to 30 degrees"] = Rotation(30.0, box=box)
    extras["gaussian noise 0.05"] = GaussianNoise(0.05 * width, box=box)
    return Suite(attacks, extras, limits, tuple(notes))

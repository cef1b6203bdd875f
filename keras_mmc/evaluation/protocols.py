"""The attacks of the papers, each on its own, with the settings of their released codes.

Accuracies of such a row compare with the papers' tables, and are as misleading as those: an audit
shows the standard suite below them.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

from keras_mmc import _choices
from keras_mmc._validation import check, is_count, shown
from keras_mmc.attacks import (
    BIM,
    EAD,
    FGSM,
    JSMA,
    MIM,
    PGD,
    SPSA,
    Attack,
    Ball,
    CarliniWagner,
    DeepFool,
    GaussianNoise,
    RandomRotation,
    Transfer,
)

# Fewer pixels leave JSMA no pair to change, more take too long.
_JSMA_PIXELS = range(8, 1025)


@dataclasses.dataclass(frozen=True)
class Trial:
    """One attack of a protocol, run on its own.

    Attributes:
        attack: the attack.
        source: where its settings are from.
        limit: to how many of the first images it is limited; `None` for all.
        early_stop: whether an image is done at its first adversarial example. Papers report the
            images that their iterations end in.
    """

    attack: Attack
    source: str
    limit: int | None = None
    early_stop: bool = False


@dataclasses.dataclass(frozen=True)
class Protocol:
    """What a paper measures.

    Attributes:
        trials: its attacks by name.
        notes: sentences a report must show.
    """

    trials: dict[str, Trial]
    notes: tuple[str, ...] = ()


def check_places(owner: str, within: Any, image_shape: Any) -> tuple[int, ...]:
    """The shape of an image as a tuple; refuses what is no ball or no shape."""
    check(owner, "within", within, isinstance(within, Ball), "a Ball")
    fits = isinstance(image_shape, (tuple, list)) and all(map(is_count, image_shape))
    check(
        owner, "image_shape", image_shape, fits and bool(image_shape), "a shape such as (H, W, C)"
    )
    return tuple(image_shape)


def make_protocol(
    paper: str, within: Ball, image_shape: Sequence[int], substitute: Any = None
) -> Protocol:
    """The attacks of a paper.

    Steps and other lengths in input units are those published for images in `[0, 1]`, times the
    width of the box; they do not depend on `eps`.

    Args:
        paper: `"gce"`, `"mmc"`, `"differential"` or `"emr"`.
        within: the ball of attacks that have one; L-infinity, as in the papers.
        image_shape: shape of an image, such as `(H, W, C)`.
        substitute: a second model to craft adversarial examples on, for `"mmc"`.

    Raises:
        ValueError: for an unknown paper or another norm.
    """
    if not isinstance(paper, str) or paper not in PROTOCOLS:
        raise ValueError(f"`paper` must be one of {list(PROTOCOLS)}; received {shown(paper)}.")
    image_shape = check_places("make_protocol", within, image_shape)
    if within.norm != "linf":
        raise ValueError(
            f"The protocol {paper!r} attacks in L-infinity balls; received norm {within.norm!r}. "
            "Use the suite 'standard' for other norms."
        )
    ball = {"eps": within.eps, "box": within.box}
    made = PROTOCOLS[paper](ball, within.box[1] - within.box[0], image_shape)
    if substitute is None or paper != "mmc":
        return made
    source = f"{_MMC}, advtest_iterative_blackbox.py"
    transfers = {
        f"transfer of {name}": Trial(Transfer(trial.attack, substitute), source)
        for name, trial in made.trials.items()
        if isinstance(trial.attack, MIM)
    }
    return dataclasses.replace(made, trials=made.trials | transfers)


_GCE = "Chen et al., ICCV 2019"


def _gce(ball, width, image_shape):
    code, box = f"{_GCE}, released code", ball["box"]
    forty = ball | {"steps": 40, "step_size": 0.01 * width, "objective": "cross_entropy"}
    ten = ball | {"steps": 10, "step_size": 0.05 * width, "objective": "cross_entropy"}
    defaults = f"{_GCE}, defaults of the attacks in the released code"
    trials = {
        "fgsm": Trial(FGSM(**ball, objective="cross_entropy"), code),
        "bim-10": Trial(BIM(**ten), defaults),
        "pgd-40": Trial(PGD(**forty), code),
        "mim-40": Trial(MIM(**forty), defaults),
    }
    penalty = CarliniWagner(initial_const=1e-3 * width**2, box=box)
    trials["c&w l2"] = Trial(penalty, f"{_GCE}, table 5", 500, True)
    notes = ["C&W attacked the first 500 images here; the paper does not say how many it took."]
    for gamma in (0.25, 0.5):
        attack = JSMA(theta=width, gamma=gamma, box=box)
        _add_jsma(trials, notes, attack, f"{_GCE}, table 5", image_shape)
    return Protocol(trials, tuple(notes))


_MMC = "Pang et al., ICLR 2020"


def _mmc(ball, width, image_shape):
    iterative, others = f"{_MMC}, advtest_iterative.py", f"{_MMC}, advtest_others.py"
    simple, box = f"{_MMC}, advtest_simple_transform.py", ball["box"]
    trials = {}
    # un1 and tar1 in the paper's words.
    for objective, targeted in (("distance", False), ("targeted_distance", True)):
        goal = ball | {"objective": objective, "targeted": targeted}
        words = objective.replace("_", " ")
        trials[f"fgsm ({words})"] = Trial(FGSM(**goal), iterative)
        for steps in (10, 50):
            for kind in (PGD, MIM):
                attack = kind(**goal, steps=steps, step_size=2 / 256 * width)
                name = f"{kind.__name__.lower()}-{steps} ({words})"
                trials[name] = Trial(attack, iterative)
    adaptive = f"objective of {_MMC}, in the iterations of advtest_iterative.py"
    critics = "objective of public criticism of the paper, in the paper's iterations"
    # un2, tar2, and what broke the loss.
    for objective, source in (
        ("margin", adaptive),
        ("targeted_margin", adaptive),
        ("nearest_wrong", critics),
    ):
        goal = {"objective": objective, "targeted": objective.startswith("targeted")}
        attack = PGD(**ball, **goal, steps=50, step_size=2 / 256 * width)
        trials[f"pgd-50 ({objective.replace('_', ' ')})"] = Trial(attack, source)
    spsa = {"steps": 10, "learning_rate": 0.01 * width, "delta": 0.01 * width, "samples": 128}
    for targeted in (False, True):
        to_target = ", targeted" if targeted else ""
        black_box = SPSA(**ball, **spsa, targeted=targeted)
        trials[f"spsa-10{to_target}"] = Trial(black_box, others, 1000)
        penalty = CarliniWagner(
            learning_rate=0.005, initial_const=0.01 * width**2, targeted=targeted, box=box
        )
        trials[f"c&w l2{to_target}"] = Trial(penalty, others, 500, True)
    constant = {"confidence": 0.1, "initial_const": width**2, "binary_search_steps": 1}
    elastic = EAD(**constant, learning_rate=0.01, beta=0.01 * width, box=box)
    trials["ead"] = Trial(elastic, others, 1000, True)
    trials["deepfool"] = Trial(DeepFool(steps=10, num_candidates=2, box=box), others, 1000, True)
    notes = ["L-BFGS, which the released code runs too, is not among the attacks here."]
    _add_jsma(trials, notes, JSMA(theta=width, gamma=0.1, box=box), others, image_shape)
    if len(image_shape) == 3:
        trials["rotation, random within 30 degrees"] = Trial(RandomRotation(30.0, box), simple)
    trials["gaussian noise 0.05"] = Trial(GaussianNoise(0.05 * width, box), simple)
    return Protocol(trials, tuple(notes))


def _differential(ball, width, image_shape):
    source = "Nar et al., arXiv 1901.08360, which shows no figure for one radius"
    attack = PGD(**ball, steps=100, objective="margin")
    note = (
        "The paper's result is the distribution of the smallest perturbation of each image: see "
        "keras_mmc.evaluation.minimal_perturbations."
    )
    return Protocol({"pgd-100 (margin)": Trial(attack, source)}, (note,))


def _emr(ball, width, image_shape):
    source = "Liu & Chan, BMVC 2022, the attack that training and validation use"
    attack = PGD(**ball, steps=10, step_size=2 / 255 * width, objective="cross_entropy")
    note = "The claim of the paper is about AutoAttack, the standard suite below."
    return Protocol({"pgd-10": Trial(attack, source)}, (note,))


def _add_jsma(trials, notes, attack, source, image_shape):
    """JSMA, which compares all pairs of pixels, where there are few enough."""
    pixels, name = math.prod(image_shape), f"jsma ({100 * attack.gamma:g} % of the pixels)"
    if pixels in _JSMA_PIXELS:
        trials[name] = Trial(attack, source, 100, True)
    else:
        notes.append(f"{name} suits 8 to 1024 pixels and was left out: here are {pixels}.")


PROTOCOLS: dict[str, Callable] = dict(
    zip(_choices.PROTOCOLS, (_gce, _mmc, _differential, _emr), strict=True)
)
"""By the name of a paper what makes its protocol."""

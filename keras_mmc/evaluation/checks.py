"""What figures of an audit mean: when a check fires, what it says, and how grave it is.

*Masked gradients* needs evidence: gradients that vanish, an attack without gradients that breaks
more than attacks with gradients leave on honest networks, one step that beats many, or an attack
that fails where everything may be changed. A figure that merely falls with effort is a *weak
attack*.
"""

import numpy as np
from scipy.stats import binomtest

from keras_mmc._arrays import RANDOM
from keras_mmc.attacks import misclassified
from keras_mmc.evaluation.intervals import wilson_interval
from keras_mmc.evaluation.rows import MASKED, MODEL, WEAK, Diagnostic, diagnostic

# On networks trained adversarially, whose gradients are honest, Square too breaks a little of what
# the white-box attacks of AutoAttack leave.
_HONEST_LEFTOVER = 0.1
_SIGNIFICANT = 0.01


def nan_scores(scores: np.ndarray) -> Diagnostic:
    """NaN scores of attacked images: they count as broken, but a report must say so."""
    count = int(np.isnan(scores).any(axis=1).sum())
    text = f"{count} attacked images give NaN scores; they count as broken."
    return diagnostic({"images": count}, count > 0, MODEL, text)


def random_at_inference(first: np.ndarray, again: np.ndarray) -> Diagnostic:
    """The largest difference between two forward passes of the same images."""
    gap = 0.0 if np.array_equal(first, again) else float(np.nanmax(np.abs(first - again)))
    return diagnostic({"largest_difference": gap}, gap > 0, MODEL, RANDOM)


def depends_on_batch(first: np.ndarray, again: np.ndarray, reversed: np.ndarray) -> Diagnostic:
    """The largest difference between scores of the same images in batches of other images."""
    gap, limit = float(np.nanmax(np.abs(first - reversed))), 1e-3 * float(np.abs(first).max())
    text = (
        "The scores of an image depend on the images beside it in the batch: batch statistics are "
        "used at inference. The robust accuracy then depends on the batch size; make the model "
        "score every image on its own."
    )
    fired = np.array_equal(first, again) and gap > limit
    return diagnostic({"largest_difference": gap}, fired, MODEL, text)


def probabilities(scores: np.ndarray) -> Diagnostic:
    """Scores that all lie in [0, 1], as those of a sigmoid."""
    low, high = float(scores.min()), float(scores.max())
    text = (
        "All scores lie in [0, 1], as if the model ended in a sigmoid, which hides gradients from "
        "attacks. Audit the model without it."
    )
    return diagnostic({"lowest": low, "highest": high}, low >= 0 and high <= 1, MODEL, text)


def confirmed(scores: np.ndarray, y: np.ndarray, broken: np.ndarray) -> Diagnostic:
    """The fraction of broken images that are misclassified in one more pass, at the end."""
    again = misclassified(scores, y).numpy()[broken]
    fraction = float(again.mean()) if broken.any() else 1.0
    text = (
        f"{np.sum(~again)} of {broken.sum()} broken images are classified correctly in one more "
        "forward pass: they lie on a decision boundary, or the model is random. They count as "
        "broken."
    )
    return diagnostic({"fraction": fraction}, fraction < 1, MODEL, text)


def naive_minus_best(naive: float, final: float, masked: bool = False) -> Diagnostic:
    """How far PGD on the cross-entropy would have misled.

    Args:
        naive: robust accuracy under it.
        final: robust accuracy under the whole suite.
        masked: whether another check shows that gradients are masked.
    """
    numbers = (
        f"the robust accuracy is {_percent(naive)} under PGD on the cross-entropy, and "
        f"{_percent(final)} under the suite."
    )
    if masked:
        text = f"The naive number is masked: {numbers} Do not report the former."
    else:
        text = f"The naive attack is too weak here: {numbers} Report the latter."
    figures = {"naive": naive, "best": final, "difference": naive - final}
    return diagnostic(figures, _above(naive - final, 0.05), MASKED if masked else WEAK, text)


def zero_gradients(clean: float, started: float) -> Diagnostic:
    """Images that an attack on the cross-entropy cannot leave, as they are and after a start."""
    text = (
        f"The gradient of the cross-entropy is exactly 0 on {_percent(clean)} of the images and at "
        f"{_percent(started)} of random starts in the ball: attacks on it cannot move from there. "
        "Attack the margin of the scores."
    )
    figures = {"fraction": clean, "at_random_start": started}
    return diagnostic(figures, _above(max(clean, started), 0.01), MASKED, text)


def black_box(name: str, broken: int, attacked: int, before: float) -> Diagnostic:
    """What an attack without gradients of the model breaks after all attacks with them.

    Args:
        name: name of the attack.
        broken: number of images it broke.
        attacked: number of images it ran on, those that every attack before had left.
        before: robust accuracy before it.
    """
    fraction = broken / max(1, attacked)
    text = (
        f"The attack {name!r}, which takes no gradients of the model, breaks {broken} of the "
        f"{attacked} images that every attack before it left: "
    )
    weak = _above(fraction * before, 0.01) or (broken >= 5 and _above(fraction, 0.1))
    above_honest = attacked > 0 and wilson_interval(broken, attacked)[0] > _HONEST_LEFTOVER
    masked = above_honest and _above(fraction * before, 0.01)
    text += "gradients are masked." if masked else "the attacks before it were not exhausted."
    figures = {"fraction_broken": fraction * before, "images": broken}
    return diagnostic(figures, weak or masked, MASKED if masked else WEAK, text)


def more_steps(
    single: float, iterated: float, count: int, only_single: int = 0, only_iterated: int = 0
) -> Diagnostic:
    """Many steps against one, on the same objective and the same images.

    Args:
        single: robust accuracy under one step.
        iterated: robust accuracy under 20 steps.
        count: number of images.
        only_single: number of images that one step breaks and 20 do not.
        only_iterated: number of images that 20 steps break and one does not.
    """
    text = (
        f"On {count} images the robust accuracy is {_percent(single)} under one step (FGSM) and "
        f"{_percent(iterated)} under 20 steps of PGD: more steps on the cross-entropy find less."
    )
    figures = {"single_step": single, "iterative": iterated, "images": count}
    trials = only_single + only_iterated
    chance = binomtest(only_single, trials, alternative="greater").pvalue if trials else 1.0
    grade = MASKED if chance < _SIGNIFICANT else WEAK
    return diagnostic(figures, _above(iterated - single, 0.01), grade, text)


def falls_with_eps(radii: list[float], accuracy: list[float], count: int) -> Diagnostic:
    """The same attack in ever larger balls, on `count` images; radius 0 is the clean accuracy."""
    text = (
        "Robust accuracy under the same attack rises with eps ("
        + ", ".join(f"{_percent(a)} at {r:.3g}" for r, a in zip(radii, accuracy, strict=True))
        + "): the attack fails, the model does not resist."
    )
    figures = {"eps": radii, "accuracy": accuracy, "images": count}
    rises = _above(np.max(np.diff(accuracy)), 0.02)
    return diagnostic(figures, rises, WEAK, text)


def whole_box_breaks(accuracy: float) -> Diagnostic:
    """What is left although every image of the box may be chosen."""
    text = (
        f"With the whole box to move in, the robust accuracy under PGD is still "
        f"{_percent(accuracy)}: no classifier withstands that, so its gradients mislead the attack."
    )
    return diagnostic({"accuracy": accuracy}, _above(accuracy, 0.01), MASKED, text)


def _above(value, limit):
    """Whether a difference of fractions of images exceeds a limit by more than rounding."""
    return value > limit + 1e-9


def _percent(fraction):
    return f"{100 * fraction:.1f} %"

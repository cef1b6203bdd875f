"""Signs that a robust accuracy comes from masked gradients rather than from robustness."""

import numpy as np
import tensorflow as tf

from keras_mmc import objectives
from keras_mmc._gradients import value_and_gradient
from keras_mmc.attacks import FGSM, PGD, SPSA
from keras_mmc.attacks._engine.projections import random_start
from keras_mmc.attacks.base import RANDOM, misclassified, score_function
from keras_mmc.attacks.graphs import CLASSES, batches, images_spec, traced
from keras_mmc.attacks.judged import attack_rows
from keras_mmc.evaluation.rows import Diagnostic
from keras_mmc.evaluation.suites import BLACK_BOX, NAIVE

_PROBE_IMAGES = 200
_BLACK_BOX_IMAGES = 32


def zero_gradient_fraction(model, x, y, batch_size: int = 128) -> float:
    """Fraction of images at which the gradient of the cross-entropy is exactly 0.

    An attack on the cross-entropy that starts at such a point cannot leave it. TensorFlow rounds
    numbers below 1e-38 to 0, so gradients vanish a little earlier than in exact arithmetic.

    Args:
        model: Keras model from images to scores `(N, K)`.
        x: images `(N, ...)`, float32.
        y: integer labels `(N,)`.
        batch_size: images per pass.

    Returns:
        Fraction in `[0, 1]`.

    Example:
    >>> keras_mmc.evaluation.zero_gradient_fraction(model, x_test, y_test)
    """
    score_fn = score_function(model)

    def vanishes(x, y):
        _, gradient = value_and_gradient(lambda x: objectives.cross_entropy(score_fn(x), y), x)
        return tf.reduce_all(gradient == 0, axis=list(range(1, x.shape.rank)))

    run = traced(vanishes, images_spec(x.shape), CLASSES)
    flags = [run(x[rows], y[rows]) for rows in batches(len(x), batch_size)]
    return float(np.mean(np.concatenate(flags)))


def diagnose(
    model, x, y, forwards, after, result, *, eps, norm, box, options
) -> dict[str, Diagnostic]:
    """Measure what must hold if an audit is to be believed, and say what does not.

    Args:
        model: Keras model from images to scores `(N, K)`.
        x: images `(N, ...)`, float32.
        y: integer labels `(N,)`.
        forwards: scores `(N, K)` of three forward passes of the images: the "first", one
            "again", and one with the images "reversed".
        after: scores `(N, K)` of the attacked images, in a pass of their own.
        result: the `AutoAttackResult` of the suite.
        eps: radius of the ball, in input units.
        norm: `"linf"` or `"l2"`.
        box: `(low, high)`, where images live.
        options: keyword arguments of `attack_rows`, for the probes.

    Returns:
        Diagnostics by name, in the order a report shows them.
    """
    batch_size, seed = options["batch_size"], options["seed"]
    naive, final = result.accuracy[NAIVE], result.robust_accuracy
    starts = random_start(tf.constant(x), eps, norm, box, tf.constant([seed, 0])).numpy()
    checks = {
        "nan_scores": nan_scores(after),
        "random_at_inference": random_at_inference(forwards["first"], forwards["again"]),
        "depends_on_batch": depends_on_batch(**forwards),
        "probabilities": probabilities(forwards["first"]),
        "confirmed_once_more": confirmed(after, y, result.broken_by),
        "naive_minus_best": naive_minus_best(naive, final),
        "zero_gradients": zero_gradients(
            zero_gradient_fraction(model, x, y, batch_size),
            zero_gradient_fraction(model, starts, y, batch_size),
        ),
    }

    def number_broken(name, attack, rows):
        return len(attack_rows(f"check: {name}", attack, model, x, y, rows, **options)[0])

    names = list(result.accuracy)
    for i, name in enumerate(names):
        if name in BLACK_BOX:
            before, after_it = result.accuracy[names[i - 1]], result.accuracy[name]
            number = round((before - after_it) * len(x))
            checks[f"black_box: {name}"] = black_box(name, number, round(before * len(x)), before)
    if not any(name in BLACK_BOX for name in names):
        standing = np.flatnonzero(np.equal(np.array(result.broken_by, object), None))
        # SPSA knows L-inf balls: this one lies inside the ball of the audit.
        inner = eps if norm == "linf" else eps / np.sqrt(x[0].size)
        delta = 0.01 * (box[1] - box[0])
        probe = SPSA(inner, steps=20, learning_rate=inner / 5, delta=delta, box=box)
        probed = standing[:_BLACK_BOX_IMAGES]
        number = number_broken("spsa", probe, probed)
        checks["black_box: spsa"] = black_box("spsa", number, len(probed), final)

    drawn = np.sort(np.random.default_rng(seed).permutation(len(x))[:_PROBE_IMAGES])
    rows = drawn[~misclassified(forwards["first"][drawn], y[drawn]).numpy()]

    def standing_after(name, attack):
        return (len(rows) - number_broken(name, attack, rows)) / len(drawn)

    ball = {"norm": norm, "box": box}
    single = standing_after("fgsm", FGSM(eps, **ball, objective="cross_entropy"))
    iterated = standing_after("pgd-20", PGD(eps, 20, **ball, objective="cross_entropy"))
    checks["iterative_against_single_step"] = more_steps(single, iterated, len(drawn))
    whole_box = box[1] - box[0] if norm == "linf" else np.sqrt(x[0].size) * (box[1] - box[0])
    radii = sorted({min(r, float(whole_box)) for r in (eps / 2, eps, 2 * eps, whole_box)})
    curve = [standing_after(f"pgd-50, eps {r:.4g}", PGD(r, 50, **ball)) for r in radii]
    checks["accuracy_against_eps"] = falls_with_eps([0.0, *radii], [len(rows) / len(drawn), *curve])
    checks["whole_box"] = whole_box_breaks(curve[-1])
    return checks


def nan_scores(scores) -> Diagnostic:
    """NaN scores of attacked images: they count as broken, but a report must say so."""
    count = int(np.isnan(scores).any(axis=1).sum())
    text = f"{count} attacked images give NaN scores; they count as broken."
    return Diagnostic({"images": count}, text if count else None)


def random_at_inference(first, again) -> Diagnostic:
    """The largest difference between two forward passes of the same images."""
    gap = 0.0 if np.array_equal(first, again) else float(np.nanmax(np.abs(first - again)))
    return Diagnostic({"largest_difference": gap}, RANDOM if gap > 0 else None)


def depends_on_batch(first, again, reversed) -> Diagnostic:
    """The largest difference between scores of the same images in batches of other images."""
    gap, limit = float(np.nanmax(np.abs(first - reversed))), 1e-3 * float(np.abs(first).max())
    text = (
        "The scores of an image depend on the images beside it in the batch: batch statistics are "
        "used at inference. The robust accuracy then depends on the batch size; make the model "
        "score every image on its own."
    )
    fired = np.array_equal(first, again) and gap > limit
    return Diagnostic({"largest_difference": gap}, text if fired else None)


def probabilities(scores) -> Diagnostic:
    """Scores that all lie in [0, 1], as those of a sigmoid."""
    low, high = float(scores.min()), float(scores.max())
    text = (
        "All scores lie in [0, 1], as if the model ended in a sigmoid, which hides gradients from "
        "attacks. Audit the model without it."
    )
    return Diagnostic({"lowest": low, "highest": high}, text if low >= 0 and high <= 1 else None)


def confirmed(scores, y, broken_by) -> Diagnostic:
    """The share of broken images that are misclassified in one more forward pass, at the end."""
    broken = ~np.equal(np.array(broken_by, object), None)
    again = misclassified(scores, y).numpy()[broken]
    share = float(again.mean()) if broken.any() else 1.0
    text = (
        f"{np.sum(~again)} of {broken.sum()} broken images are classified correctly in one more "
        "forward pass: they lie on a decision boundary, or the model is random. They count as "
        "broken."
    )
    return Diagnostic({"share": share}, text if share < 1 else None)


def naive_minus_best(naive: float, final: float) -> Diagnostic:
    """How far PGD on the cross-entropy would have misled."""
    text = (
        f"The naive number is masked: PGD on the cross-entropy leaves {_percent(naive)}, the "
        f"suite {_percent(final)}. Do not report the former."
    )
    figures = {"naive": naive, "best": final, "difference": naive - final}
    return Diagnostic(figures, text if _above(naive - final, 0.05) else None)


def zero_gradients(clean: float, started: float) -> Diagnostic:
    """Images that an attack on the cross-entropy cannot leave, as they are and after a start."""
    text = (
        f"The gradient of the cross-entropy is exactly 0 on {_percent(clean)} of the images and at "
        f"{_percent(started)} of random starts in the ball: attacks on it cannot move from there. "
        "Attack the margin of the scores."
    )
    fired = _above(max(clean, started), 0.01)
    return Diagnostic({"fraction": clean, "at_random_start": started}, text if fired else None)


def black_box(name: str, broken: int, attacked: int, standing: float) -> Diagnostic:
    """What falls to an attack without gradients after all with them.

    Args:
        name: name of the attack.
        broken: number of images it broke.
        attacked: number of images it ran on, left standing by every attack before.
        standing: fraction of all images that stood before it.
    """
    means = "uses points of another model" if name.startswith("transfer") else "uses no gradients"
    text = (
        f"The attack {name!r}, which {means}, breaks {broken} of the {attacked} images that every "
        "attack before it left standing: gradients are masked."
    )
    share = broken / max(1, attacked)
    fired = _above(share * standing, 0.01) or (broken >= 5 and _above(share, 0.1))
    return Diagnostic({"share_broken": share * standing, "images": broken}, text if fired else None)


def more_steps(single: float, iterated: float, count: int) -> Diagnostic:
    """Many steps against one, on the same objective."""
    text = (
        f"On {count} images one step (FGSM) leaves {_percent(single)} and 20 steps of PGD "
        f"{_percent(iterated)}: more steps on the cross-entropy find less."
    )
    figures = {"single_step": single, "iterative": iterated, "images": count}
    return Diagnostic(figures, text if _above(iterated - single, 0.01) else None)


def falls_with_eps(radii: list[float], accuracy: list[float]) -> Diagnostic:
    """The same attack in ever larger balls; radius 0 is the clean accuracy."""
    text = (
        "Accuracy under the same attack rises with eps ("
        + ", ".join(f"{_percent(a)} at {r:.3g}" for r, a in zip(radii, accuracy, strict=True))
        + "): the attack fails, the model does not resist."
    )
    rises = _above(np.max(np.diff(accuracy)), 0.02)
    return Diagnostic({"eps": radii, "accuracy": accuracy}, text if rises else None)


def whole_box_breaks(accuracy: float) -> Diagnostic:
    """What stands although every image of the box may be chosen."""
    text = (
        f"With the whole box to move in, PGD still leaves {_percent(accuracy)}: no classifier "
        "withstands that, so its gradients mislead the attack."
    )
    return Diagnostic({"accuracy": accuracy}, text if _above(accuracy, 0.01) else None)


def _above(share, limit):
    """Whether a difference of shares of images exceeds a limit by more than rounding."""
    return share > limit + 1e-9


def _percent(share):
    return f"{100 * share:.1f} %"

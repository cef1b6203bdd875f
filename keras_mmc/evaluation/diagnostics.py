"""Signs that a robust accuracy comes from masked gradients rather than from robustness."""

import numpy as np
import tensorflow as tf

from keras_mmc import objectives
from keras_mmc.attacks import FGSM, PGD
from keras_mmc.attacks.base import misclassified, score_function
from keras_mmc.autodiff import value_and_gradient
from keras_mmc.evaluation.suites import NAIVE

_PROBE_IMAGES = 200
_BLACK_BOX = "square"


def zero_gradient_fraction(model, x, y, batch_size: int = 128) -> float:
    """Fraction of images at which the gradient of the cross-entropy is exactly 0.

    An attack on the cross-entropy cannot leave such an image.

    Args:
        model: Keras model from images to scores `(N, K)`.
        x: images `(N, ...)`, float32.
        y: integer labels `(N,)`.
        batch_size: images per pass.

    Returns:
        Fraction in `[0, 1]`.
    """
    score_fn = score_function(model)

    @tf.function(reduce_retracing=True, autograph=False)
    def vanishes(x, y):
        _, gradient = value_and_gradient(lambda x: objectives.cross_entropy(score_fn(x), y), x)
        return tf.reduce_all(gradient == 0, axis=list(range(1, x.shape.rank)))

    flags = [
        vanishes(tf.constant(x[i : i + batch_size]), tf.constant(y[i : i + batch_size])).numpy()
        for i in range(0, len(x), batch_size)
    ]
    return float(np.mean(np.concatenate(flags)))


def diagnose(model, x, y, accuracy, *, eps, norm, box, batch_size, seed) -> list[str]:
    """Compare attacks that must stand in a known order, and say where they do not.

    Args:
        model: Keras model from images to scores `(N, K)`.
        x: images `(N, ...)`, float32.
        y: integer labels `(N,)`.
        accuracy: accuracy after each attack of the suite and those before it, by name, in order.
        eps: radius of the ball, in input units.
        norm: `"linf"` or `"l2"`.
        box: `(low, high)`, where images live.
        batch_size: images per pass.
        seed: seed of the probes.

    Returns:
        Findings, one sentence or two each, with their figures; empty if there are none.
    """
    findings = []
    naive, final = accuracy[NAIVE], list(accuracy.values())[-1]
    if naive - final > 0.05:
        findings.append(
            f"The naive number is masked: PGD on the cross-entropy leaves {_percent(naive)}, the "
            f"suite {_percent(final)}. Do not report the former."
        )
    vanished = zero_gradient_fraction(model, x, y, batch_size)
    if vanished > 0.01:
        findings.append(
            f"The gradient of the cross-entropy is exactly 0 on {_percent(vanished)} of the "
            "images: attacks on it cannot move. Attack the margin of the scores."
        )
    names = list(accuracy)
    if _BLACK_BOX in accuracy:
        before = accuracy[names[names.index(_BLACK_BOX) - 1]]
        if before - accuracy[_BLACK_BOX] > 0.01:
            findings.append(
                f"Square, which uses no gradients, breaks {_percent(before - accuracy['square'])} "
                "of the images that every gradient attack left standing: gradients are masked."
            )
    probe = np.random.default_rng(seed).permutation(len(x))[:_PROBE_IMAGES]
    x, y = x[probe], y[probe]

    def standing(attack):
        points = attack(model, x, y, batch_size=batch_size, seed=seed)
        scores = model.predict(points, batch_size=batch_size, verbose=0)
        return 1 - float(np.mean(misclassified(scores.astype("float32"), y)))

    ball = {"norm": norm, "box": box}
    single = standing(FGSM(eps, **ball, objective="cross_entropy"))
    iterated = standing(PGD(eps, 20, **ball, objective="cross_entropy"))
    if iterated - single > 0.01:
        findings.append(
            f"On {len(x)} images one step (FGSM) leaves {_percent(single)} and 20 steps of PGD "
            f"{_percent(iterated)}: more steps on the cross-entropy find less."
        )
    whole_box = box[1] - box[0] if norm == "linf" else np.sqrt(x[0].size) * (box[1] - box[0])
    radii = sorted({eps, min(2 * eps, whole_box), whole_box})
    curve = [standing(PGD(radius, 50, **ball)) for radius in radii]
    if np.max(np.diff(curve), initial=0) > 0.02:
        findings.append(
            "Accuracy under the same attack rises with eps ("
            + ", ".join(f"{_percent(a)} at {r:.3g}" for r, a in zip(radii, curve, strict=True))
            + "): the attack fails, the model does not resist."
        )
    if curve[-1] > 0.01:
        findings.append(
            f"With the whole box to move in, PGD still leaves {_percent(curve[-1])}: no classifier "
            "withstands that, so its gradients mislead the attack."
        )
    return findings


def _percent(share):
    return f"{100 * share:.1f} %"

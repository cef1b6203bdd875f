"""The audit: naive and strong attacks side by side, and whether the naive number can be trusted."""

import keras
import numpy as np
import tensorflow as tf

from keras_mmc.attacks import checks
from keras_mmc.attacks.auto_attack import run_in_turn, scores_of
from keras_mmc.evaluation.diagnostics import diagnose
from keras_mmc.evaluation.result import AttackRow, AuditReport
from keras_mmc.evaluation.suites import NAIVE, suite_attacks


def audit(
    model,
    x,
    y,
    eps: float,
    suite: str = "standard",
    *,
    norm: str = "linf",
    box: tuple[float, float] = (0.0, 1.0),
    batch_size: int = 128,
    seed: int = 0,
    verbose: int = 1,
) -> AuditReport:
    """Measure how robust a classifier is, and how far a weak attack would have misled.

    An image counts as robust only if *no* attack of the suite breaks it. The suite starts with the
    naive control, PGD on the cross-entropy; every further attack runs on the images that still
    stand. Every adversarial point is checked again afterwards, outside the attack: inside ball and
    box, finite, and misclassified in a fresh forward pass; NaN scores count as misclassified.

    Args:
        model: Keras model from images to scores `(N, K)`, float32, without softmax.
        x: images `(N, H, W, C)`, floats inside the box, or a `tf.data.Dataset` of `(x, y)`.
        y: integer labels `(N,)`; `None` with a data set.
        eps: radius of the ball, in input units, above 0.
        suite: `"quick"`, `"standard"` (AutoAttack) or `"adaptive"`.
        norm: `"linf"` or `"l2"`.
        box: `(low, high)`, where images live.
        batch_size: images attacked at a time.
        seed: integer; the same seed gives the same report on CPU, times aside.
        verbose: 1 shows a progress bar for each attack, 0 nothing.

    Returns:
        An `AuditReport`; `print` it for a table and the findings.

    Raises:
        ValueError: for `eps <= 0`, an unknown suite, images or labels that do not fit, a model
            that returns probabilities or NaN, or an attack point that fails the check afterwards.

    Source: the protocol of Croce & Hein, ICML 2020 (arXiv 2003.01690), and the checks of
    Athalye et al., ICML 2018 (arXiv 1802.00420).

    Example:
    >>> report = keras_mmc.audit(model, x_test, y_test, eps=8 / 255)
    >>> print(report)
    """
    if not (isinstance(eps, (int, float)) and 0 < eps < np.inf):
        raise ValueError(
            f"An audit needs a finite eps > 0, in input units; received {eps!r}. For accuracy "
            "without perturbations use model.evaluate."
        )
    x, y = _arrays(x, y, box)
    first, again = (scores_of(model, x, batch_size) for _ in range(2))
    checks.check_scores(first)
    labels = checks.check_classes(y, len(x), first.shape[1], "y")
    attacks, notes = suite_attacks(suite, eps, norm, box, first.shape[1])
    options = {"batch_size": batch_size, "seed": seed}
    result = run_in_turn(attacks, notes, model, x, labels, first, **options, verbose=verbose)
    _check_points(result.x_adv, x, eps, norm, box)
    after = {name: result.accuracy[name] for name in attacks}
    findings = diagnose(model, x, labels, after, eps=eps, norm=norm, box=box, **options)
    if not np.array_equal(first, again):
        findings.insert(
            0,
            "Two forward passes of the same images differ: the model is random at inference. Fix "
            "its seed or turn the random layers off; these attacks do not average over noise.",
        )
    nan_scores = np.isnan(scores_of(model, result.x_adv, batch_size)).any(axis=1).sum()
    if nan_scores:
        findings.insert(0, f"{nan_scores} attacked images give NaN scores; they count as broken.")
    return AuditReport(
        suite=suite,
        eps=float(eps),
        norm=norm,
        seed=seed,
        num_images=len(x),
        clean_accuracy=result.accuracy["clean"],
        naive_accuracy=after[NAIVE],
        rows=tuple(
            AttackRow(name, repr(attack), after[name], result.seconds[name])
            for name, attack in attacks.items()
        ),
        findings=tuple(findings),
        notes=notes,
        x_adv=result.x_adv,
        broken_by=result.broken_by,
        versions={"keras": keras.__version__, "tensorflow": tf.__version__},
    )


def _arrays(x, y, box):
    if isinstance(x, tf.data.Dataset):
        if y is not None:
            raise ValueError("`x` is a data set that holds the labels; leave `y` as None.")
        batches = list(x.as_numpy_iterator())
        x, y = (np.concatenate(parts) for parts in zip(*batches, strict=True))
    x = checks.check_images(x, box)
    if not len(x) or y is None:
        raise ValueError(
            f"An audit needs images with their labels; received {len(x)} images and "
            f"{'no' if y is None else len(y)} labels."
        )
    return x.astype("float32", copy=False), np.asarray(y)


def _check_points(points, clean, eps, norm, box):
    """Refuse points that left the ball or the box: a report on them would be about another eps."""
    offsets = (points - clean).reshape(len(clean), -1)
    sizes = np.abs(offsets).max(axis=1) if norm == "linf" else np.linalg.norm(offsets, axis=1)
    inside = (points >= box[0]) & (points <= box[1]) & np.isfinite(points)
    if sizes.max() > eps * (1 + 1e-4) + 1e-6 or not inside.all():
        raise ValueError(
            f"An attack returned a point outside the {norm} ball of radius {eps:g} or box {box}: "
            f"largest perturbation {sizes.max():g}. This is a defect of the attack; nothing is "
            "reported."
        )

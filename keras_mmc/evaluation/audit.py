"""The audit: naive and strong attacks side by side, and whether the naive number can be trusted."""

import contextlib
import dataclasses
import datetime
import os
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike

from keras_mmc import _arrays as arrays
from keras_mmc._choices import BLACK_BOX
from keras_mmc._validation import check_box, is_number, shown
from keras_mmc._version import __version__
from keras_mmc.adapters import BlackBox
from keras_mmc.attacks import Attack, Ball, Runner, Transfer
from keras_mmc.evaluation._black_box import as_black_box, said_of_queries
from keras_mmc.evaluation._detector_attacks import under_attack
from keras_mmc.evaluation._inputs import labeled_arrays
from keras_mmc.evaluation._substitute import distill, new_substitute
from keras_mmc.evaluation._trials import said, trial_row
from keras_mmc.evaluation.checkpoint import AuditState, check_state_directory, digests_of
from keras_mmc.evaluation.diagnostics import diagnose
from keras_mmc.evaluation.rejection import Rejection
from keras_mmc.evaluation.report import AuditReport
from keras_mmc.evaluation.rows import AttackRow, Detection
from keras_mmc.evaluation.suites import Suite, custom_suite, make_suite


def audit(
    model: keras.Model | Callable[[np.ndarray], Any],
    x: Any,
    y: ArrayLike | None,
    eps: float,
    suite: str | Suite | Sequence[Attack] | Mapping[str, Attack] = "standard",
    *,
    norm: str = "linf",
    box: tuple[float, float] = (0.0, 1.0),
    substitute: keras.Model | None = None,
    queries: int | None = None,
    rejection: Rejection | None = None,
    batch_size: int = 128,
    seed: int = 0,
    state_directory: str | os.PathLike[str] | None = None,
    verbose: int = 1,
) -> AuditReport:
    """Measure how robust a classifier is, and how far a weak attack would have misled.

    An image counts as robust only if *no* attack of the suite breaks it. The suite starts with the
    naive control, PGD on the cross-entropy; every further attack runs on the images that are
    left. Every adversarial example is judged outside the attack: inside ball and box, finite, and
    misclassified in a fresh forward pass; NaN scores count as misclassified. The report says where
    the figures contradict each other, as those of masked gradients do.

    The suites `"gce"`, `"mmc"`, `"differential"` and `"emr"` first run the attacks of that paper
    with its settings, each on its own, then `"standard"`: the figures of the paper's kind stand
    beside the robust accuracy and do not count for it.

    A function, or a `keras_mmc.adapters.BlackBox`, is audited by the suite `"black_box"` without
    gradients: Square, RayS, and transfer from `substitute`, or else from a small network that is
    trained on its answers. The report says that it is an upper bound, and what was asked.

    An attack that fails after another has finished loses nothing: its row holds the error.

    Args:
        model: Keras classifier; what it returns becomes scores `(N, K)` as `keras_mmc.to_scores`
            says, and a note of the report says how. With `"black_box"` also any function from NumPy
            images to scores, probabilities or labels; `keras_mmc.adapters.BlackBox` says which.
        x: images `(N, H, W, C)` inside the box; without the axis of channels if the model takes
            one channel; or a data set of batches with labels, in any form that
            `keras_mmc.datasets.to_arrays` reads.
        y: labels `(N,)`, or one-hot rows `(N, K)`; `None` beside a data set.
        eps: radius of the ball, in input units, above 0.
        suite: `"quick"`, `"standard"` (AutoAttack), `"adaptive"` (AutoAttack, then the attacks
            made against center losses), or a paper, `"gce"`, `"mmc"`, `"differential"`, `"emr"`;
            or `"black_box"`; or attacks of your own, a list or a dict by name, which run in that
            order after the naive control; or a `keras_mmc.evaluation.Suite`, the naive control
            first.
        norm: `"linf"` or `"l2"`.
        box: `(low, high)`, where images live.
        substitute: a second Keras model of the same images and classes; `"adaptive"`, `"mmc"` and
            `"black_box"` then also try adversarial examples crafted on it.
        queries: queries per image of Square and of RayS in `"black_box"`, 5000 if left out.
        rejection: what `calibrate_rejection` returned for this model; the report then says as well
            how many images are predicted right or rejected, under the suite and under an attack
            that knows the detector.
        batch_size: images attacked at a time.
        seed: integer; the same seed gives the same report on CPU, times aside.
        state_directory: where finished batches are kept. An audit that was interrupted goes on
            from there when it is called again with the same arguments, and gives the report it
            would have given. Delete the directory when the audit is done.
        verbose: 1 shows a progress bar for each attack, 0 nothing.

    Returns:
        An `AuditReport`; `print` it for a table and the findings, `save` it for a page.

    Raises:
        ValueError: for `eps <= 0` or one beyond the box, an unknown suite, attacks of your own that
            are none or search another ball, a function with another suite than `"black_box"`,
            images, labels or a data set that do not fit, a model that returns probabilities or NaN,
            a substitute that the suite does not use or that knows other classes, a rejection of
            another model, or a `state_directory` of another audit.
        BlackBoxError: if a call of a black box fails; with a `state_directory` the same audit goes
            on from the batches before.
        OSError: if `state_directory` cannot be written.

    Source: the protocol of Croce & Hein, ICML 2020 (arXiv 2003.01690), and the checks of
    Athalye et al., ICML 2018 (arXiv 1802.00420); the papers of the other suites
    are in `keras_mmc.evaluation.protocols`.

    Example:
    >>> report = keras_mmc.audit(model, x_test, y_test, eps=8 / 255)
    >>> print(report)
    """
    if not (is_number(eps) and eps > 0):
        raise ValueError(
            f"An audit needs a finite eps > 0, in input units; received {shown(eps)}. For accuracy "
            "without perturbations use model.evaluate."
        )
    box = tuple(box) if isinstance(box, list) else box
    check_box("audit", box)
    if state_directory is not None:
        check_state_directory(state_directory)
    # Plain numbers, so that the report can be written as JSON.
    ball = Ball(float(eps), norm, (float(box[0]), float(box[1])))
    model = as_black_box(model, suite)
    runner, model_name = Runner(model, batch_size, seed, verbose=verbose), model.name
    x, y, class_names = labeled_arrays(model, x, y, box)
    first = runner.scores(x)
    labels, num_classes = runner.labels(y, first), first.shape[1]
    if isinstance(substitute, keras.Model):
        substitute = _checked_substitute(substitute, x[:batch_size], num_classes)
    is_black_box = isinstance(runner.model, BlackBox)
    if rejection is not None:
        if is_black_box:
            raise ValueError("`rejection` needs a Keras model, whose scores and head it is about.")
        rejection.check_fits(runner.model)
    distilled = None
    if suite == BLACK_BOX and substitute is None:
        distilled = new_substitute(x.shape[1:], num_classes, ball.box, seed)
    options = {"queries": queries, "labels_only": is_black_box and runner.model.labels_only}
    places = x.shape[1:], num_classes, distilled or substitute
    made = _suite(suite, ball, places, options, not is_black_box)
    settings = {"suite": made.name, **dataclasses.asdict(ball), "seed": int(seed)}
    settings |= {"batch_size": int(batch_size), "versions": _versions()}
    digests = digests_of(runner.model, substitute, x, labels)
    with contextlib.ExitStack() as stack:
        if state_directory is not None:
            facts = digests | settings | {"attacks": _parameters(made)}
            state = AuditState(state_directory, facts, first[:batch_size])
            runner.remember = stack.enter_context(state)
        trials = tuple(
            trial_row(runner, name, trial, x, labels, first) for name, trial in made.trials.items()
        )
        errors: dict[str, str] = {}
        asked = distill(distilled, runner, ball, x, first) if distilled else 0
        result = runner.in_turn(
            made.attacks, x, labels, first, lambda name, error: errors.update({name: said(error)})
        )
        after = runner.scores(result.x_adv)
        detections: tuple[Detection, ...] = ()
        if rejection is not None:
            suite_of = f"the suite {made.name!r}", after
            detections = under_attack(runner, rejection, ball, x, labels, suite_of)
        diagnostics = diagnose(runner, ball, x, labels, first, after, made.attacks, result)
    rows = tuple(
        AttackRow(
            name,
            repr(attack),
            result.accuracy[name],
            result.seconds[name],
            result.attacked[name],
            errors.get(name),
            *(dataclasses.astuple(result.asked[name]) if is_black_box else ()),
        )
        for name, attack in made.attacks.items()
    )
    return AuditReport(
        **settings,
        digests=digests,
        num_images=len(x),
        clean_accuracy=result.accuracy["clean"],
        naive_accuracy=None if is_black_box else rows[0].accuracy,
        rows=rows,
        trials=trials,
        diagnostics=diagnostics,
        notes=runner.notes
        + _said_of_names(class_names, num_classes)
        + made.notes
        + (said_of_queries(rows, len(x), asked) if is_black_box else ())
        + tuple(
            f"{name} failed and broke nothing: without it the robust accuracy is an upper bound."
            for name in errors
        ),
        x=x,
        labels=labels,
        x_adv=result.x_adv,
        predictions=np.where(np.isnan(after).any(axis=1), -1, after.argmax(axis=1)),
        broken_by=result.broken_by,
        detections=detections,
        class_names=class_names if class_names and len(class_names) == num_classes else None,
        model_name=model_name,
        date=datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        command=_command(),
    )


def _suite(suite, ball, places, options, has_gradients):
    image_shape, num_classes, substitute = places
    if isinstance(suite, str):
        return make_suite(suite, ball, image_shape, num_classes, substitute, **options)
    if options["queries"] is not None:
        raise ValueError("`queries` is a budget of suite='black_box'; set it in your own attacks.")
    if isinstance(suite, Suite):
        return suite
    if substitute is not None:
        raise ValueError(
            "A list of attacks does not use `substitute`; put Transfer(attack, substitute) into it."
        )
    return custom_suite(suite, ball, has_gradients=has_gradients)


def _command():
    """The command line of this process; `None` where no script runs, as in a notebook."""
    return shlex.join(sys.argv) if hasattr(sys.modules["__main__"], "__file__") else None


def _said_of_names(class_names, num_classes):
    if class_names is None or len(class_names) == num_classes:
        return ()
    known = f"The data name {len(class_names)} classes, the model knows {num_classes}"
    return (f"{known}: check that label 0 of the data is class 0 of the model.",)


def _checked_substitute(substitute, x, num_classes):
    """The substitute by its scores."""
    runner = Runner(substitute, len(x))
    scores = runner.scores(x)
    try:
        arrays.check_scores(scores)
    except ValueError as error:
        raise ValueError(f"The substitute does not fit. {error}") from error
    if scores.shape[1] != num_classes:
        raise ValueError(
            f"The substitute must know the classes of the audited model, {num_classes}; it "
            f"returns scores of {scores.shape[1]} classes."
        )
    return runner.model


def _parameters(made):
    """The attacks of a suite as Python would write them; digests speak for a substitute."""

    def text(attack):
        return repr(attack.attack if isinstance(attack, Transfer) else attack)

    trials = {
        name: text(t.attack) + f", {t.limit}, {t.early_stop}" for name, t in made.trials.items()
    }
    return trials | {name: text(attack) for name, attack in made.attacks.items()}


def _versions():
    modules = {"keras": keras, "tensorflow": tf, "numpy": np}
    return {"keras_mmc": __version__} | {k: module.__version__ for k, module in modules.items()}

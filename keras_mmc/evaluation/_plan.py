"""What an audit is about and will do, checked before anything is attacked."""

import dataclasses
import os
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
from keras_mmc.evaluation._black_box import as_black_box
from keras_mmc.evaluation._inputs import labeled_arrays
from keras_mmc.evaluation._state_locks import Shard
from keras_mmc.evaluation._substitute import new_substitute
from keras_mmc.evaluation.checkpoint import AuditState, digests_of
from keras_mmc.evaluation.suites import Suite, custom_suite, make_suite

_CLEAN_SCORES = 128


@dataclasses.dataclass(frozen=True)
class Plan:
    """An audit before its attacks: the model, the images, the attacks, and what fixes the result.

    Attributes:
        runner: attacks the model; it has seen the images.
        model_name: name of the model as it came.
        ball: the ball of the audit.
        suite: its attacks.
        x: checked images `(N, ...)`, float32.
        labels: checked labels `(N,)`, int32.
        first: scores `(N, K)` of the images as they are.
        class_names: names of classes, if the data know them.
        distilled: an untrained network that is to learn the answers of a black box, or `None`.
        settings: what a report says of the settings, ready for JSON.
        digests: SHA-256 of models and data.
    """

    runner: Runner
    model_name: str
    ball: Ball
    suite: Suite
    x: np.ndarray
    labels: np.ndarray
    first: np.ndarray
    class_names: tuple[str, ...] | None
    distilled: keras.Model | None
    settings: dict[str, Any]
    digests: dict[str, str | None]

    @property
    def is_black_box(self) -> bool:
        """Whether the model only answers."""
        return isinstance(self.runner.model, BlackBox)

    def state(self, directory: str | os.PathLike[str], shard: Shard | None = None) -> AuditState:
        """The memory of this audit in a directory; errors are those of `AuditState`.

        What a black box is asked at a time may change its answers; the results of a Keras model do
        not depend on the size of batches.
        """
        facts = self.digests | self.settings | {"attacks": _parameters(self.suite)}
        if not self.is_black_box:
            del facts["batch_size"]
        return AuditState(directory, facts, self.first[:_CLEAN_SCORES], shard)


def make_plan(
    model: keras.Model | Callable[[np.ndarray], Any],
    x: Any,
    y: ArrayLike | None,
    eps: float,
    suite: str | Suite | Sequence[Attack] | Mapping[str, Attack],
    *,
    norm: str,
    box: tuple[float, float],
    substitute: keras.Model | None,
    queries: int | None,
    batch_size: int,
    seed: int,
    verbose: int,
) -> Plan:
    """Checks the arguments of `keras_mmc.audit`, which says what they are and what is refused."""
    if not (is_number(eps) and eps > 0):
        raise ValueError(
            f"An audit needs a finite eps > 0, in input units; received {shown(eps)}. For accuracy "
            "without perturbations use model.evaluate."
        )
    box = tuple(box) if isinstance(box, list) else box
    check_box("audit", box)
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
    distilled = None
    if suite == BLACK_BOX and substitute is None:
        distilled = new_substitute(x.shape[1:], num_classes, ball.box, seed)
    options = {"queries": queries, "labels_only": is_black_box and runner.model.labels_only}
    places = x.shape[1:], num_classes, distilled or substitute
    made = _suite(suite, ball, places, options, not is_black_box)
    settings = {"suite": made.name, **dataclasses.asdict(ball), "seed": int(seed)}
    settings |= {"batch_size": int(batch_size), "versions": _versions()}
    digests = digests_of(runner.model, substitute, x, labels)
    known = x, labels, first, class_names
    return Plan(runner, model_name, ball, made, *known, distilled, settings, digests)


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

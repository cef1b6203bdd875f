"""The one runner: attacks a model batch by batch and judges the result."""

import time
from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike

from keras_mmc import _arrays as arrays
from keras_mmc._tracing import CLASSES, INDEX, NUMBERS, SEED, batches, filled, images_spec, traced
from keras_mmc.adapters.black_box import NO_GRADIENTS, BlackBox
from keras_mmc.adapters.to_scores import open_model
from keras_mmc.attacks._engine.predictions import draw_targets, misclassified, score_function
from keras_mmc.attacks._engine.random import image_seeds
from keras_mmc.attacks.ball import check_inside
from keras_mmc.attacks.memory import Remember, broken_of
from keras_mmc.attacks.result import Asked, AttackResult, Broken

_SAME_SCORES = 1e-4


class Runner:
    """Attacks a model and judges the result; what attacks, audits, curves and callbacks use.

    It owns the graphs of the attacks it has run, one per attack and image shape; they go with it.
    A model that was edited in between is attacked as it is now: each run compares scores of a fresh
    forward pass with those of the graphs, and drops the graphs if they differ. Where an ending was
    taken off, weights are shared and layers are not: make another runner after editing layers.

    Args:
        model: Keras classifier; it runs in inference mode. What it returns becomes scores `(N, K)`
            as `keras_mmc.to_scores` says. A `keras_mmc.adapters.BlackBox` is asked eagerly, by
            attacks without gradients only.
        batch_size: images attacked at a time. A Keras model gets them in multiples of 16, filled up
            with repeats of the last one, so that on CPU no bit of a result depends on it; only
            layers as wide as 25,088 by 4,096 were seen to depend on it still.
        seed: integer; the same seed gives the same bits on CPU.
        first_index: number of the first image in the whole set; random choices of an attack depend
            on the seed and the number of an image alone.
        remember: where finished batches are kept, as `keras_mmc.attacks.memory` says.
        verbose: 1 shows the name of each attack and a progress bar.

    Attributes:
        given: the model as it came.
        model: the model that is attacked; known once images have been seen.
        notes: what was done to make scores of what it returns, in sentences.

    Raises:
        ValueError: if an argument does not fit.

    Example:
    >>> runner = keras_mmc.attacks.Runner(model)
    >>> runner.robust_accuracy(keras_mmc.attacks.PGD(8 / 255), x_test, y_test)
    """

    def __init__(
        self,
        model: Any,
        batch_size: int = 128,
        seed: int = 0,
        *,
        first_index: int = 0,
        remember: Remember = lambda name, rows, compute: list(compute(rows)),
        verbose: int = 0,
    ):
        arrays.check_call(model, batch_size, seed)
        self.given = self.model = model
        self.notes: tuple[str, ...] = ()
        self._score_fn: Callable | None = None
        self.batch_size = batch_size
        self.seed = seed
        self.first_index = first_index
        self.verbose = verbose
        self.remember = remember
        self._graphs: dict = {}

    def scores(self, x: np.ndarray) -> np.ndarray:
        """Scores `(N, K)` of images, batch by batch, in a fresh forward pass outside any graph."""
        score_fn = self._open(x)

        def scored(images):
            return score_fn(tf.constant(images, tf.float32)).numpy()

        run = scored if isinstance(self.model, BlackBox) else filled(scored)
        return np.concatenate([run(x[part]) for part in batches(len(x), self.batch_size)])

    def _open(self, x: np.ndarray) -> Callable:
        """The score function; the first images tell what the model returns, as `to_scores` does."""
        if self._score_fn is None:
            if isinstance(self.model, keras.Model) and len(x):
                opened = open_model(self.model, x[: self.batch_size])
                self.model, self.notes = opened.model, opened.notes
            self._score_fn = score_function(self.model)
        return self._score_fn

    def labels(self, y: ArrayLike | None, scores: np.ndarray) -> np.ndarray:
        """Checked labels `(N,)`, int32: `y`, or the predictions if it is `None`.

        A `ValueError` refuses outputs that are no scores `(N, K)`, and labels that do not fit.
        """
        arrays.check_scores(scores)
        if y is None:
            return scores.argmax(axis=-1).astype("int32")
        return arrays.check_classes(y, len(scores), scores.shape[1], "y")

    def is_random(self, x: np.ndarray, scores: np.ndarray) -> bool:
        """Whether the first batch gets other scores `(N, K)` in one more forward pass."""
        again = self.scores(x[: self.batch_size])
        return not np.array_equal(scores[: self.batch_size], again, equal_nan=True)

    def attack(
        self, attack: Any, x: ArrayLike, y: ArrayLike | None = None, targets: Any = None
    ) -> np.ndarray:
        """Attacks images; see `Attack.__call__`."""
        x = arrays.check_images(x, attack.box)
        arrays.check_targets_fit(attack, targets)
        if not len(x):
            return x.copy()
        scores = self.scores(x)
        labels = self.labels(y, scores)
        if targets is not None:
            targets = arrays.check_targets(targets, labels, scores.shape[1])
        elif attack.targeted:
            seeds = image_seeds(self.seed, self.first_index + np.arange(len(labels)))
            targets = draw_targets(labels, scores.shape[1], seeds).numpy()
        rows = np.flatnonzero(~attack.succeeded(scores, labels, targets).numpy())
        progress = keras.utils.Progbar(len(x), verbose=self.verbose, unit_name="image")
        progress.update(len(x) - len(rows))
        self._forget_if_edited(x[rows])
        result = x.copy()
        for batch in self._batches(rows):
            result[batch] = self._craft(attack, x, labels, batch, targets=targets)
            progress.add(len(batch))
        return result

    def generate(self, attack: Any, x: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """What the training view of an attack makes of checked images and labels."""
        self._forget_if_edited(x)
        rows = self._batches(np.arange(len(x)))
        made = [self._craft(attack, x, labels, batch, early_stop=False) for batch in rows]
        return np.concatenate(made)

    def robust_accuracy(self, attack: Any, x: ArrayLike, y: ArrayLike) -> float:
        """Fraction of images `(N, ...)` whose labels `(N,)` are predicted before and after."""
        x = arrays.check_images(x, attack.box)
        scores = self.scores(x)
        labels = self.labels(y, scores)
        return self.in_turn({"attack": attack}, x, labels, scores).robust_accuracy

    def in_turn(
        self,
        attacks: Mapping[str, Any],
        x: np.ndarray,
        labels: np.ndarray,
        scores: np.ndarray,
        on_error: Callable[[str, Exception], None] | None = None,
    ) -> AttackResult:
        """Runs attacks in turn, each on the images that those before it did not break.

        `x`, `labels` and `scores` are checked images `(N, ...)`, their labels `(N,)` and the scores
        `(N, K)` of the images as they are. If an attack after the first cannot run, `on_error` is
        called with its name and the error, so that nothing found before is lost.
        """
        x_adv, robust = x.copy(), ~misclassified(scores, labels).numpy()
        broken_by = np.full(len(x), None, dtype=object)
        broken_by[~robust] = "clean"
        accuracy = {"clean": robust.mean().item()}
        seconds, attacked = dict[str, float](), dict[str, int]()
        asked = dict[str, Asked]()
        for name, attack in attacks.items():
            rows = np.flatnonzero(robust)
            attacked[name] = len(rows)
            try:
                broken = self.run(attack, x, labels, rows, name=name)
            except Exception as error:
                if on_error is None or not seconds:
                    raise
                on_error(name, error)
                broken = Broken(rows[:0], x[:0], 0.0)
            x_adv[broken.rows], broken_by[broken.rows] = broken.x_adv, name
            robust[broken.rows] = False
            accuracy[name] = robust.mean().item()
            seconds[name], asked[name] = broken.seconds, broken.asked
        return AttackResult(x_adv, tuple(broken_by), accuracy, seconds, attacked, asked)

    def run(
        self,
        attack: Any,
        x: np.ndarray,
        labels: np.ndarray,
        rows: np.ndarray,
        *,
        name: str = "",
        eps: Any = None,
        early_stop: bool = True,
    ) -> Broken:
        """Attacks some images and judges the adversarial examples in a fresh forward pass.

        Args:
            attack: the attack.
            x: checked images `(N, ...)`.
            labels: checked labels `(N,)`.
            rows: the images to attack, `(n,)`.
            name: name of the attack, for the progress bar and `remember`.
            eps: radius of this run: a number, or one per image `(N,)`.
            early_stop: `False` makes all steps and judges the image they end in.

        Raises:
            ValueError: for an adversarial example that is not finite or outside ball or box.
        """
        if not len(rows):
            return Broken(rows, x[rows], 0.0)
        if eps is not None:
            eps = np.broadcast_to(np.asarray(eps, "float32"), len(x))
        if self.verbose:
            print(f"{name}: {len(rows)} of {len(x)} images left", flush=True)
        progress = keras.utils.Progbar(len(rows), verbose=self.verbose, unit_name="image")
        self._forget_if_edited(x[rows])

        def judged(missing):
            progress.update(len(rows) - len(missing))
            for batch in self._batches(missing):
                began, before = time.perf_counter(), self._asked()
                x_adv = self._craft(attack, x, labels, batch, eps=eps, early_stop=early_stop)
                broken = misclassified(self.scores(x_adv), labels[batch]).numpy()
                seconds = np.asarray(time.perf_counter() - began)
                queries, calls = self._asked() - before
                asked = np.array([queries, max(calls, -(-queries // len(batch)))])
                found = {"broken": batch[broken], "x_adv": x_adv[broken]}
                yield {"rows": batch, "seconds": seconds, "asked": asked} | found
                progress.add(len(batch))

        parts = self.remember(name, rows, judged)
        found, x_adv = broken_of(parts, rows)
        if x_adv.shape[1:] != x.shape[1:]:
            raise ValueError("The finished batches that were kept are of other images.")
        check_inside(attack, x_adv, x[found], None if eps is None else eps[found])
        queries, most = np.stack([part["asked"] for part in parts]).T
        asked = Asked(int(queries.sum()), int(most.max()))
        return Broken(found, x_adv, float(sum(part["seconds"] for part in parts)), asked)

    def _asked(self):
        """How many images a black box was asked about so far, in how many calls; else zeros."""
        model = self.model
        return np.array([model.queries, model.calls] if isinstance(model, BlackBox) else [0, 0])

    def _craft(self, attack, x, labels, rows, *, targets=None, eps=None, early_stop=True):
        """Adversarial examples of one batch, in the dtype of `x`."""
        if isinstance(self.model, BlackBox):
            if attack.uses_gradients:
                raise ValueError(f"{type(attack).__name__} needs gradients. {NO_GRADIENTS}")
            found = self._ask(attack, x, labels, rows, targets, eps, early_stop)
            return arrays.as_precise_as(x[rows], found, attack.box)
        key = attack, early_stop, x.shape[1:], targets is None, eps is None
        if key not in self._graphs:
            spec, scores_key = images_spec(x.shape), ("scores", x.shape[1:])
            if scores_key not in self._graphs:
                self._graphs[scores_key] = traced(self._open(x), spec)
            self._graphs[key] = self._trace(attack, self._open(x), spec, targets, eps, early_stop)
        given = [] if targets is None else [targets[rows]]
        given += [] if eps is None else [eps[rows]]
        index = self.first_index + rows
        found = self._graphs[key](x[rows], labels[rows], self.seed, index, *given)
        return arrays.as_precise_as(x[rows], found, attack.box)

    def _ask(self, attack, x, labels, rows, targets, eps, early_stop):
        """What `_trace` makes, outside graphs: a function that runs one itself may wait there."""
        view = attack.search if early_stop else attack.generate
        images, index = tf.constant(x[rows], tf.float32), tf.constant(self.first_index + rows)
        options = {"targets": targets, "eps": eps}
        given = {name: tf.constant(v[rows]) for name, v in options.items() if v is not None}
        return view(self._open(x), images, labels[rows], self.seed, index=index, **given).numpy()

    def _trace(self, attack, score_fn, images, targets, eps, early_stop):
        given = {"targets": (targets, CLASSES), "eps": (eps, NUMBERS)}
        names = [name for name, (value, _) in given.items() if value is not None]
        specs = [given[name][1] for name in names]
        view = attack.search if early_stop else attack.generate

        def craft(x, y, seed, index, *values):
            options = dict(zip(names, values, strict=True))
            return view(score_fn, x, y, seed, index=index, **options)

        return filled(traced(craft, images, CLASSES, SEED, INDEX, *specs))

    def _forget_if_edited(self, x):
        """Drops the graphs if the model no longer scores images as they do."""
        graph, batch = self._graphs.get(("scores", x.shape[1:])), x[: self.batch_size]
        if graph is None or not len(batch):
            return
        fresh = self.scores(batch)
        close = _SAME_SCORES * np.abs(fresh).max(initial=0.0)
        if not np.allclose(graph(batch), fresh, rtol=0, atol=close, equal_nan=True):
            self._graphs.clear()

    def _batches(self, rows):
        return (rows[part] for part in batches(len(rows), self.batch_size))

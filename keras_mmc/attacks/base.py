"""The base class of attacks: what people call, and the one hook that attacks implement."""

import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike

from keras_mmc._serialization import Configurable
from keras_mmc.attacks._engine.fields import as_floats, check_fields
from keras_mmc.attacks._engine.foreign import canonical_norm, check_arguments
from keras_mmc.attacks._engine.loops import per_image
from keras_mmc.attacks._engine.predictions import draw_targets, misclassified, reached
from keras_mmc.attacks._engine.random import image_seeds
from keras_mmc.attacks.ball import Ball
from keras_mmc.attacks.runner import Runner

ScoreFn = Callable[[tf.Tensor], tf.Tensor]


@dataclasses.dataclass(frozen=True)
class Attack(Configurable):
    """Base class of attacks: a frozen dataclass of parameters, without state.

    A subclass declares its fields and implements `run`. Fields that attacks share have one name
    everywhere, are checked here, and come in this order: `eps`, `steps`, `step_size`, `norm`,
    `objective`, `targeted`, `random_start`, `restarts`, `box`. What an attack is, it says itself,
    in the attributes below; a subclass overrides those that differ. `norm` may also be `np.inf` or
    2, and an argument of another library is answered with its name here.

    Attributes:
        targeted: whether it reaches for a target class instead of leaving the label.
        box: `(low, high)`, where images live.
        uses_gradients: whether it takes gradients of the attacked model.
        starts_at_random: whether it starts away from the image.
        fixed_eps: whether `eps` is what the attack was made with. If not, `run` takes `eps`.
        fixed_steps: the same of the number of steps, `steps`.
        trains: whether it has a training view. Attacks that only evaluate have none.
        optional_fields: names of the shared fields that may be `None`.

    Example:
    >>> attack = keras_mmc.attacks.PGD(eps=8 / 255, steps=50, restarts=5)
    >>> x_adv = attack(model, x_test, y_test)
    """

    # Not annotated, so not fields.
    targeted = False
    box = (0.0, 1.0)
    uses_gradients = True
    fixed_steps = True
    trains = True
    optional_fields: ClassVar[tuple[str, ...]] = ()

    def __new__(cls, *args: Any, **fields: Any) -> "Attack":
        check_arguments(cls, args, fields)
        return super().__new__(cls)

    def __post_init__(self):
        if any(field.name == "norm" and field.init for field in dataclasses.fields(self)):
            object.__setattr__(self, "norm", canonical_norm(getattr(self, "norm")))  # noqa: B009
        check_fields(self)
        for name, value in as_floats(self).items():
            object.__setattr__(self, name, value)

    @property
    def starts_at_random(self) -> bool:
        return False

    @property
    def fixed_eps(self) -> bool:
        return True

    @property
    def ball(self) -> Ball | None:
        """The ball that the attack stays in; `None` if it bounds perturbations in no such way."""
        return None

    @property
    def has_objective(self) -> bool:
        """Whether `dataclasses.replace` can give it another `objective`."""
        return any(f.name == "objective" and f.init for f in dataclasses.fields(self))

    @property
    def aims(self) -> bool:
        """Whether its objective takes a target."""
        return self.targeted

    def run(
        self,
        score_fn: ScoreFn,
        x: tf.Tensor,
        y: tf.Tensor,
        seed: tf.Tensor,
        targets: tf.Tensor,
        early_stop: bool,
        *_: Any,
        **budget: Any,
    ) -> tf.Tensor:
        """The attack, in pure TensorFlow: eagerly, in a graph, under XLA, in a training step.

        Args:
            score_fn: maps images to scores `(N, K)`, float32.
            x: images `(N, ...)` of rank 2 or more, floats inside the box.
            y: labels, `int32`, `(N,)`.
            seed: `int64` `(N,)`, one per image: all that random choices may depend on.
            targets: classes to reach, `int32`, `(N,)`; the labels if the attack has no target.
            early_stop: `False` in training: a fixed number of steps on the whole batch, as XLA
                needs. `True` in evaluation: the first adversarial example found of every image;
                images that are done stop costing, those that never are get the last or best.
            **budget: `eps`, a number, scalar tensor or tensor `(N, 1, ...)`, unless `fixed_eps`;
                `steps`, an integer or scalar tensor, unless `fixed_steps`.

        Returns:
            Images in the shape and dtype of `x`.
        """
        raise NotImplementedError(f"{type(self).__name__} does not implement `run`.")

    def generate(
        self,
        score_fn: ScoreFn,
        x: ArrayLike,
        y: ArrayLike,
        seed: ArrayLike,
        targets: ArrayLike | None = None,
        *,
        index: ArrayLike | None = None,
        eps: Any = None,
        steps: Any = None,
    ) -> tf.Tensor:
        """The training view: a fixed number of steps, and the batch they end in.

        Args:
            score_fn: maps images to scores `(N, K)`, float32, the model in inference mode.
            x: images `(N, ...)`, floats inside the box.
            y: labels, `int32`, `(N,)`.
            seed: integer or integers `(k,)`; the same seed gives the same bits on CPU.
            targets: classes to reach, `(N,)`; a targeted attack without them draws them.
            index: numbers `(N,)` of the images in the whole set, from 0 if left out. Random choices
                depend on the seed and the number of an image and on nothing else.
            eps: radius of this run, a number, scalar tensor or one per image `(N,)`.
            steps: number of steps of this run, an integer or scalar tensor.

        Returns:
            Adversarial examples in the shape and dtype of `x`; no gradient flows through them.

        Raises:
            ValueError: for `eps` or `steps` where the attack has fixed ones.
        """
        budget = {"eps": eps, "steps": steps}
        return self._view(score_fn, x, y, seed, targets, early_stop=False, index=index, **budget)

    def search(
        self,
        score_fn: ScoreFn,
        x: ArrayLike,
        y: ArrayLike,
        seed: ArrayLike,
        targets: ArrayLike | None = None,
        **options: Any,
    ) -> tf.Tensor:
        """The evaluation view: of each image the first adversarial example, else the last or best.

        A targeted attack has succeeded where the model predicts the target. Arguments and errors
        are those of `generate`.
        """
        return self._view(score_fn, x, y, seed, targets, early_stop=True, **options)

    def __call__(
        self,
        model: Any,
        x: ArrayLike,
        y: ArrayLike | None = None,
        *,
        targets: ArrayLike | None = None,
        batch_size: int = 128,
        seed: int = 0,
        first_index: int = 0,
        verbose: int = 0,
    ) -> np.ndarray:
        """Attacks a model as it is now; images that fool it as they are come back unchanged.

        The attack is traced once per call. `keras_mmc.attacks.Runner` attacks many times without
        tracing again.

        Args:
            model: Keras model from images to scores `(N, K)`; it runs in inference mode.
            x: images `(N, ...)`, NumPy or tensor, float32 or float64, inside the box.
            y: integer labels `(N,)`; `None` takes the model's own predictions.
            targets: integer classes `(N,)`, for a targeted attack; `None` draws them by `seed`
                uniformly among the wrong classes.
            batch_size: images attacked at a time.
            seed: integer; the same seed gives the same bits on CPU.
            first_index: number of the first image in the whole set: parts of a set, each with its
                own, get the adversarial examples of the whole.
            verbose: 1 shows a progress bar.

        Returns:
            NumPy array in the shape and dtype of `x`.

        Raises:
            ValueError: if images, labels, targets or the model's scores do not fit.
        """
        runner = Runner(model, batch_size, seed, first_index=first_index, verbose=verbose)
        return runner.attack(self, x, y, targets)

    def starting_near(self, deviation: float) -> "Attack":
        """The attack with its random start, if it has one, at normal noise of that deviation."""
        return self

    def succeeded(self, scores: ArrayLike, y: ArrayLike, targets: ArrayLike) -> tf.Tensor:
        """Boolean `(N,)`: these scores are what the attack is after."""
        return reached(scores, targets) if self.targeted else misclassified(scores, y)

    def _view(self, score_fn, x, y, seed, targets, *, early_stop, index=None, eps=None, steps=None):
        x, y = tf.convert_to_tensor(x), tf.cast(y, tf.int32)
        seeds = image_seeds(seed, tf.range(tf.shape(x)[0]) if index is None else index)
        if not self.targeted:
            targets = y
        elif targets is None:
            # Only the static shape is used: never computed in a graph, one image of a black box.
            targets = draw_targets(y, score_fn(x[:1]).shape[-1], seeds)
        budget = self.budget(x, eps, steps)
        found = self.run(score_fn, x, y, seeds, targets, early_stop, **budget)
        return tf.stop_gradient(tf.ensure_shape(found, x.shape))

    def budget(self, x: tf.Tensor, eps: Any, steps: Any) -> dict[str, Any]:
        """What `run` takes of `eps` and `steps`: that of this run, else that of the fields."""
        budget, given = {}, {"eps": (eps, self.fixed_eps), "steps": (steps, self.fixed_steps)}
        for name, (value, is_fixed) in given.items():
            if is_fixed and value is not None:
                raise ValueError(
                    f"{type(self).__name__} takes no `{name}` at run time; received {value!r}. "
                    "Make the attack with it."
                )
            if not is_fixed:
                budget[name] = getattr(self, name) if value is None else value
        if tf.is_tensor(budget.get("eps")) and budget["eps"].shape.rank == 1:
            budget["eps"] = per_image(tf.cast(budget["eps"], x.dtype), x)
        return budget


@dataclasses.dataclass(frozen=True)
class BallAttack(Attack):
    """Base class of attacks inside a ball of radius `eps`.

    Args:
        eps: radius of the ball, in input units.
    """

    eps: float

    norm = "linf"  # not annotated, so not a field
    fixed_eps = False

    def __post_init__(self):
        super().__post_init__()
        _ = self.ball  # which checks eps against the box

    @property
    def ball(self) -> Ball:
        return Ball(self.eps, self.norm, self.box)

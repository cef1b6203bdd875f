"""The base classes of defenses: what they see of a training step, and what they may override."""

import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar

import keras
import tensorflow as tf

from keras_mmc._backend import require_tensorflow
from keras_mmc._gradients import ScoreFn
from keras_mmc._serialization import Configurable
from keras_mmc.attacks import Attack
from keras_mmc.losses import ScoreLoss

require_tensorflow("keras_mmc.defenses")


@dataclasses.dataclass(frozen=True)
class StepContext:
    """What a defense sees of one training step: the model, and what random choices depend on.

    Attributes:
        scores: maps images to scores `(N, K)`, float32, in training mode.
        attacked: the same as attacks see it, in inference mode unless asked otherwise.
        loss: the compiled loss of scores `(N, K)` for the labels of the batch, `(N,)`; of a loss
            that needs features only the part that is a function of scores, of one that compares
            pairs only those of this replica, for attacks.
        epoch: `int32` scalar, the current epoch, from 0.
        temperature: what the head's scores are divided by before a softmax.
        seed: `int32` `(2,)`, the seed of the model and the number of the batch.
        index: `int32` `(N,)`, numbers of the images in the batch of all replicas.
        mean: the mean of values `(N,)` over the images of all replicas that are trained on.
        more_than_scores: `scored` of a loss that is more than a function of the scores of its
            images; `None` for any other.
    """

    scores: ScoreFn
    attacked: ScoreFn
    loss: Callable[[tf.Tensor], tf.Tensor]
    epoch: tf.Tensor
    temperature: float
    seed: tf.Tensor
    index: tf.Tensor
    mean: Callable[[tf.Tensor], tf.Tensor] = dataclasses.field(
        default_factory=lambda: tf.reduce_mean
    )
    more_than_scores: Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]] | None = None

    def scored(self, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Scores `(N, K)` of images in training mode and the compiled loss of each, `(N,)`.

        Both come from one forward pass. The loss that is trained is taken from here: a loss that
        needs features, or pairs of images on several replicas, is more than a function of scores.
        """
        if self.more_than_scores is not None:
            return self.more_than_scores(x)
        scores = self.scores(x)
        return scores, self.loss(scores)

    def generate(
        self, attack: Attack, x: tf.Tensor, y: tf.Tensor, eps: Any = None, steps: Any = None
    ) -> tf.Tensor:
        """Adversarial examples, `attack.generate` on the model with the draws of this step."""
        return attack.generate(
            self.attacked, x, y, self.seed, index=self.index, eps=eps, steps=steps
        )


@dataclasses.dataclass(frozen=True)
class SampleLosses:
    """The loss of one step, one value per sample, and the scores it was computed from.

    Attributes:
        weighted: the part of the loss that a re-weighting defense weighs, `(N,)`.
        adversarial: scores of the adversarial examples, `(N, K)`, if there are any.
        clean: scores of the clean images, `(N, K)`, if the defense computes them.
        fixed: the part that a re-weighting defense leaves alone, `(N,)`, if there is any.
    """

    weighted: tf.Tensor
    adversarial: tf.Tensor | None = None
    clean: tf.Tensor | None = None
    fixed: tf.Tensor | float = 0.0

    @property
    def values(self) -> tf.Tensor:
        """The loss, `(N,)`."""
        return self.fixed + self.weighted


@dataclasses.dataclass(frozen=True)
class Defense(Configurable):
    """Base class of defenses: a frozen dataclass of parameters, without state.

    As it stands it minimizes the compiled loss of the adversarial examples of its
    `training_attack`, or of the images as they are. A subclass overrides `loss` for another loss,
    `perturb` for other examples, `update` to update the weights more than once per batch, and
    `at_epoch` to let another defense train for some epochs. The first three take the `context` of
    the step, images `x` `(N, ...)` inside the box, and labels `y`, `int32`, `(N,)`. A field that
    does not fit raises a `ValueError`.

    Attributes:
        mail_defaults: slope and bias of `MAIL` on this defense; empty if its samples cannot be
            weighted.
        takes_pairs: set it to `False` if it needs the loss of single samples.
    """

    mail_defaults: ClassVar[tuple[float, ...]] = ()
    takes_pairs: ClassVar[bool] = True

    @property
    def training_attack(self) -> Attack | None:
        """The attack that training images undergo, if there is one."""
        return None

    @property
    def num_optimizers(self) -> int:
        """1; or 2, for a second optimizer made as the compiled one, with a state of its own."""
        return 1

    def at_epoch(self, epoch: int) -> "Defense":
        """The defense that trains in an epoch, from 0; another object makes a new graph."""
        return self

    def check(self, loss: keras.losses.Loss, num_classes: int) -> None:
        """Refuses with a `ValueError` a compiled loss that cannot be trained with this defense."""
        if not isinstance(loss, ScoreLoss):
            return
        if not loss.says_true_class:
            raise ValueError(
                f"{type(self).__name__} cannot train with {type(loss).__name__} alone: it says "
                "nothing about the true class. Use GuidedComplementEntropy, or ComplementTraining "
                "with another loss."
            )
        if loss.pairwise and not self.takes_pairs:
            raise ValueError(
                f"{type(self).__name__} needs the loss of single samples; {type(loss).__name__} "
                "compares pairs. Use DifferentialTraining or AdversarialTraining."
            )
        loss.check_classes(num_classes)

    def perturb(self, context: StepContext, x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
        """The images to train on, in the shape and dtype of `x`; no gradient flows through them."""
        attack = self.training_attack
        return x if attack is None else context.generate(attack, x, y)

    def loss(
        self, context: StepContext, x: tf.Tensor, x_adv: tf.Tensor, y: tf.Tensor
    ) -> SampleLosses:
        """The loss of images `x` whose perturbed versions are `x_adv`."""
        scores, values = context.scored(x_adv)
        if self.training_attack is None:
            return SampleLosses(values, clean=scores)
        return SampleLosses(values, adversarial=scores)

    def update(
        self, context: StepContext, x: tf.Tensor, y: tf.Tensor, update_weights: Callable
    ) -> SampleLosses:
        """One batch of training; returns the losses to report.

        `update_weights(loss, images)` returns `(losses, gradient)`: it makes one optimizer step
        along the gradient of the mean of `loss(images)`, a function from images to `SampleLosses`.
        The gradient of the images is computed with `input_gradient=True`, else it is `None`.
        `optimizer=1` takes the second optimizer; regularizers and what layers add to the loss
        belong to the first.
        """
        x_adv = self.perturb(context, x, y)
        return update_weights(lambda images: self.loss(context, x, images, y), x_adv)[0]


@keras.saving.register_keras_serializable("keras_mmc")
@dataclasses.dataclass(frozen=True)
class StandardTraining(Defense):
    """Training on the images as they are: what defenses are compared with.

    It gives robust validation accuracy and regularizers to plain training.

    Example:
    >>> robust = keras_mmc.AdversarialModel(
    ...     model, keras_mmc.defenses.StandardTraining(),
    ...     validation_attack=keras_mmc.attacks.PGD(eps=0.1))
    """


@dataclasses.dataclass(frozen=True)
class WrappingDefense(Defense):
    """Base class of defenses that do what another does, except where they override."""

    @property
    def wrapped(self) -> Defense:
        """The defense underneath, made of the fields."""
        raise NotImplementedError(f"{type(self).__name__} does not implement `wrapped`.")

    @property
    def training_attack(self) -> Attack | None:
        """The attack of the defense underneath."""
        return self.wrapped.training_attack

    def check(self, loss, num_classes):
        self.wrapped.check(loss, num_classes)
        super().check(loss, num_classes)

    def perturb(self, context, x, y):
        return self.wrapped.perturb(context, x, y)

    def loss(self, context, x, x_adv, y):
        return self.wrapped.loss(context, x, x_adv, y)


def properties_of(loss: keras.losses.Loss) -> ScoreLoss | type[ScoreLoss]:
    """The attributes of a `ScoreLoss`; for any other loss the defaults of that class."""
    return loss if isinstance(loss, ScoreLoss) else ScoreLoss


def check_attack(owner: str, attack: Any, in_training: bool = True) -> None:
    """Refuses, in the owner's name, what is not an attack, perturbs nothing, or cannot train."""
    if not isinstance(attack, Attack):
        raise ValueError(
            f"{owner}: `attack` must be an attack, such as PGD(8 / 255); received {attack!r}."
        )
    if attack.ball is not None and attack.ball.eps <= 0:
        raise ValueError(
            f"{owner}: an attack with eps={attack.ball.eps} perturbs nothing. Pass an eps > 0 in "
            "input units, or StandardTraining for training without an attack."
        )
    if in_training and not attack.trains:
        raise ValueError(
            f"{owner}: {type(attack).__name__} has no fixed number of steps to put into a graph. "
            "Pass an attack such as PGD(8 / 255), and test the trained model with keras_mmc.audit."
        )

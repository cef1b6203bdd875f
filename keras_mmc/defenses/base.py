"""The base class of defences: what they see of a model, and the two methods they implement."""

import dataclasses
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_mmc._backend import require_tensorflow
from keras_mmc._serialization import Configurable
from keras_mmc._validation import check_count
from keras_mmc.attacks import APGD, EAD, CarliniWagner, CleverHans
from keras_mmc.attacks.base import Attack, ScoreFn, norm_of
from keras_mmc.losses import ComplementEntropy, DifferentialLoss, GuidedComplementEntropy
from keras_mmc.losses.complement import check_more_than_two_classes

require_tensorflow("keras_mmc.defenses")

Schedule = Callable[[Any], Any]
# Attacks that derive checkpoints or loops from a number of steps known when the graph is made.
_PLANNED = (APGD, CarliniWagner, EAD)


@dataclasses.dataclass(frozen=True)
class Learner:
    """What a defence sees of the model in one training step.

    Attributes:
        scores: maps images to scores `(N, K)`, float32, in training mode.
        attacked: the same as attacks see it, in inference mode unless asked otherwise.
        loss: the compiled loss of scores `(N, K)` for the labels of the batch, `(N,)`.
        epoch: `int32` scalar, the epoch that runs, from 0.
        temperature: what the head's scores are divided by before a softmax.
    """

    scores: ScoreFn
    attacked: ScoreFn
    loss: Callable[[tf.Tensor], tf.Tensor]
    epoch: tf.Tensor
    temperature: float


@dataclasses.dataclass(frozen=True)
class Losses:
    """The loss of one step, one value per sample, and the scores it was computed from.

    Attributes:
        weighted: the part of the loss that a re-weighting defence weighs, `(N,)`.
        adversarial: scores at the adversarial points, `(N, K)`, if there are any.
        clean: scores at the clean images, `(N, K)`, if the defence computes them.
        fixed: the part that a re-weighting defence leaves alone, `(N,)`, if there is any.
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
    """Base class of defences: a frozen dataclass of parameters, without state.

    A subclass implements `perturb`, and `loss` where it is not the compiled loss of the perturbed
    images; one that updates the weights more than once per batch overrides `update`.
    """

    # Not annotated, so not fields: the values of defences that do not say otherwise.
    attack = None
    needs_second_optimizer = False

    def check(self, loss: keras.losses.Loss, num_classes: int) -> None:
        """Checks that the compiled loss can be trained with this defence.

        Args:
            loss: the compiled loss.
            num_classes: number of classes K.

        Raises:
            ValueError: if it cannot, with the reason.
        """
        if isinstance(loss, ComplementEntropy):
            raise ValueError(
                f"{type(self).__name__} cannot train with ComplementEntropy alone: it says nothing "
                "about the true class. Use GuidedComplementEntropy, or ComplementTraining with "
                "another loss."
            )
        if isinstance(loss, GuidedComplementEntropy):
            check_more_than_two_classes(num_classes, "GuidedComplementEntropy")

    def perturb(self, learner: Learner, x, y, seed) -> tf.Tensor:
        """The images to train on, in the shape and dtype of `x`; no gradient flows through them.

        Args:
            learner: the model of this step.
            x: images `(N, ...)` inside the box.
            y: labels, `int32`, `(N,)`.
            seed: `int32` of shape `(2,)`.
        """
        raise NotImplementedError(f"{type(self).__name__} does not implement `perturb`.")

    def loss(self, learner: Learner, x, x_adv, y) -> Losses:
        """The loss of images `x` whose perturbed versions are `x_adv`."""
        scores = learner.scores(x_adv)
        values = learner.loss(scores)
        if self.attack is None:
            return Losses(values, clean=scores)
        return Losses(values, adversarial=scores)

    def update(self, learner: Learner, x, y, seed, descend) -> Losses:
        """One batch of training.

        Args:
            learner: the model of this step.
            x: images `(N, ...)` inside the box.
            y: labels, `int32`, `(N,)`.
            seed: `int32` of shape `(2,)`.
            descend: `(loss, points) -> (losses, gradient)`: updates the weights along the gradient
                of the mean of `loss(points)`, a function from images to `Losses`. The gradient of
                the points is computed with `input_gradient=True`, else it is `None`; with
                `second=True` the second optimizer makes the step.

        Returns:
            The losses to report.
        """
        x_adv = self.perturb(learner, x, y, seed)
        return descend(lambda points: self.loss(learner, x, points, y), x_adv)[0]


def ball_of(attack: Attack) -> tuple[Any, str | None]:
    """Radius and norm of the ball of an attack; the radius is `None` if it has no such ball."""
    if not isinstance(attack, CleverHans):
        return getattr(attack, "eps", None), norm_of(attack)
    arguments = dict(attack.arguments)
    norm = {2: "l2", np.inf: "linf"}.get(arguments.get("norm", np.inf))
    return None if norm is None else arguments.get("eps"), norm


def check_attack(owner: str, attack) -> None:
    """Refuses what is no attack, and an attack that perturbs nothing.

    Raises:
        ValueError: naming the owner.
    """
    if not isinstance(attack, Attack):
        raise ValueError(
            f"{owner}: `attack` must be an attack, such as PGD(8 / 255); received {attack!r}."
        )
    eps, _ = ball_of(attack)
    if isinstance(eps, (int, float)) and eps <= 0:
        raise ValueError(
            f"{owner}: an attack with eps={eps} perturbs nothing. Pass an eps > 0 in input units, "
            "or StandardTraining for training without an attack."
        )


def check_attack_in_graph(owner: str, attack) -> None:
    """Refuses what `check_attack` refuses, and attacks that only evaluate.

    Raises:
        ValueError: naming the owner.
    """
    check_attack(owner, attack)
    if type(attack).generate is Attack.generate:
        raise ValueError(
            f"{owner}: {type(attack).__name__} has no fixed number of steps to put into a graph. "
            "Pass an attack such as PGD(8 / 255), and judge the trained model with keras_mmc.audit."
        )


@dataclasses.dataclass(frozen=True)
class AttackDefense(Defense):
    """Base class of defences that train on the points of an attack.

    Args:
        attack: the attack; training uses its training view, with a fixed number of steps.
        objective: what the attack maximises in training: `None` for the objective of the attack
            or of the paper (see the class), `"training_loss"` for the compiled loss, or anything
            that the attack itself takes.
        eps_schedule: function of the epoch that gives `eps`, such as a
            `keras.optimizers.schedules.LearningRateSchedule`; `None` keeps that of the attack.
        steps_schedule: function of the epoch that gives the number of steps, rounded.
        start_epoch: epoch from which on the attack runs; before it the clean images stay as they
            are.

    Raises:
        ValueError: for something else than an attack, an attack with `eps=0`, or a schedule that
            the attack has no field for.
    """

    attack: Attack
    _: dataclasses.KW_ONLY
    objective: "str | Callable | keras.losses.Loss | None" = None
    eps_schedule: Schedule | None = None
    steps_schedule: Schedule | None = None
    start_epoch: int = 0

    def __post_init__(self):
        owner = type(self).__name__
        check_attack_in_graph(owner, self.attack)
        names = {field.name for field in dataclasses.fields(self.attack)}
        for name, schedule in (("eps", self.eps_schedule), ("steps", self.steps_schedule)):
            if schedule is not None and (not callable(schedule) or name not in names):
                raise ValueError(
                    f"{owner}: `{name}_schedule` must be a function of the epoch, and the attack "
                    f"must have a field `{name}`; received {schedule!r} with {self.attack!r}."
                )
        if self.steps_schedule is not None and isinstance(self.attack, _PLANNED):
            raise ValueError(
                f"{owner}: {type(self.attack).__name__} plans its steps ahead, so their number "
                "cannot follow a schedule. Pass PGD, BIM or MIM, or leave `steps_schedule` out."
            )
        if self.objective is not None and "objective" not in names:
            raise ValueError(
                f"{owner}: {type(self.attack).__name__} has no objective to replace; leave "
                "`objective` out."
            )
        if self.objective == "training_loss" and self.attack.targeted:
            raise ValueError(
                f"{owner}: the training loss has no target. Leave `objective` out, or pass an "
                "attack that is not targeted."
            )
        check_count(self, "start_epoch", self.start_epoch, least=0)

    def perturb(self, learner, x, y, seed):
        return self.craft(learner, x, y, seed, self.objective)

    def craft(self, learner: Learner, x, y, seed, objective, **changes) -> tf.Tensor:
        """The points of the attack with its scheduled fields.

        Args:
            learner: the model of this step.
            x: images `(N, ...)` inside the box.
            y: labels, `int32`, `(N,)`.
            seed: `int32` of shape `(2,)`.
            objective: what to maximise, as in `AttackDefense`.
            **changes: further fields of the attack to replace.
        """
        if objective == "training_loss":
            changes["objective"] = lambda scores, labels: learner.loss(scores)
        elif objective is not None:
            changes["objective"] = objective
        if self.eps_schedule is not None:
            changes["eps"] = tf.cast(self.eps_schedule(learner.epoch), x.dtype)
        if self.steps_schedule is not None:
            changes["steps"] = tf.cast(
                tf.round(tf.cast(self.steps_schedule(learner.epoch), tf.float32)), tf.int32
            )
        attack = dataclasses.replace(self.attack, **changes) if changes else self.attack

        def perturbed():
            return attack.generate(learner.attacked, x, y, seed)

        if self.start_epoch:
            return tf.cond(learner.epoch >= self.start_epoch, perturbed, lambda: tf.identity(x))
        return perturbed()


def refuse_differential(defense: Defense, loss: keras.losses.Loss) -> None:
    """Refuses a loss of pairs where the loss of single samples is needed.

    Raises:
        ValueError: if `loss` is a `DifferentialLoss`.
    """
    if isinstance(loss, DifferentialLoss):
        raise ValueError(
            f"{type(defense).__name__} needs the loss of single samples; DifferentialLoss compares "
            "pairs. Use DifferentialTraining or AdversarialTraining."
        )

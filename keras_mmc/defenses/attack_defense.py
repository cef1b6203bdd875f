"""The base class of defenses that train on an attack of the user's choice."""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_mmc._validation import check_count
from keras_mmc.attacks import Attack
from keras_mmc.defenses.base import Defense, StepContext, check_attack

Schedule = Callable[[Any], Any]
_NUM_EPOCHS = 1000


@dataclasses.dataclass(frozen=True)
class AttackDefense(Defense):
    """Base class of defenses that train on the adversarial examples of an attack.

    A `ValueError` refuses something else than an attack, an attack with `eps=0`, and an objective
    or schedule that the attack cannot take.

    Args:
        attack: the attack; training uses its training view, with a fixed number of steps.
        objective: what the attack maximizes in training: `None` for the objective of the attack
            or of the paper (see the class), `"training_loss"` for the compiled loss, or anything
            that the attack itself takes.
        eps_schedule: function of the epoch, from 0, that gives `eps`, such as a
            `keras.optimizers.schedules.LearningRateSchedule`, or a plain Python function, which is
            asked for the first 1,000 epochs beforehand; `None` keeps the `eps` of the attack.
        steps_schedule: the same of the number of steps, rounded.
        start_epoch: epoch from which on the attack runs; before it clean images are trained on.

    Attributes:
        starts_near: whether a random start is normal noise of standard deviation 0.001 of the
            width of the box, as for TRADES and MART: at the image itself their divergence has no
            gradient.
    """

    attack: Attack
    _: dataclasses.KW_ONLY
    objective: "str | Callable | keras.losses.Loss | None" = None
    eps_schedule: Schedule | None = None
    steps_schedule: Schedule | None = None
    start_epoch: int = 0

    def __post_init__(self):
        owner, name = type(self).__name__, type(self.attack).__name__
        check_attack(owner, self.attack)
        self._check_schedule("eps", self.eps_schedule, self.attack.fixed_eps)
        self._check_schedule("steps", self.steps_schedule, self.attack.fixed_steps)
        if self.objective is not None and not self.attack.has_objective:
            raise ValueError(f"{owner}: {name} has no objective to replace; leave `objective` out.")
        if self.objective == "training_loss" and self.attack.targeted:
            raise ValueError(
                f"{owner}: the training loss has no target. Leave `objective` out, or pass an "
                "attack that is not targeted."
            )
        check_count(self, "start_epoch", self.start_epoch, least=0)

    def _check_schedule(self, name: str, schedule: Any, is_fixed: bool) -> None:
        if schedule is None:
            return
        if is_fixed or not callable(schedule):
            raise ValueError(
                f"{type(self).__name__}: `{name}_schedule` must be a function of the epoch, and "
                f"the `{name}` of the attack one that can change at run time, as that of PGD, BIM "
                f"or MIM; received {schedule!r} with {self.attack!r}."
            )
        try:
            with tf.init_scope():  # a defense may be made while a graph is traced
                first = float(schedule(0))
        except Exception as error:
            raise ValueError(
                f"{type(self).__name__}: `{name}_schedule` is called with the number of an epoch, "
                f"from 0, and returns a number; called with 0 it says: {error}"
            ) from error
        if not 0 <= first < math.inf:
            raise ValueError(
                f"{type(self).__name__}: `{name}_schedule` must return finite numbers >= 0; for "
                f"epoch 0 it returns {first!r}."
            )
        if name == "eps" and self.attack.ball is not None:
            dataclasses.replace(self.attack.ball, eps=first)  # which knows the box

    @property
    def starts_near(self) -> bool:
        return False

    @property
    def training_attack(self) -> Attack:
        """The attack."""
        return self.attack

    def own_objective(self, context: StepContext, x: tf.Tensor) -> Any:
        """What the attack maximizes where `objective` is `None`; `None` for its own objective."""
        return None

    def perturb(self, context, x, y):
        attack, (low, high) = self.attack, self.attack.box
        if self.starts_near:
            attack = attack.starting_near(0.001 * (high - low))
        objective = self.own_objective(context, x) if self.objective is None else self.objective
        changed: dict[str, Any] = {"objective": objective}  # a field that not every attack has
        if objective == "training_loss":
            changed = {"objective": lambda scores, _: context.loss(scores)}
        if objective is not None:
            attack = dataclasses.replace(attack, **changed)
        eps = steps = None
        if self.eps_schedule is not None:
            eps = tf.cast(_value_at(self.eps_schedule, context.epoch), x.dtype)
        if self.steps_schedule is not None:
            steps = _value_at(self.steps_schedule, context.epoch)
            steps = tf.cast(tf.round(steps), tf.int32)

        def perturbed() -> tf.Tensor:
            return context.generate(attack, x, y, eps, steps)

        if self.start_epoch:
            return tf.cond(context.epoch >= self.start_epoch, perturbed, lambda: tf.identity(x))
        return perturbed()


def _value_at(schedule, epoch):
    """The value of a schedule at an epoch, an `int32` tensor, as float32."""
    if isinstance(schedule, keras.optimizers.schedules.LearningRateSchedule):
        return tf.cast(schedule(epoch), tf.float32)
    with tf.init_scope():  # plain Python cannot branch on a tensor of the graph
        table = np.array([_asked(schedule, i) for i in range(_NUM_EPOCHS)], "float32")
    return tf.gather(tf.constant(table), tf.minimum(epoch, _NUM_EPOCHS - 1))


def _asked(schedule, epoch):
    try:
        return float(schedule(epoch))
    except Exception as error:
        raise ValueError(
            f"A schedule in plain Python is asked for {_NUM_EPOCHS:,} epochs beforehand; for epoch "
            f"{epoch} it says: {type(error).__name__}: {error}. Let it return its last value there."
        ) from error

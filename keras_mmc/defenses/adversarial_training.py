"""Adversarial training: with any attack, fast with one step, free, and with cleverhans."""

import dataclasses
from collections.abc import Callable, Hashable, Mapping
from typing import Any

import keras
import tensorflow as tf

from keras_mmc._validation import check_box, check_count, check_number
from keras_mmc.attacks import PGD, CleverHans, image_seeds
from keras_mmc.defenses.attack_defense import AttackDefense, Schedule
from keras_mmc.defenses.base import Defense, SampleLosses, WrappingDefense


@keras.saving.register_keras_serializable("keras_mmc")
@dataclasses.dataclass(frozen=True)
class AdversarialTraining(AttackDefense):
    """Adversarial training: the compiled loss of the adversarial examples of an attack.

    Args:
        attack: any attack, untargeted or targeted.
        clean_fraction: fraction `r` of the clean loss, `r * L(x) + (1 - r) * L(x')`, in `[0, 1)`;
            0 trains on adversarial examples only, 0.5 is the mixture of Goodfellow et al.
        objective: what the attack maximizes; `None` for the attack's own objective, by default
            the margin, `"training_loss"` for the compiled loss as in the paper.
        **more: as for `AttackDefense`, as are the errors.

    Source: Madry et al., ICLR 2018, arXiv 1706.06083; the mixture from Goodfellow et al.,
    ICLR 2015, arXiv 1412.6572.

    Example:
    >>> defense = keras_mmc.defenses.AdversarialTraining(keras_mmc.attacks.PGD(0.3, steps=10))
    >>> robust = keras_mmc.AdversarialModel(model, defense)
    >>> robust.compile(optimizer="adam", loss=keras_mmc.MMCLoss(), metrics=["accuracy"])
    """

    clean_fraction: float = 0.0

    mail_defaults = 10.0, -0.5

    def __post_init__(self):
        super().__post_init__()
        check_number(self, "clean_fraction", self.clean_fraction, at_least=0, below=1)

    def loss(self, context, x, x_adv, y):
        losses = super().loss(context, x, x_adv, y)
        if not self.clean_fraction:
            return losses
        clean = context.scores(x)
        weighted = (1 - self.clean_fraction) * losses.weighted
        fixed = self.clean_fraction * context.loss(clean)
        return SampleLosses(weighted, losses.adversarial, clean, fixed)


@keras.saving.register_keras_serializable("keras_mmc")
@dataclasses.dataclass(frozen=True)
class FastAdversarialTraining(WrappingDefense):
    """Fast adversarial training (FGSM-RS): one long step from a random start of the ball.

    It costs about 1.7 plain steps per batch. It can collapse within an epoch: the network becomes
    robust to this one step and to nothing else. Pass
    `keras_mmc.callbacks.StopOnCatastrophicOverfitting` to `fit`.

    Args:
        eps: radius of the L-infinity ball, above 0, in input units.
        step_size: length of the step, in input units; `None` takes `1.25 * eps`.
        box: `(low, high)`, where images live.
        objective: as in `AdversarialTraining`; by default the compiled loss, as in the paper.
        **more: `clean_fraction`, `eps_schedule` and `start_epoch` of `AdversarialTraining`; the
            step keeps its length.

    Source: Wong et al., *Fast is better than free*, ICLR 2020, arXiv 2001.03994.

    Example:
    >>> defense = keras_mmc.defenses.FastAdversarialTraining(eps=8 / 255)
    >>> robust = keras_mmc.AdversarialModel(model, defense)
    """

    eps: float
    step_size: float | None = None
    box: tuple[float, float] = (0.0, 1.0)
    _: dataclasses.KW_ONLY
    clean_fraction: float = 0.0
    objective: "str | Callable | keras.losses.Loss | None" = "training_loss"
    eps_schedule: Schedule | None = None
    start_epoch: int = 0

    mail_defaults = AdversarialTraining.mail_defaults

    def __post_init__(self):
        check_number(self, "eps", self.eps, above=0)
        _ = self.wrapped  # which checks the other fields

    @property
    def wrapped(self) -> AdversarialTraining:
        """Adversarial training with PGD of one step."""
        step_size = 1.25 * self.eps if self.step_size is None else self.step_size
        return AdversarialTraining(
            PGD(self.eps, steps=1, step_size=step_size, box=self.box),
            self.clean_fraction,
            objective=self.objective,
            eps_schedule=self.eps_schedule,
            start_epoch=self.start_epoch,
        )


@keras.saving.register_keras_serializable("keras_mmc")
@dataclasses.dataclass(frozen=True)
class FreeAdversarialTraining(Defense):
    """Free adversarial training: each batch is replayed, weights and perturbation move together.

    Every replay computes the gradients of weights and images in one backward pass, makes an
    optimizer step and moves the perturbation by a signed step of `step_size`. One epoch costs
    `replays` plain epochs: divide the number of epochs accordingly. The perturbation starts each
    batch at a random point of the ball; in the released code where the batch before left off.

    Args:
        eps: radius of the L-infinity ball, above 0, in input units.
        replays: steps on each batch.
        step_size: step of the perturbation, in input units; `None` takes `eps`, as the paper.
        box: `(low, high)`, where images live.

    Source: Shafahi et al., *Adversarial Training for Free!*, NeurIPS 2019, arXiv 1904.12843.

    Example:
    >>> defense = keras_mmc.defenses.FreeAdversarialTraining(eps=8 / 255, replays=4)
    >>> robust = keras_mmc.AdversarialModel(model, defense)
    """

    eps: float
    replays: int = 8
    step_size: float | None = None
    box: tuple[float, float] = (0.0, 1.0)

    def __post_init__(self):
        check_number(self, "eps", self.eps, above=0)
        check_count(self, "replays", self.replays)
        check_number(self, "step_size", self.step_size, above=0, optional=True)
        check_box(self, self.box)

    @property
    def training_attack(self) -> PGD:
        """The ball and the steps as an attack."""
        step_size = self.eps if self.step_size is None else self.step_size
        return PGD(self.eps, steps=self.replays, step_size=step_size, box=self.box)

    def perturb(self, context, x, y):
        seeds = image_seeds(context.seed, context.index)
        return self.training_attack.ball.random_start(x, seeds)

    def update(self, context, x, y, update_weights):
        x_adv, attack = self.perturb(context, x, y), self.training_attack
        for replay in range(self.replays):
            losses, gradient = update_weights(
                lambda images: self.loss(context, x, images, y),
                x_adv,
                input_gradient=replay < self.replays - 1,
            )
            if gradient is not None:
                # A loss-scaling optimizer overflows at times; such a step leaves images alone.
                gradient = tf.where(tf.math.is_finite(gradient), gradient, 0.0)
                x_adv = attack.ball.project(x_adv + attack.step_size * tf.sign(gradient), x)
        return losses


@keras.saving.register_keras_serializable("keras_mmc")
@dataclasses.dataclass(frozen=True, init=False)
class CleverHansTraining(WrappingDefense):
    """Adversarial training on the adversarial examples of an attack function of cleverhans.

    The attack is traced into the training step. cleverhans draws random starts without a seed:
    pass `rand_init=False`, or use `AdversarialTraining` with an attack of this package, where a
    run must be repeatable. A `ValueError` refuses a function that does not work on Keras 3.

    Args:
        function: attack function of `cleverhans.tf2.attacks`.
        clean_fraction: fraction of the clean loss, in `[0, 1)`.
        box: `(low, high)`, where images live.
        attack_objective: what the attack maximizes, as in `keras_mmc.attacks.CleverHans`; `None`
            leaves the function its own loss, cross-entropy, whose gradient vanishes on scores of
            fixed centers. Functions that take no loss need `None`.
        arguments, **more: arguments of the function by name, such as `eps`, `nb_iter` and `norm`.

    Example:
    >>> from cleverhans.tf2.attacks.fast_gradient_method import fast_gradient_method
    >>> defense = keras_mmc.defenses.CleverHansTraining(fast_gradient_method, eps=0.1, norm=np.inf)
    >>> robust = keras_mmc.AdversarialModel(model, defense)
    """

    function: Callable
    clean_fraction: float
    box: tuple[float, float]
    attack_objective: "str | Callable | keras.losses.Loss | None"
    arguments: tuple[tuple[str, Hashable], ...]

    mail_defaults = AdversarialTraining.mail_defaults

    def __init__(
        self,
        function: Callable,
        clean_fraction: float = 0.0,
        box: tuple[float, float] = (0.0, 1.0),
        attack_objective: Any = "margin",
        arguments: Mapping[str, Hashable] | tuple[tuple[str, Hashable], ...] = (),
        **more: Hashable,
    ):
        names = [field.name for field in dataclasses.fields(self)]
        by_name = tuple(sorted((dict(arguments) | more).items()))
        values = (function, clean_fraction, box, attack_objective, by_name)
        for name, value in zip(names, values, strict=True):
            object.__setattr__(self, name, value)
        _ = self.wrapped  # which checks the fields

    @property
    def wrapped(self) -> AdversarialTraining:
        """Adversarial training with the function as an attack."""
        arguments: dict[str, Any] = dict(self.arguments)
        attack = CleverHans(
            self.function, objective=self.attack_objective, box=self.box, **arguments
        )
        return AdversarialTraining(attack, self.clean_fraction)

    def get_config(self):
        attack = self.wrapped.attack.get_config()
        return {"attack": attack, "clean_fraction": self.clean_fraction}

    @classmethod
    def from_config(cls, config):
        rest = dict(config)
        attack = CleverHans.from_config(rest.pop("attack"))
        rest |= {"attack_objective": attack.objective, "arguments": attack.arguments}
        return cls(attack.function, box=attack.box, **rest)

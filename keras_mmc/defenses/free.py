"""Free adversarial training: replayed batches."""

import dataclasses

import keras
import tensorflow as tf

from keras_mmc._validation import check_box, check_count, check_number
from keras_mmc.attacks import PGD, image_seeds
from keras_mmc.defenses.base import Defense


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

"""MART: misclassification-aware adversarial training."""

import dataclasses

import keras
import tensorflow as tf

from keras_mmc._validation import check_number
from keras_mmc.defenses.base import AttackDefense, Losses, refuse_differential
from keras_mmc.defenses.checks import check_temperature, starting_near
from keras_mmc.defenses.probabilities import divergence, true_and_best_wrong

_ABOVE_ONE = 1.0001


@keras.saving.register_keras_serializable("keras_mmc")
@dataclasses.dataclass(frozen=True)
class MART(AttackDefense):
    """MART: a boosted loss at attacked points, and a divergence where the clean image is unsure.

    `L(f(x'), y) - log(1.0001 - max_{k != y} p'_k) + beta * KL(p || p') * (1 - p_y)` with
    `p = softmax f(x)`. With softmax cross-entropy as the compiled loss the first two terms are
    the boosted cross-entropy of the paper. The attack starts at normal noise of standard deviation
    0.001 if it has a random start.

    Args:
        attack: a gradient attack.
        beta: weight of the divergence, above 0; `lambda` in the paper.
        temperature: what scores are divided by before the softmax; the terms of probabilities are
            multiplied by it. `None` takes the head's.
        objective: what the attack maximises; `None` for the attack's own objective,
            `"training_loss"` for the compiled loss as in the paper.
        eps_schedule: function of the epoch that gives `eps`.
        steps_schedule: function of the epoch that gives the number of steps, rounded.
        start_epoch: epoch from which on the attack runs.

    Raises:
        ValueError: if a field does not fit, or for a loss of pairs.

    Source: Wang et al., *Improving Adversarial Robustness Requires Revisiting Misclassified
    Examples*, ICLR 2020.

    Example:
    >>> attack = keras_mmc.attacks.PGD(eps=8 / 255, steps=10, step_size=2 / 255)
    >>> robust = keras_mmc.AdversarialModel(model, keras_mmc.defenses.MART(attack, beta=5.0))
    """

    beta: float = 5.0
    temperature: float | None = None

    def __post_init__(self):
        super().__post_init__()
        check_number(self, "beta", self.beta, above=0)
        check_temperature(self)

    def check(self, loss, num_classes):
        super().check(loss, num_classes)
        refuse_differential(self, loss)

    def perturb(self, learner, x, y, seed):
        return self.craft(learner, x, y, seed, self.objective, **starting_near(self.attack))

    def loss(self, learner, x, x_adv, y):
        clean, adversarial = learner.scores(x), learner.scores(x_adv)
        temperature = self.temperature or learner.temperature
        _, best_wrong = true_and_best_wrong(adversarial, y, temperature)
        boosted = learner.loss(adversarial) - temperature * tf.math.log(_ABOVE_ONE - best_wrong)
        true, _ = true_and_best_wrong(clean, y, temperature)
        unsure = self.beta * divergence(clean, adversarial, temperature) * (1 - true)
        return Losses(boosted, adversarial, clean, fixed=unsure)

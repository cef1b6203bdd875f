"""MART: a boosted loss, and a divergence weighted by uncertainty."""

import dataclasses

import keras
import tensorflow as tf

from keras_mmc import objectives
from keras_mmc._validation import check_number
from keras_mmc.defenses.attack_defense import AttackDefense
from keras_mmc.defenses.base import SampleLosses
from keras_mmc.defenses.trades import divergence


def true_and_best_wrong(
    scores: tf.Tensor, y: tf.Tensor, temperature: float
) -> tuple[tf.Tensor, tf.Tensor]:
    """Probability of the true class `y` and the largest one of a wrong class, both `(N,)`."""
    probabilities = tf.nn.softmax(scores / temperature)
    true = -objectives.distance(probabilities, y)
    return true, objectives.nearest_wrong(probabilities, y)


@keras.saving.register_keras_serializable("keras_mmc")
@dataclasses.dataclass(frozen=True)
class MART(AttackDefense):
    """MART: a boosted adversarial loss, and a divergence where the clean prediction is uncertain.

    `L(f(x'), y) - log(1.0001 - max_{k != y} p'_k) + beta * KL(p || p') * (1 - p_y)` with
    `p = softmax f(x)`. With softmax cross-entropy as compiled loss the first two terms are the
    boosted cross-entropy of the paper. A random start is small noise. A loss of pairs is refused.

    Args:
        attack: a gradient attack.
        beta: weight of the divergence, above 0; `lambda` in the paper.
        temperature: what scores are divided by before the softmax; the terms of probabilities are
            multiplied by it. `None` takes the head's.
        objective: what the attack maximizes; `None` for the attack's own objective,
            `"training_loss"` for the compiled loss as in the paper.
        **more: as for `AttackDefense`, as are the errors.

    Source: Wang et al., *Improving Adversarial Robustness Requires Revisiting Misclassified
    Examples*, ICLR 2020.

    Example:
    >>> attack = keras_mmc.attacks.PGD(eps=8 / 255, steps=10, step_size=2 / 255)
    >>> robust = keras_mmc.AdversarialModel(model, keras_mmc.defenses.MART(attack, beta=5.0))
    """

    beta: float = 5.0
    temperature: float | None = None

    mail_defaults = 10.0, -0.5
    takes_pairs = False

    @property
    def starts_near(self) -> bool:
        return True

    def __post_init__(self):
        super().__post_init__()
        check_number(self, "beta", self.beta, above=0)
        check_number(self, "temperature", self.temperature, above=0, optional=True)

    def loss(self, context, x, x_adv, y):
        clean = context.scores(x)
        adversarial, values = context.scored(x_adv)
        temperature = self.temperature or context.temperature
        _, best_wrong = true_and_best_wrong(adversarial, y, temperature)
        boosted = values - temperature * tf.math.log(1.0001 - best_wrong)
        true, _ = true_and_best_wrong(clean, y, temperature)
        uncertain = self.beta * divergence(clean, adversarial, temperature) * (1 - true)
        return SampleLosses(boosted, adversarial, clean, fixed=uncertain)

"""Terms of softmax probabilities, in units of scores.

Every term of the temperature `T` divides the scores `(N, K)` by `T` before the softmax and is
multiplied by `T`, so that its gradient with respect to the scores has the size it has at `T = 1`.
"""

from typing import Any

import tensorflow as tf

from keras_mmc import objectives
from keras_mmc._validation import check_number


def divergence(clean: tf.Tensor, adversarial: tf.Tensor, temperature: float) -> tf.Tensor:
    """`T * KL(softmax(clean / T) || softmax(adversarial / T))`, `(N,)`, differentiable in both."""
    return temperature * objectives.kl(adversarial / temperature, clean / temperature)


def true_and_best_wrong(
    scores: tf.Tensor, y: tf.Tensor, temperature: float
) -> tuple[tf.Tensor, tf.Tensor]:
    """Probability of the true class `y` and the largest one of a wrong class, both `(N,)`."""
    probabilities = tf.nn.softmax(scores / temperature)
    true = -objectives.distance(probabilities, y)
    return true, objectives.nearest_wrong(probabilities, y)


def check_temperature(owner: Any, temperature: float | None) -> None:
    """Refuses a temperature that is neither `None` nor a finite number above 0."""
    if temperature is not None:
        check_number(owner, "temperature", temperature, above=0)

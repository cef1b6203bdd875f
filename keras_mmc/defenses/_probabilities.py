"""Terms of softmax probabilities, in units of scores.

Every term of the temperature `T` divides the scores by `T` before the softmax and is multiplied
by `T`, so that its gradient with respect to the scores has the size it has at `T = 1`.
"""

import tensorflow as tf

from keras_mmc import objectives


def divergence(clean: tf.Tensor, adversarial: tf.Tensor, temperature: float) -> tf.Tensor:
    """`T * KL(softmax(clean / T) || softmax(adversarial / T))`, `(N,)`.

    The gradient flows through both arguments.

    Args:
        clean: scores `(N, K)`.
        adversarial: scores `(N, K)`.
        temperature: T.
    """
    return temperature * objectives.kl(adversarial / temperature, clean / temperature)


def true_and_best_wrong(
    scores: tf.Tensor, y: tf.Tensor, temperature: float
) -> tuple[tf.Tensor, tf.Tensor]:
    """Probability of the true class and the largest one of a wrong class, both `(N,)`.

    Args:
        scores: tensor `(N, K)`.
        y: labels, `int32`, `(N,)`.
        temperature: T.
    """
    probabilities = tf.nn.softmax(scores / temperature)
    true = -objectives.distance(probabilities, y)
    return true, objectives.nearest_wrong(probabilities, y)

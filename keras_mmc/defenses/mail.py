"""MAIL: samples weighted by their probabilistic margin."""

import dataclasses

import keras
import tensorflow as tf

from keras_mmc._validation import check_choice, check_count, check_number
from keras_mmc.defenses.adversarial_training import AdversarialTraining
from keras_mmc.defenses.base import Defense, refuse_differential
from keras_mmc.defenses.checks import check_temperature
from keras_mmc.defenses.mart import MART
from keras_mmc.defenses.probabilities import true_and_best_wrong
from keras_mmc.defenses.trades import TRADES

_NORMALIZATIONS = ("constant", "batch")
_CONSTANT = 3.0


@keras.saving.register_keras_serializable("keras_mmc")
@dataclasses.dataclass(frozen=True)
class MAIL(Defense):
    """MAIL: more weight on samples whose attacked points are near or across the boundary.

    The weight of a sample is `sigmoid(-slope * (m - bias))` of its margin of probabilities at the
    attacked point, `m = p'_y - max_{k != y} p'_k`; no gradient flows through it. It multiplies
    the loss of `AdversarialTraining`, the divergence of `TRADES`, or the boosted loss of `MART`.

    Defences that weight samples look strong under PGD and less so under AutoAttack; judge them
    with `keras_mmc.audit`.

    Args:
        defense: the defence whose samples are weighted: `AdversarialTraining`, `TRADES` or
            `MART`.
        slope: steepness of the weight, above 0; `None` takes 10, with `TRADES` 2.
        bias: margin at which the weight is one half; `None` takes -0.5, with `TRADES` 0.
        burn_in: number of epochs before weights apply; until then all are 1.
        normalization: `"constant"` multiplies the weights by 3, as the released code;
            `"batch"` scales them to a mean of 1 over the batch, on all replicas, as the paper.
        temperature: what scores are divided by before the softmax; `None` takes the head's.

    Raises:
        ValueError: if a field does not fit, or for a loss of pairs.

    Source: Liu et al., *Probabilistic Margins for Instance Reweighting in Adversarial Training*,
    NeurIPS 2021.

    Example:
    >>> attack = keras_mmc.attacks.PGD(eps=8 / 255, steps=10, step_size=2 / 255)
    >>> trades = keras_mmc.defenses.TRADES(attack, beta=5.0)
    >>> defense = keras_mmc.defenses.MAIL(trades, slope=2.0, bias=0.0, burn_in=75)
    """

    defense: AdversarialTraining | TRADES | MART
    slope: float | None = None
    bias: float | None = None
    burn_in: int = 0
    normalization: str = "constant"
    temperature: float | None = None

    def __post_init__(self):
        if not isinstance(self.defense, (AdversarialTraining, TRADES, MART)):
            raise ValueError(
                "MAIL: `defense` must be AdversarialTraining, TRADES or MART, whose samples it "
                f"weights; received {self.defense!r}."
            )
        slope, bias = (2.0, 0.0) if isinstance(self.defense, TRADES) else (10.0, -0.5)
        object.__setattr__(self, "slope", slope if self.slope is None else self.slope)
        object.__setattr__(self, "bias", bias if self.bias is None else self.bias)
        check_number(self, "slope", self.slope, above=0)
        check_temperature(self)
        if not isinstance(self.bias, (int, float)) or not -1 <= self.bias <= 1:
            raise ValueError(
                f"MAIL: `bias` must be a margin of probabilities in [-1, 1]; received "
                f"{self.bias!r}."
            )
        check_count(self, "burn_in", self.burn_in, least=0)
        check_choice(self, "normalization", self.normalization, _NORMALIZATIONS)

    @property
    def attack(self):
        """The attack of the weighted defence."""
        return self.defense.attack

    def check(self, loss, num_classes):
        self.defense.check(loss, num_classes)
        refuse_differential(self, loss)

    def perturb(self, learner, x, y, seed):
        return self.defense.perturb(learner, x, y, seed)

    def loss(self, learner, x, x_adv, y):
        losses = self.defense.loss(learner, x, x_adv, y)
        temperature = self.temperature or learner.temperature
        weights = self.weights(losses.adversarial, y, temperature)
        weights = tf.where(learner.epoch >= self.burn_in, weights, 1.0)
        return dataclasses.replace(losses, weighted=weights * losses.weighted)

    def weights(self, adversarial, y, temperature: float) -> tf.Tensor:
        """Weights `(N,)` of samples with the given scores at their attacked points.

        Args:
            adversarial: scores `(N, K)`.
            y: labels, `int32`, `(N,)`.
            temperature: what scores are divided by before the softmax.
        """
        true, best_wrong = true_and_best_wrong(adversarial, y, temperature)
        weights = tf.sigmoid(-self.slope * (true - best_wrong - self.bias))
        if self.normalization == "constant":
            weights *= _CONSTANT
        else:
            context = tf.distribute.get_replica_context()
            mean = tf.reduce_mean(weights)
            weights /= context.all_reduce(tf.distribute.ReduceOp.MEAN, mean)
        return tf.stop_gradient(weights)

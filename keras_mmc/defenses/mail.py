"""MAIL: samples weighted by the margins of their adversarial examples."""

import dataclasses
from typing import Any

import keras
import tensorflow as tf

from keras_mmc._validation import check, check_choice, check_count, check_number
from keras_mmc.defenses.base import Defense, WrappingDefense
from keras_mmc.defenses.mart import true_and_best_wrong


@keras.saving.register_keras_serializable("keras_mmc")
@dataclasses.dataclass(frozen=True)
class MAIL(WrappingDefense):
    """MAIL: more weight on samples whose adversarial examples are near or across the boundary.

    The weight of a sample is `sigmoid(-slope * (m - bias))` of the margin of probabilities of its
    adversarial example, `m = p'_y - max_{k != y} p'_k`; no gradient flows through it. It
    multiplies the loss of `AdversarialTraining`, the divergence of `TRADES`, or the boosted loss
    of `MART`. A loss of pairs is refused. Defenses that weight samples look strong under PGD and
    less so under AutoAttack; test them with `keras_mmc.audit`.

    Args:
        defense: the defense whose samples are weighted: `AdversarialTraining` in any form,
            `TRADES` or `MART`.
        slope: steepness of the weight, above 0; `None` takes 10, with `TRADES` 2.
        bias: margin at which the weight is one half; `None` takes -0.5, with `TRADES` 0.
        burn_in: number of epochs before weights apply; until then all are 1.
        burn_in_defense: what trains in those epochs instead, attack and loss, with one optimizer
            and in the same box; the released code burns in with `AdversarialTraining`.
        normalization: `"constant"` multiplies the weights by 3, as the released code;
            `"batch"` scales them to a mean of 1 over the batch, on all replicas, as the paper.
        temperature: what scores are divided by before the softmax; `None` takes the head's.

    Source: Liu et al., *Probabilistic Margins for Instance Reweighting in Adversarial Training*,
    NeurIPS 2021.

    Example:
    >>> attack = keras_mmc.attacks.PGD(eps=8 / 255, steps=10, step_size=2 / 255)
    >>> trades = keras_mmc.defenses.TRADES(attack, beta=5.0)
    >>> burn_in = keras_mmc.defenses.AdversarialTraining(attack, objective="training_loss")
    >>> defense = keras_mmc.defenses.MAIL(trades, burn_in=75, burn_in_defense=burn_in)
    """

    defense: Defense
    slope: float | None = None
    bias: float | None = None
    burn_in: int = 0
    normalization: str = "constant"
    temperature: float | None = None
    burn_in_defense: Defense | None = None

    takes_pairs = False

    def __post_init__(self):
        weightable = isinstance(self.defense, Defense) and bool(self.defense.mail_defaults)
        expected = "AdversarialTraining, TRADES or MART, whose samples it weights"
        check(self, "defense", self.defense, weightable, expected)
        slope, bias = self.slope_and_bias
        check_number(self, "slope", slope, above=0)
        check_number(self, "bias", bias, at_least=-1, at_most=1)
        check_number(self, "temperature", self.temperature, above=0, optional=True)
        check_count(self, "burn_in", self.burn_in, least=0)
        check_choice(self, "normalization", self.normalization, ("constant", "batch"))
        if self.burn_in_defense is not None:
            self._check_burn_in(self.burn_in_defense)

    def _check_burn_in(self, defense: Any) -> None:
        check_count(self, "burn_in", self.burn_in, least=1)
        fits = isinstance(defense, Defense) and defense.num_optimizers == 1
        check(self, "burn_in_defense", defense, fits, "a defense with one optimizer, or None")
        attack, own = defense.training_attack, self.training_attack
        if attack is not None and own is not None and attack.box != own.box:
            raise ValueError(
                f"MAIL: images live in one box; `burn_in_defense` has {attack.box}, `defense` "
                f"{own.box}."
            )

    @property
    def wrapped(self) -> Defense:
        """The defense whose samples are weighted."""
        return self.defense

    def at_epoch(self, epoch):
        burning_in = self.burn_in_defense is not None and epoch < self.burn_in
        return self.burn_in_defense if burning_in else self

    def check(self, loss, num_classes):
        super().check(loss, num_classes)
        if self.burn_in_defense is not None:
            self.burn_in_defense.check(loss, num_classes)

    @property
    def slope_and_bias(self) -> tuple[float, float]:
        """Slope and bias, those of the weighted defense where none were given."""
        slope, bias = self.defense.mail_defaults
        slope = slope if self.slope is None else self.slope
        return slope, bias if self.bias is None else self.bias

    def loss(self, context, x, x_adv, y):
        losses = super().loss(context, x, x_adv, y)
        weights = self.weights(losses.adversarial, y, self.temperature or context.temperature)
        weights *= 3.0 if self.normalization == "constant" else 1 / context.mean(weights)
        weights = tf.where(context.epoch >= self.burn_in, weights, 1.0)
        return dataclasses.replace(losses, weighted=weights * losses.weighted)

    def weights(self, adversarial: tf.Tensor, y: tf.Tensor, temperature: float) -> tf.Tensor:
        """Weights `(N,)` in (0, 1), before normalization, without a gradient.

        They come from scores `(N, K)` of adversarial examples and labels, `int32`, `(N,)`.
        """
        slope, bias = self.slope_and_bias
        true, best_wrong = true_and_best_wrong(adversarial, y, temperature)
        return tf.stop_gradient(tf.sigmoid(-slope * (true - best_wrong - bias)))

"""TRADES, for many classes and for two."""

import dataclasses
from collections.abc import Callable

import keras
import tensorflow as tf

from keras_mmc import objectives
from keras_mmc._validation import check_choice, check_number
from keras_mmc.defenses.attack_defense import AttackDefense
from keras_mmc.defenses.base import SampleLosses

DIVERGENCES: dict[str, Callable] = {
    "kl": objectives.kl,
    "squared_probabilities": objectives.squared_probabilities,
    "squared_scores": objectives.squared_scores,
}


def divergence(
    clean: tf.Tensor, adversarial: tf.Tensor, temperature: float, name: str = "kl"
) -> tf.Tensor:
    """`T * d(clean / T, adversarial / T)`, `(N,)`, differentiable in both, `d` one of the above.

    Divided and multiplied by the temperature, its gradient has the size it has at `T = 1`.
    """
    return temperature * DIVERGENCES[name](adversarial / temperature, clean / temperature)


@dataclasses.dataclass(frozen=True)
class _OwnObjective(AttackDefense):
    """A defense whose attack maximizes a term of its own, which has no target."""

    beta: float
    uniform_start: bool = dataclasses.field(default=False, kw_only=True)

    @property
    def starts_near(self) -> bool:
        return not self.uniform_start

    def __post_init__(self):
        super().__post_init__()
        if self.attack.targeted or not self.attack.has_objective:
            raise ValueError(
                f"{type(self).__name__} climbs an objective of its own: pass an attack along the "
                f"gradient that is not targeted, such as PGD(8 / 255); received {self.attack!r}."
            )
        check_number(self, "beta", self.beta, above=0)
        check_choice(self, "uniform_start", self.uniform_start, (True, False))


@keras.saving.register_keras_serializable("keras_mmc")
@dataclasses.dataclass(frozen=True)
class TRADES(_OwnObjective):
    """TRADES: the clean loss plus `beta` times the divergence of clean and adversarial scores.

    `L(f(x), y) + beta * d(f(x), f(x'))`; the gradient flows through both arguments. The attack
    maximizes the same divergence, from small noise.

    Args:
        attack: a gradient attack, not targeted, with a random start: at the image itself the
            divergence has no gradient.
        beta: weight of the divergence, above 0.
        temperature: what scores are divided by before they are compared; the divergence is
            multiplied by it. `None` takes the head's: 1 for logits, more for scores of fixed
            centers, whose softmax at 1 is one-hot and has no gradient.
        divergence: `d`: `"kl"`, `KL(softmax f(x) || softmax f(x'))`, as published;
            `"squared_probabilities"`, the squared distance of the two softmax vectors, of SCORE;
            `"squared_scores"`, half the squared distance of the scores without their mean: under
            fixed Max-Mahalanobis centers 10 times half that of the features between the centers.
        objective: what the attack maximizes instead of the divergence.
        uniform_start: whether a random start stays uniform in the ball.
        **more: as for `AttackDefense`, as are the errors.

    Source: Zhang et al., ICML 2019, arXiv 1901.08573; SCORE: Pang et al., ICML 2022,
    arXiv 2202.10103; squared scores: ours.

    Example:
    >>> attack = keras_mmc.attacks.PGD(eps=8 / 255, steps=10, step_size=2 / 255)
    >>> robust = keras_mmc.AdversarialModel(model, keras_mmc.defenses.TRADES(attack, beta=6.0))
    """

    beta: float = 6.0
    temperature: float | None = None
    divergence: str = dataclasses.field(default="kl", kw_only=True)

    mail_defaults = 2.0, 0.0

    def __post_init__(self):
        super().__post_init__()
        if self.objective is None and not self.attack.starts_at_random:
            raise ValueError(
                "TRADES: at the image itself the divergence has no gradient, and "
                f"{type(self.attack).__name__} starts there. Pass an attack with a random start, "
                "such as PGD(8 / 255), or an objective."
            )
        check_number(self, "temperature", self.temperature, above=0, optional=True)
        check_choice(self, "divergence", self.divergence, tuple(DIVERGENCES))

    def own_objective(self, context, x):
        temperature = self.temperature or context.temperature
        clean, from_clean = context.attacked(x) / temperature, DIVERGENCES[self.divergence]
        return lambda scores, labels: from_clean(scores / temperature, clean)

    def loss(self, context, x, x_adv, y):
        clean, values = context.scored(x)
        adversarial = context.scores(x_adv)
        temperature = self.temperature or context.temperature
        weighted = self.beta * divergence(clean, adversarial, temperature, self.divergence)
        return SampleLosses(weighted, adversarial, clean, fixed=values)


@keras.saving.register_keras_serializable("keras_mmc")
@dataclasses.dataclass(frozen=True)
class BinaryTRADES(_OwnObjective):
    """TRADES for two classes: a hinge on the product of the clean and the adversarial decision.

    With the decision value `f = s_1 - s_0` it is `L(f(x), y) + max(0, 1 - beta * f(x) f(x'))`: a
    perturbed image must fall on the side of its clean image, whatever its label. The attack
    maximizes the same hinge, from small noise if it has a random start.

    Args:
        attack: a gradient attack, not targeted.
        beta: the paper's `1 / lambda`, above 0.
        objective: what the attack maximizes instead of the hinge.
        uniform_start: whether a random start stays uniform in the ball.
        **more: as for `AttackDefense`, as are the errors.

    Source: Zhang et al., ICML 2019, arXiv 1901.08573.

    Example:
    >>> defense = keras_mmc.defenses.BinaryTRADES(keras_mmc.attacks.PGD(0.1), beta=1.0)
    """

    beta: float = 1.0

    def check(self, loss, num_classes):
        super().check(loss, num_classes)
        if num_classes != 2:
            raise ValueError(
                f"BinaryTRADES is for 2 classes; the model has {num_classes}. Use TRADES."
            )

    def own_objective(self, context, x):
        """The hinge without its flat part, which has no gradient to follow."""
        clean = _decision(context.attacked(x))
        return lambda scores, labels: -clean * _decision(scores)

    def loss(self, context, x, x_adv, y):
        clean, values = context.scored(x)
        adversarial = context.scores(x_adv)
        product = _decision(clean) * _decision(adversarial)
        hinge = tf.nn.relu(1 - self.beta * product)
        return SampleLosses(hinge, adversarial, clean, fixed=values)


def _decision(scores: tf.Tensor) -> tf.Tensor:
    return scores[:, 1] - scores[:, 0]

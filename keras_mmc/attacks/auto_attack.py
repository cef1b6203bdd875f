"""AutoAttack: an ensemble of attacks without parameters, each on the images that are left."""

import dataclasses
import functools
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike

from keras_mmc import _arrays as arrays
from keras_mmc.attacks._engine.loops import rows_of, whole, write_rows
from keras_mmc.attacks._engine.predictions import misclassified
from keras_mmc.attacks.apgd import APGD
from keras_mmc.attacks.base import Attack, BallAttack
from keras_mmc.attacks.fab import FAB
from keras_mmc.attacks.names import named
from keras_mmc.attacks.result import AttackResult
from keras_mmc.attacks.runner import Runner
from keras_mmc.attacks.square import Square

_VERSIONS = ("standard", "plus")


@dataclasses.dataclass(frozen=True)
class AutoAttackResult(AttackResult):
    """What AutoAttack did to every image.

    Attributes:
        notes: sentences a report must show, such as objectives that had to be replaced.
    """

    notes: tuple[str, ...]


@keras.saving.register_keras_serializable("keras_mmc")
@dataclasses.dataclass(frozen=True)
class AutoAttack(BallAttack):
    """AutoAttack: APGD on two objectives, FAB and Square, each on the images that are left.

    - `"standard"`: `apgd-ce`, `apgd-t` (targeted DLR, 9 targets), `fab-t` (9 targets), `square`
      (5,000 queries).
    - `"plus"`: `apgd-ce`, `apgd-dlr` and the untargeted `fab` with 5 restarts each, `square`,
      `apgd-t`, `fab-t` with all wrong classes as targets.

    `apgd-ce` climbs the log-odds `log sum_{k != y} exp(s_k) - s_y`, of which the cross-entropy is
    an increasing function: the same optimum, with a gradient where float32 leaves the cross-entropy
    none. APGD and FAB take 100 steps a run. With fewer than 4 classes the targeted DLR objective is
    undefined, with 2 the DLR objective too: the margin takes their place and a note says so.

    Args:
        eps: radius of the ball, in input units.
        norm: `"linf"` or `"l2"`.
        version: `"standard"`, `"plus"`, or a tuple of attacks, run in that order, with the `eps`,
            `norm` and `box` given here.
        box: `(low, high)`, where images live.

    Raises:
        ValueError: if a field does not fit, or an attack of a tuple searches another ball or box.

    Source: Croce & Hein, ICML 2020, arXiv 2003.01690.

    Example:
    >>> result = keras_mmc.attacks.AutoAttack(eps=8 / 255).evaluate(model, x_test, y_test)
    >>> result.robust_accuracy, result.accuracy, result.seconds
    """

    norm: str = "linf"
    version: str | tuple[Attack, ...] = "standard"
    box: tuple[float, float] = (0.0, 1.0)

    trains = False

    def __post_init__(self):
        super().__post_init__()
        attacks = self.version if isinstance(self.version, tuple) else ()
        if self.version not in _VERSIONS and not attacks:
            raise ValueError(
                f"AutoAttack: `version` must be one of {list(_VERSIONS)} or a tuple of attacks; "
                f"received {self.version!r}."
            )
        for attack in attacks:
            if attack.ball != self.ball or attack.fixed_eps or attack.targeted:
                raise ValueError(
                    "AutoAttack: every attack must search the ball and box that the result is "
                    f"about, eps={self.eps}, norm={self.norm!r}, box={self.box}, without a target; "
                    f"received {attack!r}. Give them the same values."
                )

    def attacks(self, num_classes: int) -> tuple[dict[str, Attack], tuple[str, ...]]:
        """The attacks of this version by name, in the order they run, and what to note of them.

        Args:
            num_classes: number of classes K of the model.
        """
        if not isinstance(self.version, str):
            return named(self.version), ()
        targeted = "targeted_dlr" if num_classes > 3 else "targeted_margin"
        untargeted = "dlr" if num_classes > 2 else "margin"
        ball: dict[str, Any] = {"eps": self.eps, "norm": self.norm, "box": self.box}
        restarts, targets = (5, num_classes - 1) if self.version == "plus" else (1, 9)
        apgd_ce = APGD(**ball, objective="log_odds", restarts=restarts)
        apgd_dlr = APGD(**ball, objective=untargeted, restarts=restarts)
        objective = targeted if num_classes > 2 else "margin"
        apgd_t = APGD(**ball, objective=objective, num_targets=targets)
        fab_t = FAB(**ball, num_targets=targets)
        fab = FAB(**ball, num_targets=None, restarts=restarts)
        attacks: dict[str, Attack]
        if self.version == "plus":
            attacks = {"apgd-ce": apgd_ce, "apgd-dlr": apgd_dlr, "fab": fab}
            attacks |= {"square": Square(**ball), "apgd-t": apgd_t, "fab-t": fab_t}
        else:
            attacks = {"apgd-ce": apgd_ce, "apgd-t": apgd_t}
            attacks |= {"fab-t": fab_t, "square": Square(**ball)}
        standard = {"apgd-dlr": (apgd_dlr, "dlr"), "apgd-t": (apgd_t, "targeted_dlr")}
        notes = tuple(
            f"{name} maximized {attack.objective!r}: {objective!r} is not defined for "
            f"{num_classes} classes."
            for name, (attack, objective) in standard.items()
            if name in attacks and attack.objective != objective
        )
        return attacks, notes

    def evaluate(
        self,
        model: Any,
        x: ArrayLike,
        y: ArrayLike | None = None,
        *,
        batch_size: int = 128,
        seed: int = 0,
        first_index: int = 0,
        verbose: int = 0,
    ) -> AutoAttackResult:
        """Attacks a model and reports which attack broke which image.

        An image counts as broken if the model misclassifies the adversarial example in a fresh
        forward pass; NaN scores count as misclassified.

        Args:
            model: Keras model from images to scores `(N, K)`; it runs in inference mode.
            x: images `(N, ...)`, NumPy or tensor, float32 or float64, inside the box; `Square`
                needs `(N, H, W, C)`.
            y: integer labels `(N,)`; `None` takes the model's own predictions.
            batch_size: images attacked at a time.
            seed: integer; the same seed gives the same bits on CPU.
            first_index: number of the first image in the whole set; see `Attack.__call__`.
            verbose: 1 shows the name of each attack and a progress bar.

        Raises:
            ValueError: if images, labels or the model's scores do not fit.
        """
        runner = Runner(model, batch_size, seed, first_index=first_index, verbose=verbose)
        x = arrays.check_images(x, self.box)
        if not len(x):
            raise ValueError("AutoAttack needs at least one image to report on; received none.")
        scores = runner.scores(x)
        labels = runner.labels(y, scores)
        attacks, notes = self.attacks(scores.shape[1])
        if runner.is_random(x, scores):
            notes += (arrays.RANDOM,)
        result = runner.in_turn(attacks, x, labels, scores)
        return AutoAttackResult(**vars(result), notes=notes)

    def __call__(
        self,
        model: Any,
        x: ArrayLike,
        y: ArrayLike | None = None,
        *,
        targets: ArrayLike | None = None,
        **options: Any,
    ) -> np.ndarray:
        """The images of `evaluate`: adversarial where an attack broke the image, else clean."""
        arrays.check_targets_fit(self, targets)
        return self.evaluate(model, x, y, **options).x_adv

    def run(self, score_fn, x, y, seed, targets, early_stop, eps):
        """Per image what the first attack that breaks it finds, else the last one."""
        found, rows = x, tf.range(tf.shape(x)[0])

        def attacked(attack, found, rows):
            count = tf.size(rows)
            clean, labels, seeds, radius = rows_of((x, y, seed, eps), whole(rows))
            budget = attack.budget(clean, radius, None)
            tried = attack.run(score_fn, clean, labels, seeds, labels, True, **budget)
            tried = tf.ensure_shape(tried, clean.shape)
            robust = ~misclassified(score_fn(tried), labels)
            return write_rows(found, rows, tried[:count]), tf.boolean_mask(rows, robust[:count])

        for attack in self.attacks(score_fn(x).shape[-1])[0].values():
            found, rows = tf.cond(
                tf.size(rows) > 0,
                functools.partial(attacked, attack, found, rows),
                lambda found=found, rows=rows: (found, rows),
            )
        return found

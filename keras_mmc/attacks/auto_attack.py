"""AutoAttack: an ensemble of attacks without parameters, each on the samples that still stand."""

import dataclasses

import keras
import numpy as np
import tensorflow as tf

from keras_mmc.attacks import checks
from keras_mmc.attacks.apgd import APGD
from keras_mmc.attacks.ascent import rows_of, write_rows
from keras_mmc.attacks.base import (
    RANDOM,
    Attack,
    differs_again,
    labels_or_answers,
    misclassified,
    scores_of,
)
from keras_mmc.attacks.fab import FAB
from keras_mmc.attacks.judged import attack_rows
from keras_mmc.attacks.square import Square

_VERSIONS = ("standard", "plus")


@dataclasses.dataclass(frozen=True)
class AutoAttackResult:
    """What AutoAttack did to every image.

    Attributes:
        x_adv: images in the shape and dtype of those given; the adversarial one where an attack
            broke the image, else the clean one.
        broken_by: for every image the name of the attack that broke it, `"clean"` if the model
            misclassifies it as it is, `None` if it stands.
        accuracy: robust accuracy after each attack and those before it, by name, in the order
            they ran; `"clean"` comes first.
        seconds: wall time of each attack, by name, tracing included.
        notes: sentences a report must show, such as objectives that had to be replaced.
    """

    x_adv: np.ndarray
    broken_by: tuple[str | None, ...]
    accuracy: dict[str, float]
    seconds: dict[str, float]
    notes: tuple[str, ...]

    @property
    def robust_accuracy(self) -> float:
        """Fraction of the images that no attack broke."""
        return self.broken_by.count(None) / len(self.broken_by)


@keras.saving.register_keras_serializable("keras_mmc")
@dataclasses.dataclass(frozen=True)
class AutoAttack(Attack):
    """AutoAttack: APGD on two objectives, FAB and Square, each on the samples that still stand.

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
    >>> result = keras_mmc.attacks.AutoAttack(eps=8 / 255).run(model, x_test, y_test)
    >>> result.robust_accuracy, result.accuracy, result.seconds
    """

    eps: float
    norm: str = "linf"
    version: str | tuple[Attack, ...] = "standard"
    box: tuple[float, float] = (0.0, 1.0)

    def __post_init__(self):
        super().__post_init__()
        attacks = self.version if isinstance(self.version, tuple) else ()
        if self.version not in _VERSIONS and not attacks:
            raise ValueError(
                f"AutoAttack: `version` must be one of {list(_VERSIONS)} or a tuple of attacks; "
                f"received {self.version!r}."
            )
        for attack in attacks:
            fields = [getattr(attack, name, None) for name in ("eps", "norm", "box")]
            if fields != [self.eps, self.norm, self.box]:
                raise ValueError(
                    "AutoAttack: every attack must search the ball and box that the result is "
                    f"about, eps={self.eps}, norm={self.norm!r}, box={self.box}; received "
                    f"{attack!r}. Give them the same values."
                )

    def attacks(self, num_classes: int) -> tuple[dict[str, Attack], tuple[str, ...]]:
        """The attacks of this version by name, in the order they run, and what to note of them.

        Args:
            num_classes: number of classes K of the model.
        """
        if isinstance(self.version, tuple):
            return _named(self.version), ()
        targeted = "targeted_dlr" if num_classes > 3 else "targeted_margin"
        untargeted = "dlr" if num_classes > 2 else "margin"
        ball = {"eps": self.eps, "norm": self.norm, "box": self.box}
        restarts, targets = (5, num_classes - 1) if self.version == "plus" else (1, 9)
        apgd_ce = APGD(**ball, objective="log_odds", restarts=restarts)
        apgd_dlr = APGD(**ball, objective=untargeted, restarts=restarts)
        objective = targeted if num_classes > 2 else "margin"
        apgd_t = APGD(**ball, objective=objective, num_targets=targets)
        fab_t = FAB(**ball, num_targets=targets)
        fab = FAB(**ball, num_targets=None, restarts=restarts)
        if self.version == "plus":
            attacks = {"apgd-ce": apgd_ce, "apgd-dlr": apgd_dlr, "fab": fab}
            attacks |= {"square": Square(**ball), "apgd-t": apgd_t, "fab-t": fab_t}
        else:
            attacks = {"apgd-ce": apgd_ce, "apgd-t": apgd_t}
            attacks |= {"fab-t": fab_t, "square": Square(**ball)}
        standard = {"apgd-dlr": "dlr", "apgd-t": "targeted_dlr"}
        notes = tuple(
            f"{name} maximised {attacks[name].objective!r}: {objective!r} is not defined for "
            f"{num_classes} classes."
            for name, objective in standard.items()
            if name in attacks and attacks[name].objective != objective
        )
        return attacks, notes

    def run(
        self, model, x, y=None, *, batch_size: int = 128, seed: int = 0, verbose: int = 0
    ) -> AutoAttackResult:
        """Attacks a model and reports which attack broke which image.

        An image counts as broken if the model misclassifies the point an attack returned in a
        fresh forward pass; NaN scores count as misclassified.

        Args:
            model: Keras model from images to scores `(N, K)`; it runs in inference mode.
            x: images `(N, ...)`, NumPy or tensor, float32 or float64, inside the box; `Square`
                needs `(N, H, W, C)`.
            y: integer labels `(N,)`; `None` takes the model's own predictions.
            batch_size: images attacked at a time.
            seed: integer; the same seed gives the same bits on CPU.
            verbose: 1 shows the name of each attack and a progress bar.

        Raises:
            ValueError: if images, labels or the model's scores do not fit.
        """
        x = checks.check_images(x, self.box)
        checks.check_call(self, model, None, batch_size, seed)
        if not len(x):
            raise ValueError("AutoAttack needs at least one image to report on; received none.")
        scores = scores_of(model, x, batch_size)
        labels = labels_or_answers(y, scores)
        attacks, notes = self.attacks(scores.shape[1])
        if differs_again(model, x, scores, batch_size):
            notes += (RANDOM,)
        options = {"batch_size": batch_size, "seed": seed, "verbose": verbose}
        return run_in_turn(attacks, notes, model, x, labels, scores, **options)

    def __call__(
        self, model, x, y=None, *, targets=None, batch_size=128, seed=0, verbose=0
    ) -> np.ndarray:
        """The images of `run`: adversarial where an attack broke the image, else clean."""
        checks.check_call(self, model, targets, batch_size, seed)
        return self.run(model, x, y, batch_size=batch_size, seed=seed, verbose=verbose).x_adv

    def search(self, score_fn, x, y, seed, targets=None):
        """Per sample the point of the first attack that breaks it, else that of the last one."""
        points, rows = x, tf.range(tf.shape(x)[0])
        for attack in self.attacks(score_fn(x).shape[-1])[0].values():
            clean, labels = rows_of((x, y), rows)
            found = attack.search(score_fn, clean, labels, seed)
            points = write_rows(points, rows, found)
            rows = tf.boolean_mask(rows, ~misclassified(score_fn(found), labels))
        return tf.ensure_shape(points, x.shape)


def run_in_turn(
    attacks: dict[str, Attack],
    notes,
    model,
    x,
    labels,
    scores,
    *,
    limits: dict[str, int] | None = None,
    **options,
) -> AutoAttackResult:
    """Runs attacks in turn, each on the images that still stand.

    Args:
        attacks: attacks by name, in the order they run.
        notes: sentences a report must show.
        model: Keras model from images to scores `(N, K)`.
        x: checked images `(N, ...)`.
        labels: checked labels `(N,)`.
        scores: scores `(N, K)` of the images as they are.
        limits: by the name of an attack, to how many of the first images it is limited.
        **options: as of `attack_rows`.
    """
    x_adv, broken_by = x.copy(), np.full(len(x), None, dtype=object)
    broken_by[misclassified(scores, labels).numpy()] = "clean"
    accuracy, seconds = {"clean": np.equal(broken_by, None).mean().item()}, {}
    for name, attack in attacks.items():
        limit = (limits or {}).get(name, len(x))
        rows = np.flatnonzero(np.equal(broken_by[:limit], None))
        broken, points, seconds[name] = attack_rows(name, attack, model, x, labels, rows, **options)
        x_adv[broken] = points
        broken_by[broken] = name
        accuracy[name] = np.equal(broken_by, None).mean().item()
    return AutoAttackResult(x_adv, tuple(broken_by), accuracy, seconds, notes)


def _named(attacks):
    """Attacks by the name of their class, numbered where a class comes twice."""
    names = [type(attack).__name__.lower() for attack in attacks]
    return {
        name if names.count(name) == 1 else f"{name}-{names[:i].count(name) + 1}": attack
        for i, (name, attack) in enumerate(zip(names, attacks, strict=True))
    }

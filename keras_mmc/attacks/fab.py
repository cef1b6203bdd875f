"""The fast adaptive boundary attack (FAB)."""

import dataclasses

import keras
import tensorflow as tf

from keras_mmc import objectives
from keras_mmc._gradients import value_and_gradient
from keras_mmc.attacks import checks
from keras_mmc.attacks._engine.projections import clip_to_box, random_start
from keras_mmc.attacks.ascent import per_sample
from keras_mmc.attacks.base import Attack, likely_wrong, misclassified
from keras_mmc.attacks.loops import while_standing

# The constants of the paper: largest pull towards the clean image, overshoot of the boundary, and
# the share of the perturbation that is kept once across.
_ALPHA_MAX = 0.1
_ETA = 1.05
_BETA = 0.9
_NEWTON_STEPS = 50


@keras.saving.register_keras_serializable("keras_mmc")
@dataclasses.dataclass(frozen=True)
class FAB(Attack):
    """Fast adaptive boundary attack: looks for the smallest perturbation that fools the model.

    Each step replaces the boundary of the model by its tangent at the current point, goes to the
    nearest point of it inside the box, with a pull towards the clean image, and comes back by a
    tenth once across. Only the boundary matters to it, not the size of the scores, so it works
    where gradients of saturating losses vanish.

    Args:
        eps: radius of the ball, in input units: a sample that is fooled within it is done, one
            that is not comes back unchanged. `None` looks for the smallest perturbation of every
            sample, whatever its size.
        steps: number of steps of one run.
        norm: `"linf"` or `"l2"`, the norm of the perturbation that is minimised.
        restarts: number of runs in `search` and in a call, for each target if there are any; all
            but the first start at a random point.
        box: `(low, high)`, where images live.
        num_targets: number of boundaries, those to the most likely wrong classes, that are tried
            in turn in `search` and in a call (FAB-T). `None` takes the nearest boundary of all
            classes at every step; a step then costs `K` gradients.

    Raises:
        ValueError: if a field does not fit.

    Source: Croce & Hein, ICML 2020, arXiv 1907.02044, algorithm 1; with targets Croce & Hein,
    ICML 2020, arXiv 2003.01690.

    Example:
    >>> x_adv = keras_mmc.attacks.FAB(eps=None, norm="l2")(model, x_test, y_test)
    >>> smallest = np.linalg.norm((x_adv - x_test).reshape(len(x_test), -1), axis=1)
    """

    eps: float | None
    steps: int = 100
    norm: str = "linf"
    restarts: int = 1
    box: tuple[float, float] = (0.0, 1.0)
    num_targets: int | None = 9

    def __post_init__(self):
        checks.check_fields(dataclasses.replace(self, eps=0.0) if self.eps is None else self)
        targets = self.num_targets
        if targets is not None and (not isinstance(targets, int) or targets < 1):
            raise ValueError(
                "FAB: `num_targets` must be a positive integer, or None for the untargeted "
                f"attack; received {targets!r}."
            )

    def generate(self, score_fn, x, y, seed, targets=None):
        """What one run finds, towards the most likely wrong class if there are targets."""
        scores = score_fn(x)
        clean = (x, y, self._order(scores, y)[:, 0])
        run = (clean, x, *self._found(scores, x, y))
        step = self._step(score_fn)
        _, _, _, best, distance = tf.while_loop(
            lambda *state: True,
            lambda i, *state: (i + 1, *step(i, state)[0]),
            (0, *run),
            maximum_iterations=self.steps,
        )
        return tf.stop_gradient(self._inside(best, distance, x))

    def search(self, score_fn, x, y, seed, targets=None):
        """Per sample the nearest point found that is misclassified, else the clean image.

        With `eps`, samples leave the batch at the first such point inside the ball.
        """
        scores = score_fn(x)
        order = self._order(scores, y)
        step = self._step(score_fn)

        def run(i, state):
            x, y, order, best, distance = state
            clean = (x, y, tf.gather(order, i // self.restarts, axis=1))
            start = self._start(x, distance, tf.random.experimental.stateless_fold_in(seed, i))
            start = tf.where(i % self.restarts > 0, start, x)
            best, distance = while_standing(
                self.steps,
                step,
                (clean, start, best, distance),
                outcome=lambda run: run[2:],
                share=0.125,
            )
            return (x, y, order, best, distance), self._done(distance)

        best, distance = while_standing(
            order.shape[1] * self.restarts,
            run,
            (x, y, order, *self._found(scores, x, y)),
            outcome=lambda state: state[3:],
            share=0.0,
        )
        found = self._inside(tf.ensure_shape(best, x.shape), distance, x)
        return tf.stop_gradient(found)

    def _order(self, scores, y):
        """The targets of the runs, `(N, runs)`; the labels, unused, without targets."""
        return y[:, None] if self.num_targets is None else likely_wrong(scores, y, self.num_targets)

    def _found(self, scores, x, y):
        """The nearest misclassified points known at the start, and their distances."""
        return tf.identity(x), tf.where(misclassified(scores, y), 0.0, float("inf"))

    def _done(self, distance):
        return distance <= (0.0 if self.eps is None else self.eps)

    def _inside(self, best, distance, x):
        return best if self.eps is None else tf.where(per_sample(self._done(distance), x), best, x)

    def _start(self, x, distance, seed):
        """A random point at half the radius: `eps`, or the smallest distance known so far."""
        widest = self.box[1] - self.box[0] if self.eps is None else self.eps
        radius = per_sample(tf.cast(tf.minimum(distance, widest), x.dtype), x)
        return random_start(x, radius / 2, self.norm, self.box, seed)

    def _step(self, score_fn):
        """One step of a run, `(i, state) -> (state, done)`."""

        def step(i, state):
            clean, x, best, distance = state
            x0, y, targets = clean
            value, normal = self._boundary(score_fn, x, y, targets)
            gap = tf.cast(_rows_sum(normal * (x0 - x)), tf.float32)
            ahead = step_to_plane(x, normal, -value, self.norm, self.box)
            from_clean = step_to_plane(x0, normal, -value - gap, self.norm, self.box)
            far, near = _length(ahead, self.norm), _length(from_clean, self.norm)
            alpha = tf.minimum(tf.math.divide_no_nan(far, far + near), _ALPHA_MAX)
            alpha = per_sample(alpha, x)
            moved = (1 - alpha) * (x + _ETA * ahead) + alpha * (x0 + _ETA * from_clean)
            moved = clip_to_box(moved, self.box)

            crossed = misclassified(score_fn(moved), y)
            length = tf.cast(_length(moved - x0, self.norm), tf.float32)
            nearer = crossed & (length < distance)
            best = tf.where(per_sample(nearer, x), moved, best)
            distance = tf.where(nearer, length, distance)
            back = x0 + _BETA * (moved - x0)
            x = tf.where(per_sample(crossed, x), back, moved)
            return (clean, x, best, distance), self._done(distance)

        return step

    def _boundary(self, score_fn, x, y, targets):
        """The objective whose zero is the boundary, `s_k - s_y`, and its gradient at `x`."""

        def towards(classes):
            return value_and_gradient(
                lambda x: objectives.targeted_margin(score_fn(x), y, classes), x
            )

        if self.num_targets is not None:
            return towards(targets)

        def nearer(k, value, normal, distance):
            other, gradient = towards(tf.fill(tf.shape(y), k))
            dual = tf.cast(_dual_length(gradient, self.norm), tf.float32)
            far = tf.abs(other) / (dual + 1e-12)
            better = (far < distance) & (y != k)
            normal = tf.where(per_sample(better, x), gradient, normal)
            return k + 1, tf.where(better, other, value), normal, tf.where(better, far, distance)

        zero = tf.zeros(tf.shape(y))
        _, value, normal, _ = tf.while_loop(
            lambda *state: True,
            nearer,
            (0, zero, tf.zeros_like(x), zero + float("inf")),
            maximum_iterations=score_fn(x).shape[-1],
        )
        return value, normal


def step_to_plane(x, normal, rise, norm: str, box: tuple[float, float]) -> tf.Tensor:
    """The smallest step `d` with `<normal, d> = rise` that stays in the box.

    Every coordinate moves as far as the radius of the step allows (`"linf"`), or in proportion to
    the normal (`"l2"`), but not through the side of the box. What that gains is a concave,
    piecewise linear function of the radius, so Newton's method from 0 climbs to the exact radius
    in as many steps as there are kinks on the way, without sorting them.

    Args:
        x: tensor `(N, ...)` inside the box.
        normal: tensor like `x`, the normal of the plane of each sample, of any length.
        rise: tensor `(N,)`, of either sign. If no point of the box rises as much, the step goes
            to the corner of the box that rises most.
        norm: `"linf"` or `"l2"`, the norm of the step that is minimised.
        box: `(low, high)`.

    Returns:
        Tensor like `x`; 0 where the normal is 0.

    Source: the projection of Croce & Hein, ICML 2020, arXiv 1907.02044, solved there by
    sorting.

    Example:
    >>> x, normal = tf.constant([[0.5, 0.9]]), tf.constant([[1.0, 1.0]])
    >>> step_to_plane(x, normal, tf.constant([0.4]), norm="linf", box=(0.0, 1.0))
    [[0.3, 0.1]]
    """
    axes = list(range(1, x.shape.rank))
    normal = tf.where(per_sample(rise < 0, x), -normal, normal)
    size = tf.abs(normal)
    largest = tf.reduce_max(size, axes)
    size = tf.math.divide_no_nan(size, per_sample(largest, x))
    speed = tf.where(size > 0, tf.ones_like(x), 0.0) if norm == "linf" else size
    room = tf.where(normal > 0, box[1] - x, x - box[0])
    reach = _rows_sum(size * room)
    rise = tf.minimum(tf.math.divide_no_nan(tf.abs(tf.cast(rise, x.dtype)), largest), reach)

    def newton(radius, _):
        free = speed * per_sample(radius, x) < room
        gained = _rows_sum(size * tf.minimum(speed * per_sample(radius, x), room))
        slope = _rows_sum(tf.where(free, size * speed, 0.0))
        larger = radius + tf.math.divide_no_nan(tf.maximum(rise - gained, 0.0), slope)
        return larger, tf.reduce_any(larger > radius * (1 + 1e-6))

    radius, _ = tf.while_loop(
        lambda radius, rising: rising,
        newton,
        (tf.zeros_like(rise), tf.constant(True)),
        maximum_iterations=_NEWTON_STEPS,
    )
    return tf.sign(normal) * tf.minimum(speed * per_sample(radius, x), room)


def _rows_sum(x):
    return tf.reduce_sum(x, list(range(1, x.shape.rank)))


def _length(x, norm):
    """The norm of every sample, `(N,)`."""
    if norm == "linf":
        return tf.reduce_max(tf.abs(x), list(range(1, x.shape.rank)))
    return tf.sqrt(_rows_sum(tf.square(x)))


def _dual_length(x, norm):
    return _rows_sum(tf.abs(x)) if norm == "linf" else _length(x, norm)

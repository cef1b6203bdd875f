"""Limited-memory BFGS in vector operations only.

SciPy's L-BFGS-B factorises small matrices with threaded LAPACK in every step. On problems of a few
hundred variables that is most of its time, and a hundredfold more when the cores are busy.
"""

import collections

import numpy as np

MEMORY = 10
FIRST_STEP = 0.1
SUFFICIENT_DECREASE = 1e-4
SMALLEST_STEP = 1e-10


def minimize_lbfgs(function, point: np.ndarray, steps: int, tolerance: float) -> np.ndarray:
    """Minimise a smooth function from a starting point.

    Args:
        function: maps a vector `(n,)` to its value and its gradient `(n,)`.
        point: vector `(n,)` to start from; the first step has length 0.1 at most.
        steps: most steps to take.
        tolerance: stop once a step lowers the value by less than this.

    Returns:
        Vector `(n,)`, whose value is not above the one at the start.

    Source: D. C. Liu and J. Nocedal, *On the limited memory BFGS method for large scale
        optimization*, 1989, with backtracking to sufficient decrease (Armijo).
    """
    value, gradient = function(point)
    pairs = collections.deque(maxlen=MEMORY)
    for _ in range(steps):
        direction = _direction(gradient, pairs)
        slope = gradient @ direction
        step = 1.0
        trial = function(point + direction)
        while trial[0] > value + SUFFICIENT_DECREASE * step * slope and step > SMALLEST_STEP:
            step /= 2
            trial = function(point + step * direction)
        decrease = value - trial[0]
        if not decrease > 0:
            break
        change = trial[1] - gradient
        curvature = step * (direction @ change)
        if curvature > 0:
            pairs.append((step * direction, change, curvature))
        point = point + step * direction
        value, gradient = trial
        if decrease < tolerance:
            break
    return point


def _direction(gradient, pairs):
    """Minus the inverse Hessian, as the last steps and gradient changes show it, times gradient."""
    if not pairs:
        return -gradient * min(1.0, FIRST_STEP / max(np.linalg.norm(gradient), 1e-300))
    direction = -gradient
    weights = []
    for moved, change, curvature in reversed(pairs):
        weight = (moved @ direction) / curvature
        direction = direction - weight * change
        weights.append(weight)
    _, change, curvature = pairs[-1]
    direction *= curvature / (change @ change)
    for (moved, change, curvature), weight in zip(pairs, reversed(weights), strict=True):
        direction += (weight - (change @ direction) / curvature) * moved
    return direction

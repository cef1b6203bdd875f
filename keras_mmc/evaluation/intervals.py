"""How sure a fraction of a limited number of images is."""

import math

from keras_mmc._validation import check_number, is_count, shown


def wilson_interval(successes: int, count: int, z: float = 1.959964) -> tuple[float, float]:
    """Wilson's score interval of a binomial proportion.

    Args:
        successes: number of successes.
        count: number of images, at least 1.
        z: quantile of the normal distribution; 1.959964 gives 95 %.

    Returns:
        Lower and upper bound, in `[0, 1]`.

    Raises:
        ValueError: if `count < 1` or `successes` is not in `[0, count]`.

    Source: Wilson, *Probable inference, the law of succession, and statistical inference*, 1927.

    Example:
    >>> wilson_interval(8, 10)
    (0.490, 0.943)
    """
    check_number("wilson_interval", "z", z, above=0)
    if not (is_count(count) and is_count(successes, 0)) or not 0 <= successes <= count:
        raise ValueError(
            f"An interval needs 0 <= successes <= count with count >= 1; received "
            f"{shown(successes)} of {shown(count)}."
        )
    fraction = successes / count
    middle = fraction + z * z / (2 * count)
    spread = z * math.sqrt(fraction * (1 - fraction) / count + z * z / (4 * count * count))
    scale = 1 + z * z / count
    return max(0.0, (middle - spread) / scale), min(1.0, (middle + spread) / scale)

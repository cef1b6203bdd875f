"""The flag of the box where images live."""

from absl import flags

FLAGS = flags.FLAGS
flags.DEFINE_list(
    "box",
    ["0", "1"],
    "Lowest and highest value of an image. Pixels from 0 to 255 are scaled into it; 0,255 keeps "
    "them.",
)


def _is_box(given):
    try:
        low, high = map(float, given)
    except ValueError:
        return False
    return float("-inf") < low < high < float("inf")


flags.register_validator("box", _is_box, message="two numbers are needed, the lower first: 0,255")


def box() -> tuple[float, float]:
    """Lowest and highest value of an image."""
    low, high = map(float, FLAGS.box)
    return low, high

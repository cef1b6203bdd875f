"""The ball of an attack: sizes by hand, what it holds, and what attacks say of theirs."""

import dataclasses

import numpy as np
import pytest

from keras_mmc.attacks import (
    FAB,
    FGSM,
    PGD,
    SPSA,
    AutoAttack,
    Ball,
    CarliniWagner,
    CleverHans,
    Runner,
    Transfer,
)

BOX = (0.0, 1.0)


def test_sizes_by_hand():
    """Fails if a norm is taken over the batch, or is not that of its name."""
    clean = np.full((2, 1, 2, 1), 0.5, "float32")
    x_adv = clean + np.array([[0.3, -0.4], [0.0, 0.1]], "float32").reshape(2, 1, 2, 1)
    np.testing.assert_allclose(Ball(1.0).sizes(x_adv, clean), [0.4, 0.1], rtol=1e-6)
    np.testing.assert_allclose(Ball(1.0, "l2").sizes(x_adv, clean), [0.5, 0.1], rtol=1e-6)
    assert Ball(1.0).sizes(x_adv[:0], clean[:0]).shape == (0,)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_what_a_ball_does_not_hold(norm):
    """Fails if an image outside ball or box, or one that is not finite, passes."""
    clean = np.full((1, 2), 0.95, "float32")

    def fits(pixels, eps=0.1):
        return Ball(0.1, norm, BOX).holds(np.array([pixels], "float32"), clean, eps).item()

    assert fits([0.95, 0.95], eps=0.0)
    assert fits([0.85, 0.95])
    assert not fits([0.849, 0.95])
    assert not fits([1.001, 0.95])
    assert not fits([np.nan, 0.95])
    assert not fits([np.inf, 0.95], eps=np.inf)


def test_rounding_grows_with_the_box():
    """Fails if float32 pixels in [0, 255] count as outside of a small ball."""
    clean = np.linspace(1, 250, 100, dtype="float32")[:, None]
    ball = Ball(0.01, box=(0.0, 255.0))
    assert ball.holds(clean + np.float32(0.01), clean).all()
    assert not ball.holds(clean + np.float32(0.011), clean).any()


def test_radii_may_differ_by_image():
    """Fails if one radius is used for all images."""
    clean = np.zeros((2, 3), "float32")
    found = Ball(1.0).holds(clean + 0.1, clean, [0.05, 0.1])
    np.testing.assert_array_equal(found, [False, True])


@pytest.mark.parametrize("fields", [{"eps": -0.1}, {"norm": "l1"}, {"box": (1.0, 0.0)}])
def test_refuses_fields(fields):
    """Fails if a ball without meaning is accepted."""
    with pytest.raises(ValueError, match=f"Ball: `{next(iter(fields))}` must be"):
        Ball(**{"eps": 0.1} | fields)


def test_balls_of_attacks(mmc_model):
    """Fails if an attack names another ball than it searches, or one where it has none."""
    from cleverhans.tf2.attacks.fast_gradient_method import fast_gradient_method

    assert FGSM(0.1, norm="l2").ball == Ball(0.1, "l2")
    assert SPSA(0.1, box=(-1.0, 2.0)).ball == Ball(0.1, "linf", (-1.0, 2.0))
    assert AutoAttack(0.1, norm="l2").ball == Ball(0.1, "l2")
    assert Transfer(PGD(0.1, norm="l2"), mmc_model).ball == Ball(0.1, "l2")
    assert CleverHans(fast_gradient_method, eps=0.1, norm=2).ball == Ball(0.1, "l2")
    assert CleverHans(fast_gradient_method, eps=0.1, norm=1).ball is None
    assert FAB(None).ball is None and CarliniWagner().ball is None


@dataclasses.dataclass(frozen=True)
class Jump(PGD):
    """Claims a ball and leaves it."""

    def run(self, score_fn, x, y, seed, targets, early_stop, eps, steps):
        return x + eps + 0.01


def test_what_left_the_ball_is_not_reported(mmc_model, digits):
    """Fails if a defective attack could inflate its success."""
    x, y = 0.5 * digits[0][:20], digits[1][:20]
    with pytest.raises(ValueError, match=r"not finite or outside the linf ball of radius 0\.3"):
        Runner(mmc_model).robust_accuracy(Jump(0.3), x, y)

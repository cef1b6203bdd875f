"""What a loss says about itself, and a loss of a user's own."""

import keras
import numpy as np
import pytest

from keras_mmc import losses

DEFAULTS = {
    "needs_distances": False,
    "needs_fixed_centers": False,
    "needs_offsets": False,
    "needs_features": False,
    "pairwise": False,
    "min_classes": 2,
    "says_true_class": True,
    "from_features": False,
}


@pytest.mark.parametrize(
    ("loss", "other_than_default"),
    [
        (losses.MMCLoss(), {"needs_distances": True, "needs_fixed_centers": True}),
        (
            losses.MMCLoss(centers=np.eye(3)),
            {"needs_distances": True, "needs_fixed_centers": True, "from_features": True},
        ),
        (
            losses.ElasticMMCLoss(),
            {"needs_distances": True, "needs_fixed_centers": True, "needs_offsets": True},
        ),
        (losses.ShellMMCLoss(), {"needs_distances": True, "needs_fixed_centers": True}),
        (losses.CenterLoss(), {"needs_features": True}),
        (losses.LGMLoss(), {"needs_distances": True}),
        (losses.MMLDALoss(), {}),
        (losses.GuidedComplementEntropy(), {"min_classes": 3}),
        (losses.ComplementEntropy(), {"min_classes": 3, "says_true_class": False}),
        (losses.DifferentialLoss(), {"pairwise": True}),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_what_each_loss_needs(loss, other_than_default):
    """Fails if a loss promises what it does not hold, so that a wrong head or defense passes."""
    assert {name: getattr(loss, name) for name in DEFAULTS} == DEFAULTS | other_than_default


@keras.saving.register_keras_serializable("test")
class BrierLoss(losses.ScoreLoss):
    """The example of the docstring, with a parameter, for four classes or more."""

    min_classes = 4

    def __init__(self, weight=1.0, **kwargs):
        super().__init__(**kwargs)
        self.weight = weight

    def call(self, y_true, y_pred):
        """Squared distance of the probabilities from the label."""
        targets = losses.label_distribution(y_true, y_pred)
        return self.weight * keras.ops.sum((keras.ops.softmax(y_pred) - targets) ** 2, axis=-1)

    def get_config(self):
        """The config with the weight."""
        return {**super().get_config(), "weight": self.weight}


@pytest.mark.parametrize("labels", [[1, 2], [[1], [2]], np.eye(4)[[1, 2]]])
def test_a_loss_of_ones_own(labels):
    """Fails if a subclass needs more than `call`: at equal scores 3 (1/4)^2 + (3/4)^2 a sample."""
    loss = BrierLoss(weight=2.0, reduction="sum")
    assert loss.name == "brier_loss"
    assert float(loss(labels, np.zeros((2, 4)))) == pytest.approx(2 * 2 * (3 / 16 + 9 / 16))
    copy = keras.losses.deserialize(keras.losses.serialize(loss))
    assert copy.get_config() == loss.get_config()


def test_a_loss_of_ones_own_is_checked():
    """Fails if the base does not check classes and labels before `call`, lists included."""
    with pytest.raises(ValueError, match=r"BrierLoss needs at least 4 classes; .* of 3\."):
        BrierLoss()([0], [[0.0, 0.0, 0.0]])
    with pytest.raises(ValueError, match=r"in \[0, 4\).*from 4 to 4"):
        BrierLoss()([4], [[0.0, 0.0, 0.0, 0.0]])


def test_a_loss_of_features_says_what_it_lacks():
    """Fails if a subclass that promises a value of features and has none trains with another."""

    class OwnFeatures(losses.ScoreLoss):
        needs_features = True

    with pytest.raises(NotImplementedError, match="OwnFeatures does not implement `call_with_pul"):
        OwnFeatures().call_with_pulls([0], np.zeros((1, 2)), np.zeros((1, 2)))
    with pytest.raises(ValueError, match="OwnFeatures needs features"):
        OwnFeatures()([0], np.zeros((1, 2)))

"""Networks with the normalisation inside and a head of choice."""

from keras_mmc.models.lenet5 import lenet5
from keras_mmc.models.preact_resnet import preact_resnet18, wide_resnet
from keras_mmc.models.resnet import resnet_v1, resnet_v2
from keras_mmc.models.small_cnn import small_cnn

__all__ = [
    "lenet5",
    "preact_resnet18",
    "resnet_v1",
    "resnet_v2",
    "small_cnn",
    "wide_resnet",
]

"""Networks with the normalization inside and a head of choice.

Every builder takes the arguments below besides those that its own docstring explains, and returns
a `keras.Model` from images `(N, H, W, C)` to float32 scores `(N, K)`. A `ValueError` refuses an
argument out of range, arguments that contradict each other, and images too small.

- `input_shape`: `(H, W, C)` of the images.
- `num_classes`: number of classes K; needed, and only taken, without a `head`.
- `head`: layer from features `(N, feature_dim)` to scores `(N, K)`, such as
  `keras_mmc.MaxMahalanobisCenters(10)`, or `None` for a dense layer of logits.
- `feature_dim`: width d of the linear layer "features" before the head. Where `None` is allowed, it
  leaves that layer out, as in the networks of the literature: the head takes the pooled
  activations, which then bear the name "features". Those are never negative, while fixed centers
  have negative coordinates: keep the layer under a head with such centers.
- `mean`, `std`: what to subtract and divide by inside the model, each a number or one per channel.
- `name`: name of the model.
"""

from keras_mmc.models.cnn import lenet5, small_cnn
from keras_mmc.models.resnet import preact_resnet18, resnet_v1, resnet_v2, wide_resnet

__all__ = [
    "lenet5",
    "preact_resnet18",
    "resnet_v1",
    "resnet_v2",
    "small_cnn",
    "wide_resnet",
]

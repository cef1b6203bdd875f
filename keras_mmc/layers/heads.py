"""Heads: their base class, and those that score features by their distance to class centers."""

import warnings
from typing import Any

import keras
import numpy as np
from scipy.spatial.distance import pdist

from keras_mmc._backend import Tensor
from keras_mmc._labels import as_tensor
from keras_mmc._scores import center_distances, center_scores
from keras_mmc._validation import check_count
from keras_mmc.centers import check_centers, max_mahalanobis_centers
from keras_mmc.centers.geometry import check_memory, check_scale
from keras_mmc.layers._features import activation_before


class ScoreHead(keras.layers.Layer):
    """Base class of heads: from features `(N, d)` to scores `(N, K)` in float32 or wider.

    A subclass makes its weights in `build`, for the width that `check_features` returns, and
    computes the scores in `call`. It is registered with
    `keras.saving.register_keras_serializable`, and names its parameters in `config_fields` or
    extends `get_config`. A `ValueError` refuses another dtype, an argument out of range, and, when
    the head is built, features of another shape.

    Attributes:
        config_fields: names of the parameters that are saved, each an attribute as well.
        gives_distances: set it to `True` if the scores are `-1/2 ||z - mu_k||^2`, or less, and so
            never above 0, as losses with `needs_distances` ask for.
        has_offsets: whether centers have trainable offsets that a prior holds, as losses with
            `needs_offsets` ask for.
        gives_pulls: whether it holds `centers` `(K, d)` apart from the scores and has the methods
            `pull` and `move_centers` of `DenseWithCenters`, for losses with `needs_features`.

    Args:
        dtype: "float32" (also under mixed precision) or "float64". Scores of a 16-bit dtype would
            lose the small differences that decide, and attacks would be blind.
        **kwargs: `name` and `trainable`, as for every Keras layer.
    """

    config_fields: tuple[str, ...] = ()
    gives_distances = False
    has_offsets = False
    gives_pulls = False

    def __init__(self, dtype: Any = "float32", **kwargs: Any):
        super().__init__(dtype=dtype, **kwargs)
        if self.compute_dtype not in ("float32", "float64"):
            raise ValueError(
                f"{type(self).__name__} computes in float32 or float64; received dtype {dtype!r}. "
                "Leave `dtype` out: the head stays in float32 under a mixed-precision policy."
            )

    def __call__(self, inputs: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        as_tensor(inputs, "Features")  # complex numbers, or texts, are refused
        return super().__call__(inputs, *args, **kwargs)

    @property
    def softmax_temperature(self) -> float:
        """The temperature at which a softmax of the scores of a trained network is not one-hot.

        Terms that compare probabilities, such as the divergence of TRADES, divide scores by it.
        """
        return 1.0

    def distances(self, scores: Tensor) -> Tensor:
        """Distances `||z - mu_k||` from the scores `(N, K)` of a head that `gives_distances`."""
        return center_distances(scores)

    def check_features(self, input_shape: tuple[int | None, ...]) -> int:
        """Return the width d of features of shape `(N, d)`; refuse others, and over 8 GiB."""
        is_shape = isinstance(input_shape, (tuple, list))
        if not is_shape or len(input_shape) != 2 or not input_shape[-1]:
            raise ValueError(
                f"{type(self).__name__} expects features of shape (N, d) with a known width d; "
                f"received shape {tuple(input_shape) if is_shape else input_shape}. Put a Flatten "
                "or GlobalAveragePooling2D and a Dense layer before it."
            )
        check_memory(getattr(self, "num_classes", 1), input_shape[-1])
        return input_shape[-1]

    def get_config(self) -> dict[str, Any]:
        own = {name: getattr(self, name) for name in self.config_fields}
        return {**super().get_config(), **keras.saving.serialize_keras_object(own)}


class CenterHead(ScoreHead):
    """A head whose `centers` `(K, d)` give scores `-1/2 ||z - mu_k||^2`."""

    gives_distances = True
    num_classes: int
    centers: Tensor

    def call(self, inputs: Tensor) -> Tensor:
        return center_scores(inputs, self.centers)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return (*input_shape[:-1], self.num_classes)


class MaxMahalanobisHead(CenterHead):
    """A head that holds Max-Mahalanobis centers `fixed_centers` `(K, d)`, which are not trained.

    Arguments and errors are those of `MaxMahalanobisCenters`.
    """

    config_fields: tuple[str, ...] = ("num_classes", "scale", "seed")

    def __init__(
        self,
        num_classes: int | None = None,
        scale: float = 10.0,
        centers: np.typing.ArrayLike | None = None,
        seed: int = 0,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self._own_centers = None if centers is None else check_centers(centers)
        rows = num_classes if self._own_centers is None else len(self._own_centers)
        if num_classes not in (None, rows):
            raise ValueError(
                f"{type(self).__name__}: num_classes={num_classes} but `centers` hold {rows} rows. "
                "Leave `num_classes` out, or make them agree."
            )
        self.num_classes = check_count(self, "num_classes", rows, least=2)
        self.scale = check_scale(scale)
        self.seed = check_count(self, "seed", seed, least=0)

    def __call__(self, inputs: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        activation = activation_before(inputs)
        if activation is not None:
            warnings.warn(
                f"{type(self).__name__} gets features behind the activation {activation!r}, which "
                "are never negative, and its centers lie all around 0: most of them cannot be "
                "reached. Put a Dense layer without activation between.",
                stacklevel=2,
            )
        return super().__call__(inputs, *args, **kwargs)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        dim = self.check_features(input_shape)
        own = self._own_centers
        if own is not None and own.shape[1] != dim:
            raise ValueError(
                f"{type(self).__name__}: the centers have width {own.shape[1]}; received "
                f"features of shape {tuple(input_shape)}. Put a Dense({own.shape[1]}) without "
                "activation before this layer."
            )
        # Made once there is a weight for them: a file may ask for more than fits into memory.
        self.fixed_centers = self.add_weight(
            (self.num_classes, dim), self._made_centers, trainable=False, name="centers"
        )

    def _made_centers(self, shape: tuple[int, int], dtype: Any = None) -> Tensor:
        """The initial value of the centers, as a Keras initializer."""
        values = self._own_centers
        if values is None:
            values = max_mahalanobis_centers(*shape, self.scale, self.seed)
            if shape[0] > shape[1] + 1:
                self._own_centers = values  # kept in the config: optimizing again takes seconds
        return keras.ops.convert_to_tensor(values, dtype=dtype)

    @property
    def softmax_temperature(self) -> float:
        """A tenth of the score gap at a fixed center, `1/2 min_{i != j} ||mu_i - mu_j||^2`.

        Features at their center then give the softmax a gap of 10, about that of a network
        trained with cross-entropy. With 10 classes and scale 10 it is 11.1.
        """
        centers = keras.ops.convert_to_numpy(self.fixed_centers).astype("float64")
        return float(pdist(centers, "sqeuclidean").min() / 20)

    def get_config(self) -> dict[str, Any]:
        centers = None if self._own_centers is None else self._own_centers.tolist()
        return {**super().get_config(), "centers": centers}


@keras.saving.register_keras_serializable("keras_mmc")
class MaxMahalanobisCenters(MaxMahalanobisHead):
    """Head with fixed class centers as far apart as possible: scores `-1/2 ||z - mu_k||^2`.

    For `num_classes <= d + 1` the centers are a regular simplex; for more classes they are
    optimized numerically when the layer is built (see `keras_mmc.centers`). They are not trained.
    The decision is the nearest center. Feed it the output of a Dense layer *without* activation.

    Args:
        num_classes: number of classes K, at least 2; may be left out if `centers` are given.
        scale: norm of every center (C_MM in the paper); 10 and 100 are used there.
        centers: own centers, array `(K, d)`, used as they are; `scale` and `seed` do not apply.
        seed: seed of the numerical optimization; a simplex does not depend on it.

    Source: Pang et al., ICLR 2020, arXiv 1905.10626.

    Example:
    >>> head = keras_mmc.MaxMahalanobisCenters(10, scale=10.0)
    >>> head(np.zeros((1, 256), "float32")).shape
    (1, 10)
    """

    @property
    def centers(self) -> Tensor:
        """The centers `(K, d)`."""
        return self.fixed_centers


@keras.saving.register_keras_serializable("keras_mmc")
class LearnedCenters(CenterHead):
    """Head with class centers that are trained: scores `-1/2 ||z - c_k||^2`.

    Meant for `LGMLoss`. With `MMCLoss` alone, all features and centers may
    collapse into one point: use `MaxMahalanobisCenters` there.

    Args:
        num_classes: number of classes K, at least 2.
        initializer: Keras initializer of the centers.

    Source: Wan et al., *Rethinking Feature Distribution for Loss Functions in Image
    Classification*, CVPR 2018.

    Example:
    >>> keras_mmc.LearnedCenters(10)(np.zeros((1, 64), "float32")).shape
    (1, 10)
    """

    config_fields = ("num_classes", "initializer")

    def __init__(self, num_classes: int, initializer: Any = "glorot_uniform", **kwargs: Any):
        super().__init__(**kwargs)
        self.num_classes = check_count(self, "num_classes", num_classes, least=2)
        self.initializer = keras.initializers.get(initializer)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        shape = (self.num_classes, self.check_features(input_shape))
        self.centers = self.add_weight(shape, self.initializer, name="centers")

"""The score contract: a classifier maps a batch to scores `(N, K)`, float32, larger is likelier.

Losses, metrics, attacks and audits are all functions of such scores and the labels. Two relations
tie the scores of a head with centers to distances in feature space; they are written here once.
"""

from keras import ops

from keras_mmc._backend import Tensor


def center_scores(features: Tensor, centers: Tensor) -> Tensor:
    """Scores `s_k = -1/2 ||z - mu_k||^2`, `(N, K)`, of features `(N, d)` and centers `(K, d)`.

    Both are of one dtype, float32 or wider. Computed as `<z, mu_k> - (||z||^2 + ||mu_k||^2) / 2`,
    one matrix product instead of an `(N, K, d)` difference; never above 0 but for rounding. The
    gradient in `z` is `mu_k - z`.

    Source: Pang et al., ICLR 2020 (arXiv 1905.10626): half the negative squared distance whose
    value at the own center is the negative MMC loss.
    """
    cross = ops.matmul(features, ops.transpose(centers))
    feature_norms = ops.sum(ops.square(features), axis=-1, keepdims=True)
    center_norms = ops.sum(ops.square(centers), axis=-1)
    return cross - (feature_norms + center_norms) / 2


def center_distances(scores: Tensor) -> Tensor:
    """Distances `||z - mu_k|| = sqrt(-2 s_k)` from scores of any shape, in units of the features.

    The gradient at a center, where the distance has no direction, is 0. A NaN score has a NaN
    distance: only what is known to be at the center gets 0.
    """
    squared = -2 * scores
    at_center = squared <= 1e-12
    return ops.where(at_center, 0.0, ops.sqrt(ops.where(at_center, 1.0, squared)))


def nan_where_nan(values: Tensor, scores: Tensor) -> Tensor:
    """The values `(N,)`, but NaN for every sample with a NaN among its scores `(N, K)`.

    A value that picks some classes and drops the others, by `where`, `max` or a comparison, would
    otherwise be a finite number for a sample that the network failed on.
    """
    return ops.where(ops.any(ops.isnan(scores), axis=-1), float("nan"), values)

"""The features of a trained network, and the centers about which they lie."""

import keras
import numpy as np
import tensorflow as tf
from scipy.spatial.distance import pdist

_TINY = np.finfo("float32").tiny  # what divides where centers coincide


def features_of(model: keras.Model, images: np.ndarray | tf.data.Dataset) -> np.ndarray:
    """Features `(N, d)` before the head."""
    return to_features(model).predict(images, verbose=0).astype("float32")


def to_features(model: keras.Model) -> keras.Model:
    """The network up to its features, sharing its weights."""
    return keras.Model(model.inputs, model.get_layer("features").output)


def centers_of(model: keras.Model, features: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The centers of the head, or the class means of the features where it has none."""
    centers = getattr(model.layers[-1], "centers", None)
    if centers is not None:
        return keras.ops.convert_to_numpy(centers)
    return np.stack([features[labels == k].mean(axis=0) for k in range(model.output_shape[-1])])


def own_over_half_gap(features: np.ndarray, labels: np.ndarray, centers: np.ndarray) -> np.ndarray:
    """Distance `(N,)` of features to their own center, over half the smallest gap of two centers.

    Below 1 no other center is nearer.
    """
    own = np.linalg.norm(features - centers[labels].astype("float64"), axis=-1)
    return own / max(pdist(centers).min() / 2, _TINY)


def own_over_nearest_other(
    features: np.ndarray, labels: np.ndarray, centers: np.ndarray
) -> np.ndarray:
    """Distance `(N,)` of features to their own center, over that to the nearest other one."""
    distances = np.linalg.norm(features[:, None] - centers.astype("float64"), axis=-1)
    own = distances[np.arange(len(labels)), labels]
    distances[np.arange(len(labels)), labels] = np.inf
    return own / np.maximum(distances.min(axis=1), _TINY)

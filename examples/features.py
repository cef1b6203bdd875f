"""The features of a trained network, and the centers about which they lie."""

import keras
import numpy as np
import tensorflow as tf


def features_of(model: keras.Model, images: np.ndarray | tf.data.Dataset) -> np.ndarray:
    """Features `(N, d)` before the head."""
    to_features = keras.Model(model.inputs, model.get_layer("features").output)
    return to_features.predict(images, verbose=0).astype("float32")


def centers_of(model: keras.Model, features: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The centers of the head, or the class means of the features where it has none."""
    centers = getattr(model.layers[-1], "centers", None)
    if centers is not None:
        return keras.ops.convert_to_numpy(centers)
    return np.stack([features[labels == k].mean(axis=0) for k in range(model.output_shape[-1])])

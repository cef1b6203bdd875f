"""Networks: true depths, shapes, the head, normalization inside, and refusals."""

import keras
import numpy as np
import pytest

from keras_mmc import MaxMahalanobisCenters, models

BUILDERS = {
    "lenet5": lambda **k: models.lenet5((28, 28, 1), **k),
    "small_cnn": lambda **k: models.small_cnn((28, 28, 1), **k),
    "resnet_v1": lambda **k: models.resnet_v1((32, 32, 3), depth=8, **k),
    "resnet_v2": lambda **k: models.resnet_v2((32, 32, 3), depth=11, **k),
    "preact_resnet18": lambda **k: models.preact_resnet18((32, 32, 3), **k),
    "wide_resnet": lambda **k: models.wide_resnet((32, 32, 3), depth=10, width=1, **k),
}


def weighted_layers(model):
    """Convolutions off the shortcuts, plus the last dense layer: what a depth counts.

    The feature layer of this package comes on top of the classifier of the papers.
    """
    convolutions = [x for x in model.layers if isinstance(x, keras.layers.Conv2D)]
    shortcuts = [x for x in convolutions if x.kernel_size == (1, 1) and _feeds_add(x)]
    return len(convolutions) - len(shortcuts) + 1


def _feeds_add(layer):
    nodes = layer._outbound_nodes
    return (
        len(nodes) == 1
        and isinstance(nodes[0].operation, keras.layers.Add)
        and (nodes[0].input_tensors[0] is layer.output)
    )


@pytest.mark.parametrize("depth", [8, 14, 20])
def test_depth_of_resnet_v1(depth):
    """Fails if a block is missing or counted twice."""
    model = models.resnet_v1((32, 32, 3), num_classes=10, depth=depth)
    assert (weighted_layers(model), model.name) == (depth, f"resnet{depth}_v1")


@pytest.mark.parametrize("depth", [11, 20, 29])
def test_depth_of_resnet_v2(depth):
    """Fails if a block is missing or counted twice."""
    model = models.resnet_v2((32, 32, 3), num_classes=10, depth=depth)
    assert (weighted_layers(model), model.name) == (depth, f"resnet{depth}_v2")


@pytest.mark.parametrize(("depth", "width"), [(10, 1), (16, 2)])
def test_depth_of_wide_resnet(depth, width):
    """Fails if a block is missing: WRN's depth counts every convolution, three shortcuts too.

    At width 1 the first stage does not widen and needs no shortcut.
    """
    model = models.wide_resnet((32, 32, 3), num_classes=10, depth=depth, width=width)
    convolutions = [x for x in model.layers if isinstance(x, keras.layers.Conv2D)]
    assert len(convolutions) == depth - (width == 1)
    assert convolutions[-1].filters == 64 * width
    assert model.name == f"wrn_{depth}_{width}"


def test_size_of_wide_resnet_34_10():
    """Fails if WRN-34-10 has other weights than its 46.16 million, in whatever layer."""
    model = models.wide_resnet((32, 32, 3), num_classes=10, feature_dim=None)
    assert sum(weight.shape.num_elements() for weight in model.trainable_weights) == 46_160_474


@pytest.mark.parametrize(
    ("name", "pooled"),
    [("resnet_v1", 64), ("resnet_v2", 256), ("preact_resnet18", 512), ("wide_resnet", 64)],
)
def test_without_a_feature_layer(name, pooled, rng):
    """Fails if the pooled activations do not go to the head, or are not called features."""
    model = BUILDERS[name](num_classes=10, feature_dim=None)
    assert model.layers[-1].kernel.shape == (pooled, 10)
    features = keras.Model(model.input, model.get_layer("features").output)
    x = rng.uniform(size=(2, 32, 32, 3)).astype("float32")
    found = np.asarray(model.layers[-1](features(x, training=False)))
    np.testing.assert_allclose(found, model(x, training=False), rtol=1e-5, atol=1e-5)
    assert not model.get_layer("features").weights


@pytest.mark.parametrize("name", BUILDERS)
def test_every_network_takes_every_head(name, rng):
    """Fails if a head is not connected to linear features, or scores are not float32 (N, K)."""
    for options in ({"num_classes": 7}, {"head": MaxMahalanobisCenters(7)}):
        model = BUILDERS[name](**options)
        x = rng.uniform(size=(2, *model.input_shape[1:])).astype("float32")
        scores = np.asarray(model(x, training=False))
        assert scores.shape == (2, 7)
        assert scores.dtype == np.float32
        assert np.all(np.isfinite(scores))
    assert model.get_layer("features").activation is keras.activations.linear


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
@pytest.mark.parametrize("name", ["small_cnn", "resnet_v2"])
def test_scores_stay_float32_under_mixed_precision(name, policy, rng):
    """Fails if a 16-bit policy reaches the scores, or never reaches the network."""
    keras.config.set_dtype_policy(policy)
    for options in ({"num_classes": 10}, {"head": MaxMahalanobisCenters(10)}):
        model = BUILDERS[name](**options)
        compute = keras.config.dtype_policy().compute_dtype
        assert model.get_layer("features").compute_dtype == compute
        x = rng.uniform(size=(2, *model.input_shape[1:])).astype("float32")
        assert model(x).dtype == "float32"


def test_normalization_is_part_of_the_model(rng):
    """Fails if the model does not subtract the mean and divide by the standard deviation."""
    model = models.small_cnn((4, 4, 3), num_classes=3, mean=(0.1, 0.2, 0.3), std=(0.5, 1.0, 2.0))
    x = rng.uniform(size=(2, 4, 4, 3)).astype("float32")
    normalized = keras.Model(model.input, model.get_layer("normalization").output)(x)
    expected = (x - np.array([0.1, 0.2, 0.3])) / np.array([0.5, 1.0, 2.0])
    np.testing.assert_allclose(normalized, expected, rtol=1e-5, atol=1e-6)


def test_weight_decay_is_on_the_convolutions_of_the_reference_only():
    """Fails if dense layers are decayed or the factor is not 1e-4."""
    model = models.resnet_v2((32, 32, 3), num_classes=10, depth=11)
    for layer in model.layers:
        decay = getattr(layer, "kernel_regularizer", None)
        if isinstance(layer, keras.layers.Conv2D):
            assert float(decay.l2) == pytest.approx(1e-4)
        else:
            assert decay is None


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: models.resnet_v2((32, 32, 3), 10, depth=32), r"9n \+ 2.*11, 20, 29.*received 32"),
        (lambda: models.resnet_v1((32, 32, 3), 10, depth=2), r"6n \+ 2.*received 2"),
        (lambda: models.wide_resnet((32, 32, 3), 10, depth=33), r"6n \+ 4.*depth=33"),
        (lambda: models.wide_resnet((32, 32, 3), 10, width=0), "width=0"),
        (lambda: models.small_cnn((28, 28), 10), r"\(height, width, channels\).*\(28, 28\)"),
        (lambda: models.small_cnn((28, 28, 1)), "without a `head`.*received None"),
        (lambda: models.small_cnn((28, 28, 1), 1), "received 1"),
        (lambda: models.small_cnn((28, 28, 1), head="mmc"), "must be a Keras layer.*'mmc'"),
        (
            lambda: models.small_cnn((28, 28, 1), 10, head=MaxMahalanobisCenters(10)),
            "leave `num_classes` out",
        ),
        (lambda: models.small_cnn((28, 28, 1), 10, feature_dim=None), "`feature_dim` must be"),
        (lambda: models.lenet5((28, 28, 1), 10, feature_dim=None), "`feature_dim` must be"),
        (lambda: models.resnet_v1((32, 32, 3), 10, 8, feature_dim=0), "`feature_dim` must be"),
        (lambda: models.small_cnn((28, 28, 1), 10, std=0.0), "`std` must be above 0"),
        (lambda: models.small_cnn((28, 28, 1), 10, mean=(0, 0)), "one per channel"),
    ],
)
def test_refusals(make, message):
    """Fails if contradicting arguments build a network, or the message does not help."""
    with pytest.raises(ValueError, match=message):
        make()

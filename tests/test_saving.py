"""Compile, fit, save and load as any Keras model, in new processes and under every policy."""

import keras
import numpy as np
import pytest

import keras_mmc


def small_model(head=None):
    """A fully connected network for 8 x 8 images."""
    inputs = keras.Input((8, 8, 1))
    x = keras.layers.Flatten()(inputs)
    x = keras.layers.Dense(32, activation="relu")(x)
    x = keras.layers.Dense(16, name="features")(x)
    return keras.Model(inputs, (head or keras_mmc.MaxMahalanobisCenters(10))(x))


LOSSES = {
    "mmc": (lambda: keras_mmc.MMCLoss(), None),
    "elastic": (lambda: keras_mmc.ElasticMMCLoss(), lambda: keras_mmc.ElasticCenters(10)),
    "shell": (lambda: keras_mmc.ShellMMCLoss(1.0), None),
    "mm_lda": (lambda: keras_mmc.MMLDALoss(sigma=2.0), None),
    "center": (lambda: keras_mmc.CenterLoss(), lambda: keras_mmc.DenseWithCenters(10)),
    "lgm": (lambda: keras_mmc.LGMLoss(), lambda: keras_mmc.LearnedCenters(10)),
    "gce": (lambda: keras_mmc.GuidedComplementEntropy(), lambda: keras.layers.Dense(10)),
    "differential": (lambda: keras_mmc.DifferentialLoss(), lambda: keras.layers.Dense(10)),
}


# Under XLA the values and gradients of all losses are in tests/losses/test_every_loss.py.
@pytest.mark.parametrize(
    ("name", "jit_compile"),
    [*((name, False) for name in LOSSES), ("mmc", True), ("differential", True)],
)
def test_every_loss_trains(name, jit_compile, digits):
    """Fails if a loss cannot be compiled, traced or learnt from: accuracy far above chance."""
    loss, head = LOSSES[name]
    model = small_model(head and head())
    trained = keras_mmc.AdversarialModel(model) if loss().needs_features else model
    trained.compile(
        keras.optimizers.Adam(0.01), loss(), metrics=["accuracy"], jit_compile=jit_compile
    )
    trained.fit(*digits, batch_size=64, epochs=5, verbose=0)
    accuracy = trained.evaluate(*digits, verbose=0, return_dict=True)["accuracy"]
    # Offsets between classes cancel in every pair: differential training does not set them.
    assert accuracy > (0.5 if name == "differential" else 0.85)
    assert model.predict(digits[0][:3], verbose=0).shape == (3, 10)


@pytest.mark.parametrize("jit_compile", [False, True], ids=["graph", "xla"])
@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_mmc_trains_under_mixed_precision(policy, jit_compile, digits):
    """Fails if a 16-bit policy overflows the loss or stalls the training."""
    keras.config.set_dtype_policy(policy)
    model = small_model()
    model.compile(
        keras.optimizers.Adam(0.01),
        keras_mmc.MMCLoss(),
        metrics=["accuracy"],
        jit_compile=jit_compile,
    )
    history = model.fit(*digits, batch_size=64, epochs=5, verbose=0).history
    assert history["accuracy"][-1] > 0.85
    assert np.all(np.isfinite(history["loss"]))


LOAD = """
import sys, numpy as np, keras
import keras_mmc
path, inputs, expected = sys.argv[1:]
model = keras.models.load_model(path, safe_mode=True)
data = np.load(inputs)
scores = model.predict(data["x"], verbose=0)
np.testing.assert_allclose(scores, np.load(expected), rtol=1e-5, atol=1e-4)
loss, accuracy, distance = model.evaluate(data["x"], data["y"], verbose=0)
model.fit(data["x"], data["y"], verbose=0)
print(keras.config.backend(), float(loss))
"""


SAVED = {
    "mmc": (keras_mmc.MMCLoss, lambda: keras_mmc.MaxMahalanobisCenters(10)),
    "elastic": (keras_mmc.ElasticMMCLoss, lambda: keras_mmc.ElasticCenters(10, alpha=0.5)),
}


@pytest.fixture(scope="module", params=SAVED)
def saved(request, tmp_path_factory, digits):
    """A trained and saved model, with elastic centers too, some inputs and its scores."""
    folder = tmp_path_factory.mktemp("saved")
    keras.utils.set_random_seed(0)
    loss, head = SAVED[request.param]
    model = keras_mmc.models.lenet5((28, 28, 1), head=head(), mean=0.1, std=0.3)
    x = np.pad(digits[0][:64], [(0, 0), (10, 10), (10, 10), (0, 0)])
    y = digits[1][:64]
    metric = keras_mmc.metrics.CenterDistance()
    model.compile("adam", loss(), metrics=["accuracy", metric])
    model.fit(x, y, epochs=2, verbose=0)
    model.save(folder / "model.keras")
    np.savez(folder / "inputs.npz", x=x, y=y)
    np.save(folder / "scores.npy", model.predict(x, verbose=0))
    return folder, model.evaluate(x, y, verbose=0)[0]


def test_loads_in_a_new_process_in_safe_mode(saved, run_python):
    """Fails if a class is not registered, or a weight, the loss or a metric is not restored."""
    folder, loss = saved
    files = [folder / name for name in ("model.keras", "inputs.npz", "scores.npy")]
    backend, value = run_python(LOAD, *files).split()
    assert backend == "tensorflow"
    assert float(value) == pytest.approx(loss, rel=1e-5)


def test_same_scores_on_the_other_backends(saved, run_python, other_backend):
    """Fails if the core leans on TensorFlow, or a file predicts other scores elsewhere."""
    folder, loss = saved
    files = [folder / name for name in ("model.keras", "inputs.npz", "scores.npy")]
    backend, value = run_python(LOAD, *files, backend=other_backend).split()
    assert backend == other_backend
    assert float(value) == pytest.approx(loss, rel=1e-4)


def test_files_with_the_former_name_of_the_normalization(digits, tmp_path):
    """Fails if a file whose layer is called "normalization" does not load with the same scores."""
    head = keras_mmc.MaxMahalanobisCenters(10)
    model = keras_mmc.models.small_cnn((8, 8, 1), head=head, mean=0.3, std=0.4)
    config = model.to_json().replace('"normalization"', '"normalization"')
    former = keras.models.model_from_json(config)
    former.set_weights(model.get_weights())
    former.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.get_layer("normalization").get_config()["mean"] == pytest.approx([0.3])
    x = digits[0][:16]
    expected = model.predict(x, verbose=0)
    np.testing.assert_array_equal(loaded.predict(x, verbose=0), expected)


CORE = """
import sys
sys.modules["tensorflow"] = None  # importing it fails from here on
import numpy as np, keras, keras_mmc
from keras_mmc import losses, layers
x = np.random.default_rng(0).uniform(size=(64, 8, 8, 1)).astype("float32")
y = np.arange(64) % 10
heads = [layers.MaxMahalanobisCenters(10), layers.LearnedCenters(10), layers.ElasticCenters(10),
         layers.DenseWithCenters(10), layers.QuadraticHead(10)]
for loss, index in ((losses.MMCLoss(), 0), (losses.ElasticMMCLoss(), 2), (losses.MMLDALoss(), 1),
                    (losses.ShellMMCLoss(), 0), (losses.LGMLoss(), 1),
                    (losses.GuidedComplementEntropy(), 3), (losses.ComplementEntropy(), 1),
                    (losses.DifferentialLoss(), 1), (losses.MMLDALoss(), 4)):
    head = heads[index]
    model = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten(),
                              keras.layers.Dense(16), type(head).from_config(head.get_config())])
    metrics = ["accuracy", keras_mmc.metrics.NearestCenterMargin()]
    model.compile("adam", loss, metrics=metrics)
    assert np.isfinite(model.fit(x, y, verbose=0).history["loss"][0])
head = layers.DenseWithCenters(3)
head.build((None, 2))
head.move_centers(keras.ops.ones((3, 2)), keras.ops.ones((3,)))
assert np.allclose(keras.ops.convert_to_numpy(head.centers), 0.25)
scores = keras.ops.ones((1, 3))
value = losses.CenterLoss(1.0).call_with_pulls([0], scores, head.pull(keras.ops.ones((1, 2))))
assert np.allclose(keras.ops.convert_to_numpy(value), np.log(3) + 0.75**2)
model = keras.Sequential([keras.Input((4,)), layers.DifferentialHead()])
model.compile("sgd", losses.DifferentialLoss())
model.fit(x[:, 0, :4, 0], y % 2, verbose=0)
layers.fit_threshold(model, x[:, 0, :4, 0], y % 2)
try:
    keras_mmc.attacks
except ImportError as error:
    assert "needs the TensorFlow backend" in str(error), error
else:
    raise AssertionError("a TensorFlow-only part loaded without a word")
print("fine")
"""


def test_the_core_trains_on_the_other_backends(run_python, other_backend):
    """Fails if a loss, head or metric does not run there, or needs TensorFlow to be installed."""
    assert run_python(CORE, backend=other_backend).split()[-1] == "fine"


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("normalized", [False, True])
def test_defaults_learn_with_sgd(normalized, momentum, digits):
    """Fails if a first run of small_cnn with SGD 0.01 and MMC diverges or gets stuck."""
    info = keras_mmc.datasets.info("digits")
    options = {"mean": info.mean, "std": info.std} if normalized else {}
    model = keras_mmc.models.small_cnn(
        (8, 8, 1), head=keras_mmc.MaxMahalanobisCenters(10), **options
    )
    optimizer = keras.optimizers.SGD(0.01, momentum=momentum)
    model.compile(optimizer, keras_mmc.MMCLoss(), metrics=["accuracy"])
    history = model.fit(*digits, batch_size=64, epochs=4, verbose=0).history
    assert np.all(np.isfinite(history["loss"]))
    assert history["accuracy"][-1] > 0.9

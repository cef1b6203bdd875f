"""The exported SavedModel, served by plain TensorFlow in a process that cannot import us."""

import keras
import numpy as np
import pytest

import keras_mmc

SERVE = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "keras_mmc":
            raise ImportError(f"{name} must not be needed for serving")

sys.meta_path.insert(0, Blocked())
import numpy as np, tensorflow as tf
path, inputs, outputs = sys.argv[1:]
served = tf.saved_model.load(path).signatures["serving_default"]
results = [served(images=tf.constant(x)) for x in (np.load(inputs), np.load(inputs)[:1])]
np.savez(outputs, first=results[1]["scores"], **{k: v.numpy() for k, v in results[0].items()})
"""


@pytest.fixture
def images(rng):
    return rng.uniform(size=(5, 8, 8, 1)).astype("float32")


def serve(model, images, folder, run_python):
    """Export, serve in a new process and return the outputs."""
    keras_mmc.export_saved_model(model, folder / "serving" / "1")
    np.save(folder / "images.npy", images)
    run_python(SERVE, folder / "serving" / "1", folder / "images.npy", folder / "out.npz")
    return dict(np.load(folder / "out.npz"))


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_served_outputs_equal_the_model(policy, images, tmp_path, run_python):
    """Fails if serving needs keras_mmc, or an output differs from the Keras model by 1e-5."""
    keras.config.set_dtype_policy(policy)
    model = keras_mmc.models.small_cnn(
        (8, 8, 1), head=keras_mmc.MaxMahalanobisCenters(10), mean=0.3, std=0.4
    )
    out = serve(model, images, tmp_path, run_python)
    scores = model.predict(images, verbose=0)
    assert set(out) == {"scores", "probabilities", "label", "distance", "first"}
    np.testing.assert_allclose(out["scores"], scores, rtol=1e-5)
    np.testing.assert_allclose(out["first"], scores[:1], rtol=1e-5)
    np.testing.assert_array_equal(out["label"], scores.argmax(axis=1))
    np.testing.assert_allclose(out["distance"], np.sqrt(-2 * scores.max(axis=1)), rtol=1e-5)
    exponentials = np.exp(scores - scores.max(axis=1, keepdims=True))
    softmax = exponentials / exponentials.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(out["probabilities"], softmax, rtol=1e-4, atol=1e-6)
    assert out["label"].dtype == np.int32


def test_a_dense_head_has_no_distance(images, tmp_path, run_python):
    """Fails if a distance is invented for logits."""
    model = keras_mmc.models.small_cnn((8, 8, 1), num_classes=10)
    out = serve(model, images, tmp_path, run_python)
    assert set(out) == {"scores", "probabilities", "label", "first"}
    np.testing.assert_allclose(out["scores"], model.predict(images, verbose=0), atol=1e-5)


def test_an_existing_export_is_kept_unless_told_otherwise(images, tmp_path):
    """Fails if an export is overwritten silently, or cannot be replaced on request."""
    model = keras_mmc.models.small_cnn((8, 8, 1), num_classes=3)
    path = tmp_path / "1"
    path.mkdir()
    (path / "precious").touch()
    with pytest.raises(FileExistsError, match=r"exists.*overwrite=True"):
        keras_mmc.export_saved_model(model, path)
    assert (path / "precious").exists()
    keras_mmc.export_saved_model(model, path, overwrite=True)
    assert sorted(item.name for item in tmp_path.iterdir()) == ["1"]
    assert (path / "saved_model.pb").exists()


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (keras.Sequential([keras.layers.Dense(3)]), "built model with one input"),
        (keras.Sequential([keras.Input((4, 4)), keras.layers.Dense(3)]), r"scores \(N, K\)"),
    ],
)
def test_refusals_write_nothing(model, message, tmp_path):
    """Fails if a model without scores leaves a half-written export."""
    with pytest.raises(ValueError, match=message):
        keras_mmc.export_saved_model(model, tmp_path / "1")
    assert list(tmp_path.iterdir()) == []

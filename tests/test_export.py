"""The exported SavedModel, served by plain TensorFlow in a process that cannot import us."""

import keras
import numpy as np
import pytest
import tensorflow as tf

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
def test_served_outputs_equal_the_model(policy, images, tmp_path, run_fresh_python):
    """Fails if serving needs keras_mmc, or an output differs from the Keras model by 1e-5."""
    keras.config.set_dtype_policy(policy)
    model = keras_mmc.models.small_cnn(
        (8, 8, 1), head=keras_mmc.MaxMahalanobisCenters(10), mean=0.3, std=0.4
    )
    out = serve(model, images, tmp_path, run_fresh_python)
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


def test_distance_to_elastic_centers(images, tmp_path, run_python):
    """Fails if the price of an offset passes for a distance of the features."""
    head = keras_mmc.ElasticCenters(10, scale=2.0, alpha=0.1)
    model = keras_mmc.models.small_cnn((8, 8, 1), head=head)
    head.offsets.assign(np.random.default_rng(1).normal(size=(10, 256)) / 16)
    served = serve(model, images, tmp_path, run_python)
    features = keras.Model(model.input, head.input).predict(images, verbose=0)
    centers = keras.ops.convert_to_numpy(head.centers)
    nearest = centers[model.predict(images, verbose=0).argmax(axis=1)]
    expected = np.linalg.norm(features - nearest, axis=1)
    np.testing.assert_allclose(served["distance"], expected, rtol=1e-3)


def test_a_dense_head_has_no_distance(images, tmp_path, run_python):
    """Fails if a distance is invented for logits."""
    model = keras_mmc.models.small_cnn((8, 8, 1), num_classes=10)
    out = serve(model, images, tmp_path, run_python)
    assert set(out) == {"scores", "probabilities", "label", "first"}
    np.testing.assert_allclose(out["scores"], model.predict(images, verbose=0), atol=1e-5)


@pytest.mark.parametrize("wrap", [lambda model: model, keras_mmc.AdversarialModel])
def test_a_softmax_is_not_applied_twice(wrap, images, tmp_path, run_python):
    """Fails unless probabilities are those of the model, and an AdversarialModel its classifier."""
    plain = keras_mmc.models.small_cnn((8, 8, 1), num_classes=10)
    softmax = keras.Model(plain.input, keras.layers.Softmax()(plain.output))
    model = softmax if wrap is not keras_mmc.AdversarialModel else wrap(plain)
    served = serve(model, images, tmp_path, run_python)
    np.testing.assert_allclose(served["scores"], plain.predict(images, verbose=0), atol=1e-5)
    expected = softmax.predict(images, verbose=0)
    np.testing.assert_allclose(served["probabilities"], expected, atol=1e-6)


def test_an_earlier_export_is_kept_unless_told_otherwise(tmp_path):
    """Fails if an export is overwritten silently, or cannot be replaced on request."""
    path = tmp_path / "1"
    keras_mmc.export_saved_model(keras_mmc.models.small_cnn((8, 8, 1), num_classes=3), path)
    model = keras_mmc.models.small_cnn((8, 8, 1), num_classes=4)
    with pytest.raises(FileExistsError, match=r"exists.*overwrite=True"):
        keras_mmc.export_saved_model(model, path)
    keras_mmc.export_saved_model(model, path, overwrite=True)
    assert [item.name for item in tmp_path.iterdir()] == ["1"]
    served = tf.saved_model.load(str(path)).signatures["serving_default"]
    assert served(images=tf.zeros((1, 8, 8, 1)))["scores"].shape == (1, 4)


def test_only_exports_are_replaced(tmp_path, monkeypatch):
    """Fails if overwrite=True removes a file that no export has written."""
    model = keras_mmc.models.small_cnn((8, 8, 1), num_classes=3)
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "photo.jpg").write_bytes(b"precious")
    monkeypatch.chdir(victim)
    for path in (victim, ".", "sub/.."):
        with pytest.raises(FileExistsError, match="left as it is"):
            keras_mmc.export_saved_model(model, path, overwrite=True)
    keras_mmc.export_saved_model(model, "1")
    (victim / "1" / "photo.jpg").write_bytes(b"precious")
    with pytest.raises(FileExistsError, match=r"such as 'photo\.jpg'"):
        keras_mmc.export_saved_model(model, "1", overwrite=True)
    foreign = victim / "2"
    tf.saved_model.save(tf.Module(), str(foreign))
    with pytest.raises(FileExistsError, match=r"no keras_mmc\.json of an earlier export"):
        keras_mmc.export_saved_model(model, foreign, overwrite=True)
    assert (victim / "photo.jpg").exists() and (victim / "1" / "photo.jpg").exists()
    assert (foreign / "saved_model.pb").exists()


@pytest.mark.parametrize("pixel", [np.nan, np.inf, -np.inf, 3e38])
def test_images_without_an_answer_get_none(pixel, images, tmp_path):
    """Fails if an image that is not finite is served as class 0 at distance 0, or spoils others."""
    head = keras_mmc.MaxMahalanobisCenters(10)
    # Without a normalization layer the scores of the largest pixel overflow.
    model = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten(), head])
    keras_mmc.export_saved_model(model, tmp_path / "1")
    served = tf.saved_model.load(str(tmp_path / "1")).signatures["serving_default"]
    clean = {name: value.numpy() for name, value in served(images=tf.constant(images)).items()}
    images[2, 3, 3, 0] = pixel
    outputs = {name: value.numpy() for name, value in served(images=tf.constant(images)).items()}
    assert outputs["label"][2] == -1
    for name in ("scores", "probabilities", "distance"):
        assert np.isnan(outputs[name][2]).all(), name
    for name, value in outputs.items():
        np.testing.assert_allclose(np.delete(value, 2, 0), np.delete(clean[name], 2, 0), rtol=1e-5)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_refused(value, tmp_path):
    """Fails if a network whose training diverged is exported."""
    model = keras_mmc.models.small_cnn((8, 8, 1), num_classes=3)
    kernel = model.layers[-1].kernel
    kernel.assign(np.where(np.arange(3) == 1, value, kernel.numpy()))
    with pytest.raises(
        ValueError, match=r"1 of \d+ weights hold NaN or infinity, such as '.*kernel'"
    ):
        keras_mmc.export_saved_model(model, tmp_path / "1")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (keras.Sequential([keras.layers.Dense(3)]), "built model with one input"),
        (keras.Sequential([keras.Input((4, 4)), keras.layers.Dense(3)]), "scores of shape"),
    ],
)
def test_refusals_write_nothing(model, message, tmp_path):
    """Fails if a model without scores leaves a half-written export."""
    with pytest.raises(ValueError, match=message):
        keras_mmc.export_saved_model(model, tmp_path / "1")
    assert list(tmp_path.iterdir()) == []

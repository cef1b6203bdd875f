"""The exported SavedModel, served by plain TensorFlow in a process that cannot import us."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_mmc

SERVE = """
import importlib.machinery as machinery, sys

class Without(machinery.PathFinder):
    "What an environment has where neither this package nor Keras is installed."

    @classmethod
    def find_spec(cls, name, path=None, target=None):
        if name.split(".")[0] not in ("keras_mmc", "keras"):
            return super().find_spec(name, path, target)

sys.meta_path[:] = [machinery.BuiltinImporter, machinery.FrozenImporter, Without]
import numpy as np, tensorflow as tf
inputs, *paths = sys.argv[1:]
images = np.load(inputs)
pixels = np.round(images * 255).astype("uint8")
files = tf.stack([tf.io.encode_png(image) for image in pixels])
for path in paths:
    signatures = tf.saved_model.load(path).signatures
    served = signatures["serving_default"]
    results = [served(images=tf.constant(x)) for x in (images, images[:1], images[:0])]
    many = served(images=tf.constant(np.tile(images, (200, 1, 1, 1))))["scores"]
    outputs = {name: value.numpy() for name, value in results[0].items()}
    outputs["class_name"] = outputs["class_name"].astype("S")
    outputs |= {"first": results[1]["scores"], "none": results[2]["scores"], "many": many}
    outputs["of_pixels"] = signatures["serving_uint8"](images=tf.constant(pixels))["scores"]
    outputs["of_files"] = signatures["serving_bytes"](image_bytes=files)["scores"]
    np.savez(f"{path}.npz", **outputs)
"""
TIMES = {"first", "none", "many", "of_pixels", "of_files"}
COMMON = {"scores", "probabilities", "label", "class_name", "accepted", "reason"}
HEADS = {
    "dense": keras.layers.Dense,
    "centers": keras_mmc.MaxMahalanobisCenters,
    "elastic": keras_mmc.ElasticCenters,
    "learned": keras_mmc.LearnedCenters,
    "quadratic": keras_mmc.QuadraticHead,
    "dense_with_centers": keras_mmc.DenseWithCenters,
    "differential": lambda _: keras_mmc.DifferentialHead(),
}
POLICIES = {"float32": HEADS, "mixed_bfloat16": HEADS, "mixed_float16": ["dense", "centers"]}


@pytest.fixture
def images(rng):
    # Whole pixels, which every signature takes without rounding.
    return (rng.integers(0, 256, (5, 8, 8, 1)) / 255).astype("float32")


def serve(models, images, folder, run_fresh_python):
    """Export models by name, serve them in one new process and return their outputs by name."""
    for name, model in models.items():
        keras_mmc.export_saved_model(model, folder / name)
    np.save(folder / "images.npy", images)
    run_fresh_python(SERVE, folder / "images.npy", *(folder / name for name in models))
    return {name: dict(np.load(folder / f"{name}.npz")) for name in models}


@pytest.fixture(scope="module")
def every_head():
    """A small network with each head under each policy; the heads are not as they began."""
    models, rng = {}, np.random.default_rng(1)
    for policy, names in POLICIES.items():
        keras.config.set_dtype_policy(policy)
        for name in names:
            head = HEADS[name](10, dtype="float32") if name == "dense" else HEADS[name](10)
            layers = [keras.layers.Rescaling(2.0, -1.0), keras.layers.Flatten()]
            layers += [keras.layers.Dense(12), head]
            models[f"{name}-{policy}"] = keras.Sequential([keras.Input((8, 8, 1)), *layers])
            head.set_weights([w + rng.normal(0, 0.05, w.shape) for w in head.get_weights()])
    keras.config.set_dtype_policy("float32")
    return models


def test_served_outputs_equal_the_model(every_head, images, tmp_path, run_fresh_python):
    """Fails if serving needs us or Keras, or scores differ by 1e-5, for any head and policy."""
    for name, found in serve(every_head, images, tmp_path, run_fresh_python).items():
        scores = every_head[name].predict(images, verbose=0)
        close = {"atol": 1e-5 * abs(scores).max(), "rtol": 0, "err_msg": name}
        np.testing.assert_allclose(found["scores"], scores, **close)
        np.testing.assert_allclose(found["first"], scores[:1], **close)
        np.testing.assert_allclose(found["many"], np.tile(scores, (200, 1)), **close)
        np.testing.assert_allclose(found["of_pixels"], scores, **close)
        np.testing.assert_array_equal(found["of_files"], found["of_pixels"])
        assert found["none"].shape == (0, scores.shape[1])
        np.testing.assert_array_equal(found["label"], scores.argmax(axis=1))
        assert found["label"].dtype == np.int32
        heated = scores / keras_mmc.adapters.structure.softmax_temperature(every_head[name])
        exponentials = np.exp(heated.astype("float64") - heated.max(axis=1, keepdims=True))
        softmax = exponentials / exponentials.sum(axis=1, keepdims=True)
        np.testing.assert_allclose(found["probabilities"], softmax, rtol=1e-3, atol=1e-5)
        head, nearest = every_head[name].layers[-1], scores.argmax(axis=1)
        if name.startswith(("centers", "elastic", "learned")):
            features = keras.Model(every_head[name].inputs, head.input).predict(images, verbose=0)
            away = features.astype("float32") - keras.ops.convert_to_numpy(head.centers)[nearest]
            assert set(found) == COMMON | TIMES | {"distance", "distances"}
            np.testing.assert_allclose(found["distance"], np.linalg.norm(away, axis=1), rtol=1e-3)
            other = (nearest + 1) % 10
            away += keras.ops.convert_to_numpy(head.centers)[nearest]
            away -= keras.ops.convert_to_numpy(head.centers)[other]
            found_other = np.take_along_axis(found["distances"], other[:, None], 1)[:, 0]
            np.testing.assert_allclose(found_other, np.linalg.norm(away, axis=1), rtol=1e-3)
        else:
            assert set(found) == COMMON | TIMES | {"one_minus_max_probability"}
            unsure = 1 - found["probabilities"].max(axis=1)
            np.testing.assert_allclose(found["one_minus_max_probability"], unsure, atol=1e-6)


def test_a_softmax_is_not_applied_twice(images, tmp_path, run_fresh_python):
    """Fails unless probabilities are those of the model, and an AdversarialModel its classifier."""
    plain = keras_mmc.models.small_cnn((8, 8, 1), num_classes=10)
    softmax = keras.Model(plain.input, keras.layers.Softmax()(plain.output))
    models = {"softmax": softmax, "adversarial": keras_mmc.AdversarialModel(plain)}
    expected = softmax.predict(images, verbose=0)
    for found in serve(models, images, tmp_path, run_fresh_python).values():
        np.testing.assert_allclose(found["scores"], plain.predict(images, verbose=0), atol=1e-5)
        np.testing.assert_allclose(found["probabilities"], expected, atol=1e-6)


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


@pytest.mark.parametrize(
    ("pixel", "reason"),
    [(np.nan, 1), (np.inf, 1), (-np.inf, 1), (3e38, 2), (1.001, 2), (-1.001, 2), (0.5, 0)],
)
def test_images_without_an_answer_get_none(pixel, reason, images, tmp_path):
    """Fails if an image outside the box or not finite is served as a class, or spoils others."""
    head = keras_mmc.MaxMahalanobisCenters(10)
    # Without a normalization layer the scores of the largest pixel overflow.
    model = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten(), head])
    keras_mmc.export_saved_model(model, tmp_path / "1", box=(-1.0, 1.0))
    served = tf.saved_model.load(str(tmp_path / "1")).signatures["serving_default"]
    clean = {name: value.numpy() for name, value in served(images=tf.constant(images)).items()}
    images[2, 3, 3, 0] = pixel
    outputs = {name: value.numpy() for name, value in served(images=tf.constant(images)).items()}
    assert outputs["reason"][2] == reason and outputs["accepted"][2] == (reason == 0)
    assert (outputs["label"][2] == -1) == (outputs["class_name"][2] == b"") == (reason != 0)
    for name in ("scores", "probabilities", "distance"):
        assert np.isnan(outputs[name][2]).all() == (reason != 0), name
    for name, value in outputs.items():
        others = np.delete(value, 2, 0), np.delete(clean[name], 2, 0)
        if value.dtype == object:
            np.testing.assert_array_equal(*others)
        else:
            np.testing.assert_allclose(*others, rtol=1e-5)


def test_scores_that_overflow_are_no_answer(images, tmp_path):
    """Fails if an infinite score of a finite image is served as a class."""
    last = keras.layers.Dense(3, kernel_initializer=keras.initializers.Constant(3e38))
    model = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten(), last])
    keras_mmc.export_saved_model(model, tmp_path / "1")
    served = tf.saved_model.load(str(tmp_path / "1")).signatures["serving_default"]
    outputs = served(images=tf.constant(images))
    assert (outputs["reason"].numpy() == 3).all() and (outputs["label"].numpy() == -1).all()


def test_images_of_another_shape_are_an_error(tmp_path):
    """Fails if layers that happen to take such images give a confident answer."""
    model = keras_mmc.models.small_cnn((8, 8, 1), num_classes=3)
    keras_mmc.export_saved_model(model, tmp_path / "1")
    served = tf.saved_model.load(str(tmp_path / "1")).signatures["serving_default"]
    for shape in ((8, 8, 1), (2, 9, 9, 1), (2, 8, 8, 3), (2, 64)):
        with pytest.raises(tf.errors.InvalidArgumentError, match="is not compatible with expected"):
            served(images=tf.zeros(shape))


def test_every_signature_gives_the_same(rng, tmp_path):
    """Fails if pixels do not become the ends of the box, or a file is decoded or resized wrong."""
    pixels = rng.integers(0, 256, (5, 8, 8, 3)).astype("uint8")
    head = keras_mmc.MaxMahalanobisCenters(3)
    model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten(), head])
    names = ["bird", "cat", "dog"]
    keras_mmc.export_saved_model(model, tmp_path / "1", names, box=(-1.0, 1.0))
    signatures = tf.saved_model.load(str(tmp_path / "1")).signatures
    floats = -1 + pixels.astype("float32") * np.float32(2 / 255)
    files = tf.stack([tf.io.encode_png(image) for image in pixels])
    given = {
        "serving_default": {"images": tf.constant(floats)},
        "serving_uint8": {"images": tf.constant(pixels)},
        "serving_bytes": {"image_bytes": files},
    }
    answers = [signatures[name](**images) for name, images in given.items()]
    scores = model.predict(floats, verbose=0)
    for answer in answers:
        np.testing.assert_allclose(answer["scores"], scores, atol=1e-5 * abs(scores).max())
        assert answer["class_name"].numpy().tolist() == [
            names[label].encode() for label in scores.argmax(axis=1)
        ]
    np.testing.assert_array_equal(answers[1]["scores"], answers[2]["scores"])
    doubled = [tf.io.encode_png(np.repeat(np.repeat(image, 2, 0), 2, 1)) for image in pixels]
    larger = signatures["serving_bytes"](image_bytes=tf.stack(doubled))
    np.testing.assert_allclose(larger["scores"], answers[2]["scores"], rtol=0.2)
    assert signatures["serving_bytes"](image_bytes=files[:0])["label"].shape == (0,)
    with pytest.raises(tf.errors.InvalidArgumentError):
        signatures["serving_bytes"](image_bytes=tf.constant(["no image"]))


def test_a_table_has_no_files(tmp_path):
    """Fails if rows of numbers are said to be images, or cannot be exported."""
    model = keras.Sequential([keras.Input((12,)), keras.layers.Dense(3)])
    keras_mmc.export_saved_model(model, tmp_path / "1")
    found = set(tf.saved_model.load(str(tmp_path / "1")).signatures)
    assert found == {"serving_default", "serving_uint8"}


def sure_and_wrong(rng):
    """A classifier whose scores are 5 times too large, with images and labels."""
    x = rng.normal(0.5, 0.15, (600, 4)).clip(0, 1).astype("float32")
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    scores = model.predict(x, verbose=0)
    noisy = scores + rng.gumbel(size=scores.shape)  # labels of a softmax at temperature 1
    model.layers[-1].set_weights([5 * weight for weight in model.layers[-1].get_weights()])
    return model, x, noisy.argmax(axis=1)


def test_a_calibrated_temperature_is_in_the_graph_and_beside_it(rng, tmp_path):
    """Fails if probabilities are as sure as the scores, or the file says something else."""
    model, x, y = sure_and_wrong(rng)
    keras_mmc.export_saved_model(model, tmp_path / "1", calibrate=(x, y))
    facts = json.loads((tmp_path / "1" / "keras_mmc.json").read_text())
    assert facts["temperature"] == pytest.approx(5, rel=0.25)
    assert facts["temperature_from"] == "validation images"
    served = tf.saved_model.load(str(tmp_path / "1")).signatures["serving_default"]
    outputs = served(images=tf.constant(x))
    expected = tf.nn.softmax(model(x) / facts["temperature"])
    np.testing.assert_allclose(outputs["probabilities"], expected, atol=1e-6)


def test_a_rejection_is_in_the_graph(rng, tmp_path):
    """Fails if what is too far is accepted, loses its answer, or the threshold is another one."""
    model, x, y = sure_and_wrong(rng)
    rejection = keras_mmc.calibrate_rejection(model, x, y, false_rejection=0.1)
    keras_mmc.export_saved_model(model, tmp_path / "1", rejection=rejection)
    served = tf.saved_model.load(str(tmp_path / "1")).signatures["serving_default"]
    outputs = served(images=tf.constant(x))
    accepted = rejection.accepts(model, model.predict(x, verbose=0))
    assert 0.05 < 1 - accepted.mean() < 0.4
    np.testing.assert_array_equal(outputs["accepted"], accepted)
    np.testing.assert_array_equal(outputs["reason"], np.where(accepted, 0, 4))
    assert (outputs["label"].numpy() >= 0).all()
    facts = json.loads((tmp_path / "1" / "keras_mmc.json").read_text())
    assert facts["threshold"] == rejection.threshold and facts["false_rejection"] == 0.1
    assert facts["temperature"] == rejection.temperature
    with pytest.raises(ValueError, match="Leave `calibrate` out"):
        keras_mmc.export_saved_model(model, tmp_path / "2", calibrate=(x, y), rejection=rejection)
    model.layers[-1].bias.assign([1.0, 0.0, 0.0])
    with pytest.raises(ValueError, match="calibrated for other weights"):
        keras_mmc.export_saved_model(model, tmp_path / "2", rejection=rejection)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"class_names": ["a", "b"]}, "must be 3 texts"),
        ({"class_names": "abc"}, "must be 3 texts"),
        ({"class_names": [0, 1, 2]}, "must be 3 texts"),
        ({"box": (1.0, 0.0)}, "low < high"),
    ],
)
def test_facts_that_do_not_fit(options, message, tmp_path):
    """Fails if an export with facts of another model is written."""
    model = keras_mmc.models.small_cnn((8, 8, 1), num_classes=3)
    with pytest.raises(ValueError, match=message):
        keras_mmc.export_saved_model(model, tmp_path / "1", **options)
    assert list(tmp_path.iterdir()) == []


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
        (lambda x: x, "built model with one input"),
    ],
)
def test_refusals_write_nothing(model, message, tmp_path):
    """Fails if a model without scores leaves a half-written export."""
    with pytest.raises(ValueError, match=message):
        keras_mmc.export_saved_model(model, tmp_path / "1")
    assert list(tmp_path.iterdir()) == []

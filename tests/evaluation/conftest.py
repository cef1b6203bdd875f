"""A small network that audits are tested on, and reports whose figures are known."""

import keras
import numpy as np
import pytest

import keras_mmc
from keras_mmc.evaluation import AttackRow, AuditReport, Diagnostic, TrialRow


@pytest.fixture(scope="session")
def mmc_model(digits):
    """An MMC network trained without any defense on all but the first 200 digits."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((8, 8, 1))
    x = keras.layers.Flatten()(inputs)
    x = keras.layers.Dense(64, activation="relu")(x)
    x = keras.layers.Dense(16)(x)
    model = keras.Model(inputs, keras_mmc.MaxMahalanobisCenters(10, scale=40.0)(x))
    model.compile(keras.optimizers.Adam(3e-3), keras_mmc.MMCLoss())
    model.fit(digits[0][200:], digits[1][200:], epochs=20, batch_size=64, verbose=0)
    return model


@pytest.fixture(scope="session")
def held_out(digits):
    """The 200 images and labels that the network was not trained on."""
    return digits[0][:200], digits[1][:200]


CLASS_NAMES = ("cat", "dog", "ship")


def make_report(
    labels=(0, 0, 1, 1, 2, 2),
    predictions=(0, 2, 1, 2, 0, 0),
    broken_by=(None, "pgd", None, "naive", "clean", "pgd"),
    offset=0.0,
    **changes,
):
    """A report of images `(N, 2, 2, 1)` and two attacks, whose figures follow from `broken_by`."""
    x = np.random.default_rng(0).uniform(size=(len(labels), 2, 2, 1)).astype("float32") + offset
    count, standing = len(labels), len(labels) - broken_by.count("clean")
    rows = []
    for name in ("naive", "pgd"):
        attacked, standing = standing, standing - broken_by.count(name)
        rows.append(AttackRow(name, f"{name.upper()}(0.1)", standing / count, 1.5, attacked))
    fields = {
        "suite": "own",
        "eps": 0.1,
        "norm": "linf",
        "box": (0.0, 1.0),
        "seed": 3,
        "batch_size": 4,
        "versions": {"keras_mmc": "0.2.0", "keras": "3.99"},
        "digests": {"images": f"i{offset}", "labels": "l", "model": "m", "substitute": None},
        "num_images": count,
        "clean_accuracy": 1 - broken_by.count("clean") / count,
        "naive_accuracy": rows[0].accuracy,
        "rows": tuple(rows),
        "trials": (TrialRow("fgsm", "FGSM(0.1)", "a paper", count, 4, 0.5, 0.25, 0.125, 2.5),),
        "diagnostics": {
            "naive_minus_best": Diagnostic({"naive": 0.5}, "Masked.", "masked gradients"),
            "accuracy_against_eps": Diagnostic(
                {"eps": [0.0, 0.1], "accuracy": [0.9, 0.1], "images": 4}
            ),
        },
        "notes": ("A note.", "Another."),
        "x": x,
        "labels": np.array(labels, "int32"),
        "x_adv": x + np.float32(0.05),
        "predictions": np.array(predictions),
        "broken_by": tuple(broken_by),
        "class_names": CLASS_NAMES,
        "model_name": "net",
        "date": "2030-01-02T03:04:05+00:00",
        "command": "audit.py --eps=0.1",
    }
    return AuditReport(**(fields | changes))


@pytest.fixture
def report_of():
    """Makes reports by hand; see `make_report`."""
    return make_report

"""`keras-mmc transfer` as a user runs it: in a process of its own, on the embedded digits."""

import csv

import keras
import numpy as np

import keras_mmc
from keras_mmc.datasets import load_arrays


def test_the_table_is_true(networks, run_script, tmp_path):
    """Fails if the file or the text holds other figures than the function gives."""
    output = tmp_path / "transfer"
    models = [f"--model={name}={path}" for name, path in networks.items()]
    flags = [*models, "--eps=0.15", "--attack=pgd", "--num_images=80", f"--output_dir={output}"]
    flags += ["--objective=distance", "--targeted"]  # tar1 of the paper
    done = run_script("transfer", *flags)
    assert done.returncode == 0, done.stderr[-3000:]
    x, y = (part[:80] for part in load_arrays("digits", "test"))
    loaded = {name: keras.models.load_model(path) for name, path in networks.items()}
    attack = keras_mmc.attacks.PGD(0.15, steps=10, objective="distance", targeted=True)
    matrix = keras_mmc.evaluation.transfer_matrix(loaded, x, y, attack)
    assert "first 80 test images of digits" in done.stdout
    assert str(matrix) in done.stdout
    with open(output / "transfer.csv", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    assert header == ["crafted on", "mmc", "softmax"]
    assert [row[0] for row in rows] == ["clean", "mmc", "softmax"]
    values = np.array([row[1:] for row in rows], float)
    expected = 100 * np.concatenate([matrix.clean_accuracy[None], matrix.accuracy])
    np.testing.assert_allclose(values, expected, atol=0.005001)
    assert "--eps=0.15" in (output / "flags.txt").read_text(encoding="utf-8")


def test_bad_flags(refusals, tmp_path):
    """Fails if flags that do not fit leave a directory that looks like a result."""
    more = "--eps=0.1", f"--output_dir={tmp_path / 'run'}"
    said = refusals(
        "transfer",
        ["--model==model.keras", *more],
        ["--model=a=x.keras", "--model=other/a.keras", *more],
    )
    assert "--model must be a path or name=path" in said[0] and "each name once" in said[1]
    assert not (tmp_path / "run").exists()

"""The example scripts as a user runs them: in a process of their own, on the embedded digits."""

import csv
import subprocess
import sys

import keras
import matplotlib.image
import numpy as np
import pytest

from keras_mmc.datasets import load_arrays


@pytest.fixture(scope="module")
def trained(run_script, tmp_path_factory):
    """Output directory and printed text of a short default run."""
    folder = tmp_path_factory.mktemp("runs") / "digits"
    done = run_script("train.py", "--epochs=4", f"--output_dir={folder}")
    assert done.returncode == 0, done.stderr[-3000:]
    return folder, done.stdout


def test_train_writes_every_file(trained):
    """Fails if a promised file is missing, empty or cannot be read back."""
    folder, _ = trained
    assert not folder.with_name("digits.partial").exists()
    assert "--epochs=4" in (folder / "flags.txt").read_text(encoding="utf-8")
    for name in ("mmc", "softmax"):
        run = folder / name
        with open(run / "history.csv", encoding="utf-8") as file:
            history = list(csv.DictReader(file))
        assert len(history) == 4
        assert float(history[-1]["accuracy"]) > float(history[0]["accuracy"])
        assert list((run / "logs" / "train").glob("events.*"))
        assert matplotlib.image.imread(run / "features.png").std() > 0.05


def test_the_table_is_true(trained):
    """Fails if the printed accuracy is not that of the saved model on the test images."""
    folder, printed = trained
    x, y = load_arrays("digits", "test")
    with open(folder / "comparison.csv", encoding="utf-8") as file:
        rows = {row["loss"]: row for row in csv.DictReader(file)}
    assert list(rows) == ["mmc", "softmax"]
    for name, row in rows.items():
        model = keras.models.load_model(folder / name / "model.keras")
        accuracy = np.mean(model.predict(x, verbose=0).argmax(axis=1) == y)
        assert row["test accuracy %"] == f"{100 * accuracy:.2f}"
        assert row["test accuracy %"] in printed
    assert "no defence" in printed


def test_an_earlier_run_is_kept(trained, run_script):
    """Fails if a run is overwritten without the flag."""
    folder, _ = trained
    before = (folder / "comparison.csv").read_bytes()
    done = run_script("train.py", "--epochs=1", f"--output_dir={folder}")
    assert done.returncode != 0
    assert "holds an earlier run" in done.stderr
    assert (folder / "comparison.csv").read_bytes() == before


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--loss=mmc", "--head=dense"], "--loss=mmc cannot train --head=dense"),
        (["--depth=20"], "has a fixed depth"),
        (["--model=resnet_v2", "--depth=32"], "`depth` must be 9n + 2"),
        (["--augment"], "meant for the training split of CIFAR"),
        (["--epochs=0"], "--epochs"),
        (["--dataset=svhn"], "--dataset"),
        (["--defense=at"], "--defense=at needs --attack_eps"),
        (["--schedule=drops"], "--schedule=drops needs the epochs"),
        (["--recipe=trades_imagenet"], "--recipe"),
    ],
)
def test_bad_flags_leave_no_results(flags, message, run_script, tmp_path):
    """Fails if a contradiction is trained on, or leaves a directory that looks like a result."""
    done = run_script("train.py", *flags, f"--output_dir={tmp_path / 'run'}")
    assert done.returncode != 0
    assert message in done.stderr
    assert not (tmp_path / "run").exists()


def test_train_with_a_defense(run_script, tmp_path):
    """Fails if defence and regularizer flags do not reach the training, or best is lost."""
    done = run_script(
        "train.py",
        "--defense=mail_trades",
        "--attack_eps=0.1",
        "--attack_steps=2",
        "--eps_ramp=2",
        "--regularizer=emr",
        "--loss=softmax",
        "--epochs=2",
        f"--output_dir={tmp_path / 'run'}",
    )
    assert done.returncode == 0, done.stderr[-3000:]
    with open(tmp_path / "run" / "softmax" / "history.csv", encoding="utf-8") as file:
        history = list(csv.DictReader(file))
    assert {"loss", "robust_accuracy", "val_accuracy", "val_robust_accuracy"} <= set(history[0])
    x, _ = load_arrays("digits", "test")
    for name in ("model.keras", "best.keras"):
        model = keras.models.load_model(tmp_path / "run" / "softmax" / name)
        assert model.predict(x, verbose=0).shape == (len(x), 10)


def test_recipes_print_what_they_set(run_script, tmp_path):
    """Fails if a recipe hides a setting, or goes before a flag that was given."""
    flags = ["--recipe=at_emr_cifar10", "--dataset=digits", "--augment=false", "--attack_eps=0"]
    done = run_script("train.py", *flags, f"--output_dir={tmp_path / 'run'}")
    assert "Recipe at_emr_cifar10:" in done.stdout
    for setting in ("regularizer_weight=3.0", "regularizer_temperature=40.0", "drops=['60', '90']"):
        assert setting in done.stdout
    for given in ("dataset=digits", "augment=False", "attack_eps=0.0"):
        assert given in done.stdout
    assert "needs --attack_eps" in done.stderr


def test_export_script(trained, run_script, tmp_path):
    """Fails if the exported directory is missing or the printed recipe is not Python."""
    folder, _ = trained
    model = f"--model={folder / 'mmc' / 'model.keras'}"
    done = run_script("export.py", model, f"--output_dir={tmp_path / '1'}")
    assert done.returncode == 0, done.stderr[-3000:]
    assert (tmp_path / "1" / "saved_model.pb").exists()
    recipe = done.stdout.split("\n\n", 1)[1]
    served = subprocess.run([sys.executable, "-c", recipe], capture_output=True, text=True)
    assert served.returncode == 0, served.stderr[-3000:]
    assert "tf.Tensor(" in served.stdout


def test_audit_script(trained, run_script, tmp_path):
    """Fails if the naive number is not printed beside the robust one, or nothing is saved."""
    folder, _ = trained
    model = f"--model={folder / 'mmc' / 'model.keras'}"
    flags = [model, "--eps=0.1", "--num_images=40", f"--output_dir={tmp_path / 'audit'}"]
    done = run_script("audit.py", *flags)
    assert done.returncode == 0, done.stderr[-3000:]
    for part in ("first 40 test images of digits", "naive pgd (cross-entropy)", "Robust accuracy"):
        assert part in done.stdout
    for name in ("report.json", "report.html", "adversarial.npz"):
        assert (tmp_path / "audit" / name).exists()


def test_audit_script_with_a_substitute_and_a_state(trained, run_script, tmp_path):
    """Fails if the second model is not used, or finished batches are not kept."""
    folder, _ = trained
    done = run_script(
        "audit.py",
        f"--model={folder / 'mmc' / 'model.keras'}",
        f"--substitute={folder / 'softmax' / 'model.keras'}",
        "--suite=adaptive",
        "--eps=0.1",
        "--num_images=10",
        f"--state_dir={tmp_path / 'state'}",
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "transfer (mim)" in done.stdout
    assert (tmp_path / "state" / "audit.json").exists()
    assert (tmp_path / "state" / "apgd-ce-0.npz").exists()


def test_audit_script_refuses_a_substitute_that_is_not_used(trained, run_script):
    """Fails if a user believes that a transfer was tried."""
    model = trained[0] / "mmc" / "model.keras"
    done = run_script("audit.py", f"--model={model}", f"--substitute={model}", "--eps=0.1")
    assert done.returncode != 0
    assert "does not use a substitute model" in done.stderr

"""`keras-mmc train` as a user runs it: in a process of its own, on the embedded digits."""

import csv
import hashlib
import os
import subprocess
import sys
import time

import keras
import matplotlib.image
import numpy as np
import pytest

import keras_mmc
from keras_mmc.datasets import load_arrays
from keras_mmc.recipes import DEVIATIONS
from tests.conftest import ROOT


@pytest.fixture(scope="module")
def trained(run_script, tmp_path_factory):
    """Output directory and printed text of a short default run."""
    folder = tmp_path_factory.mktemp("runs") / "digits"
    done = run_script("train", "--epochs=4", f"--output_dir={folder}")
    assert done.returncode == 0, done.stderr[-3000:]
    return folder, done.stdout


def test_train_writes_every_file(trained):
    """Fails if a promised file is missing, empty or cannot be read back."""
    folder, _ = trained
    assert not folder.with_name("digits.partial").exists()
    flags = (folder / "flags.txt").read_text(encoding="utf-8")
    assert all(f"\n--{flag}\n" in flags for flag in ("epochs=4", "data=digits", "dataset=digits"))
    for name in ("mmc", "softmax"):
        run = folder / name
        with open(run / "history.csv", encoding="utf-8") as file:
            history = list(csv.DictReader(file))
        assert len(history) == 4
        assert float(history[-1]["accuracy"]) > float(history[0]["accuracy"])
        assert list((run / "logs" / "train").glob("events.*"))
        assert matplotlib.image.imread(run / "features.png").std() > 0.05


def test_its_flags_train_it_anew(trained):
    """Fails if flags.txt holds flags of others, which are unknown until they are imported."""
    flags = f"--flagfile={trained[0] / 'flags.txt'}"
    command = [sys.executable, "-m", "keras_mmc", "train", flags, "more"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert "Unexpected arguments: more" in done.stderr  # which is looked at after all flags


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
    assert "no defense" in printed


def table(card):
    """The rows of all tables of a card, by their first cell."""
    rows = (line[2:-2].split(" | ") for line in card.splitlines() if line.startswith("| "))
    return {first: rest for first, *rest in rows}


def test_the_card_is_true(trained):
    """Fails if a card is of another file, or a size, setting, accuracy or flag of it is wrong."""
    folder, _ = trained
    with open(folder / "comparison.csv", encoding="utf-8") as file:
        accuracies = {row["loss"]: row["test accuracy %"] for row in csv.DictReader(file)}
    settings = {
        "mmc": ("mmc (MMCLoss)", "centers, scale 10"),
        "softmax": ("softmax (SparseCategoricalCrossentropy)", "dense"),
    }
    for name, (loss, head) in settings.items():
        card = (folder / name / "model_card.md").read_text(encoding="utf-8")
        facts = table(card)
        content = (folder / name / "model.keras").read_bytes()
        assert facts["model.keras"] == [hashlib.sha256(content).hexdigest()]
        assert facts["training, validation and test images"] == ["1293, 144, 360"]
        assert (facts["box"], facts["classes"]) == (["[0, 1]"], ["10"])
        parameters = keras.models.load_model(folder / name / "model.keras").count_params()
        assert facts["network"] == [f"small_cnn, {parameters:,} parameters"]
        assert (facts["loss"], facts["head"]) == ([loss], [head])
        assert (facts["defense"], facts["epochs"], facts["seed"]) == (["none"], ["4"], ["0"])
        assert facts["360 test images of digits, clean"] == [f"{accuracies[name]} %"]
        assert f"keras_mmc {keras_mmc.__version__}, keras {keras.__version__}" in card
        model = f"--model={folder / name / 'model.keras'}"
        command = f"keras-mmc audit {model} --data=digits --eps=0.2 --suite=standard"
        assert "Not audited: nothing is known" in card and f"\n{command}\n" in card
        assert "no naive robust accuracy either" in card
        assert "trained without adversarial examples" in card and "no test images" not in card


def test_a_second_training_is_refused(run_script, tmp_path):
    """Fails if two trainings write to one place, or one that was killed blocks it for ever."""
    path = tmp_path / "run"
    command = ["-m", "keras_mmc", "train", "--epochs=1000", f"--output_dir={path}"]
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}
    with subprocess.Popen([sys.executable, *command], env=environment) as first:
        try:
            while not (path.with_name("run.partial") / "new" / "flags.txt").exists():
                assert first.poll() is None
                time.sleep(0.1)
            second = run_script("train", "--epochs=1", f"--output_dir={path}")
        finally:
            first.kill()
    assert second.returncode == 2
    assert f"{path} is in use: another process writes there" in second.stderr
    assert not path.exists()
    flags = "--epochs=1", "--nobaseline", "--overwrite"  # in the place of what the killed one left
    third = run_script("train", *flags, f"--output_dir={path}")
    assert third.returncode == 0, third.stderr[-3000:]
    assert [item.name for item in tmp_path.iterdir()] == ["run"]
    assert {item.name for item in path.iterdir()} == {
        *("flags.txt", "comparison.csv", "epochs.png", "seconds.png", "mmc"),
    }


def test_an_earlier_run_is_kept(trained, run_script):
    """Fails if a run is overwritten without the flag."""
    folder, _ = trained
    before = (folder / "comparison.csv").read_bytes()
    done = run_script("train", "--epochs=1", f"--output_dir={folder}")
    assert done.returncode == 2
    assert "holds an earlier run" in done.stderr
    assert (folder / "comparison.csv").read_bytes() == before


def test_bad_flags_leave_no_results(refusals, tmp_path):
    """Fails if a contradiction is trained on, or leaves a directory that looks like a result."""
    damaged = [tmp_path / "damaged.npy", tmp_path / "damaged.mat"]
    for path in damaged:
        path.write_bytes(b"half")
    expected = [
        (["--loss=mmc", "--head=dense"], "--loss=mmc cannot train --head=dense"),
        (["--loss=center", "--head=learned"], "--loss=center cannot train --head=learned"),
        (["--loss=lgm", "--head=quadratic"], "--loss=lgm cannot train --head=quadratic"),
        (["--loss=elastic_mmc", "--head=centers"], "--loss=elastic_mmc cannot train --head=cent"),
        (["--depth=20"], "has a fixed depth"),
        (["--model=resnet_v2", "--depth=32"], "`depth` must be 9n + 2"),
        (["--augment"], "meant for the training split of CIFAR"),
        (["--epochs=0"], "--epochs"),
        (["--dataset=svhn"], "--data=svhn: it must be one of digits, mnist"),
        (["--defense=at"], "--defense=at needs --attack_eps"),
        (
            ["--defense=mart", "--attack_eps=0.1", "--attack_start=ball"],
            "--attack_start=ball is for trades and mail_trades, not for mart",
        ),
        (["--features=0"], "`feature_dim` must be"),
        (["--loss=mmc,fgsm"], "each must be one of center, differential"),
        (["--scale=10,-1"], "each must be a number above 0"),
        (["--classes=3"], "two different class numbers are needed"),
        (["--centers=hierarchical"], "knows the superclasses of cifar100 alone"),
        (
            ["--defense=cleverhans", "--attack_eps=0.1", "--cleverhans_attack=pgd"],
            "cleverhans.tf2.attacks has no 'pgd'",
        ),
        (["--defense=differential"], "DifferentialTraining trains with a loss of pairs"),
        (["--features=-1"], "--features"),
        (["--schedule=drops"], "--schedule=drops needs the epochs"),
        (["--recipe=trades_imagenet"], "--recipe"),
        *(([f"--centers={path}"], f"Cannot read centers from {path}: ") for path in damaged),
        (["--centers=octagon"], "Centers are stored in .npy or .mat files; received 'octagon'"),
    ]
    output = f"--output_dir={tmp_path / 'run'}"
    said = refusals("train", *([*flags, output] for flags, _ in expected))
    for text, (flags, message) in zip(said, expected, strict=True):
        assert message in text, flags
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("loss", "head"),
    [("center", "dense_with_centers"), ("elastic_mmc", "elastic"), ("shell_mmc", "centers")],
)
def test_train_with_a_head_of_its_own(loss, head, run_script, tmp_path):
    """Fails if a loss does not choose its head, or one that needs features is not wrapped."""
    done = run_script(
        *("train", f"--loss={loss}", "--epochs=2", "--nobaseline"),
        f"--output_dir={tmp_path / 'run'}",
    )
    assert done.returncode == 0, done.stderr[-3000:]
    with open(tmp_path / "run" / "comparison.csv", encoding="utf-8") as file:
        [row] = csv.DictReader(file)
    assert (row["loss"], row["head"]) == (loss, head)
    assert float(row["test accuracy %"]) > 60
    model = keras.models.load_model(tmp_path / "run" / loss / "model.keras")
    x, y = load_arrays("digits", "test")
    accuracy = np.mean(model.predict(x, verbose=0).argmax(axis=1) == y)
    assert row["test accuracy %"] == f"{100 * accuracy:.2f}"


REPLACEABLE = """
import sys
from keras_mmc import _files
from keras_mmc.commands import run_directory

_files.check_results_directory(sys.argv[1], run_directory.RUN, overwrite=True)
print("replaceable")
"""


def test_train_with_a_defense(run_script, run_python, tmp_path):
    """Fails if a run with a defense breaks off, lacks best.keras, or cannot be overwritten."""
    done = run_script(
        "train",
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
    assert "replaceable" in run_python(REPLACEABLE, tmp_path / "run")
    with open(tmp_path / "run" / "softmax" / "history.csv", encoding="utf-8") as file:
        history = list(csv.DictReader(file))
    assert {"loss", "robust_accuracy", "val_accuracy", "val_robust_accuracy"} <= set(history[0])
    card = (tmp_path / "run" / "softmax" / "model_card.md").read_text(encoding="utf-8")
    naive = f"{100 * float(history[-1]['val_robust_accuracy']):.2f} %"
    assert (
        f"| 144 validation images under the attack of the defense, last epoch | {naive} |" in card
    )
    assert "| defense | MAIL(" in card and "EffectiveMarginRegularizer(" in card
    assert "--model=model=" in card and "--model=best=" in card and "--eps=0.1 " in card
    assert "trained without adversarial examples" not in card
    x, _ = load_arrays("digits", "test")
    for name in ("model.keras", "best.keras"):
        model = keras.models.load_model(tmp_path / "run" / "softmax" / name)
        assert model.predict(x, verbose=0).shape == (len(x), 10)


def test_recipes_print_what_they_set(run_script, tmp_path):
    """Fails if a recipe hides a setting, or goes before a flag that was given."""
    flags = ["--recipe=at_emr_cifar10", "--dataset=digits", "--augment=false", "--attack_eps=0"]
    done = run_script("train", *flags, f"--output_dir={tmp_path / 'run'}")
    assert "Recipe at_emr_cifar10:" in done.stdout
    assert all(f"\n- {line}\n" in done.stdout for line in DEVIATIONS["at_emr_cifar10"])
    for setting in ("regularizer_weight=3.0", "regularizer_temperature=40.0", "drops=['60', '90']"):
        assert setting in done.stdout
    for given in ("data=digits", "augment=False", "attack_eps=0.0"):
        assert given in done.stdout
    assert "needs --attack_eps" in done.stderr

"""The example scripts as a user runs them: in a process of their own, on the embedded digits."""

import csv
import json
import os
import re
import subprocess
import sys
import time

import keras
import matplotlib.image
import numpy as np
import pytest
from cleverhans.tf2.attacks.fast_gradient_method import fast_gradient_method

from keras_mmc import defenses, regularizers
from keras_mmc.attacks import PGD
from keras_mmc.datasets import load_arrays
from keras_mmc.recipes import DEVIATIONS, RECIPES


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
    assert "no defense" in printed


def test_a_second_training_is_refused(request, run_script, tmp_path):
    """Fails if two trainings write to one place, or one that was killed blocks it for ever."""
    path = tmp_path / "run"
    command = ["train.py", "--epochs=1000", f"--output_dir={path}"]
    command[0] = str(request.config.rootpath / "examples" / command[0])
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}
    with subprocess.Popen([sys.executable, *command], env=environment) as first:
        try:
            while not (path.with_name("run.partial") / "new" / "flags.txt").exists():
                assert first.poll() is None
                time.sleep(0.1)
            second = run_script("train.py", "--epochs=1", f"--output_dir={path}")
        finally:
            first.kill()
    assert second.returncode == 1
    assert f"{path} is in use: another process writes there" in second.stderr
    assert not path.exists()
    third = run_script("train.py", "--epochs=1", "--nobaseline", f"--output_dir={path}")
    assert third.returncode == 0, third.stderr[-3000:]
    assert [item.name for item in tmp_path.iterdir()] == ["run"]
    assert {item.name for item in path.iterdir()} == {
        *("flags.txt", "comparison.csv", "epochs.png", "seconds.png", "mmc"),
    }


def test_an_earlier_run_is_kept(trained, run_script):
    """Fails if a run is overwritten without the flag."""
    folder, _ = trained
    before = (folder / "comparison.csv").read_bytes()
    done = run_script("train.py", "--epochs=1", f"--output_dir={folder}")
    assert done.returncode != 0
    assert "holds an earlier run" in done.stderr
    assert (folder / "comparison.csv").read_bytes() == before


def test_bad_flags_leave_no_results(refusals, tmp_path):
    """Fails if a contradiction is trained on, or leaves a directory that looks like a result."""
    expected = [
        (["--loss=mmc", "--head=dense"], "--loss=mmc cannot train --head=dense"),
        (["--loss=center", "--head=learned"], "--loss=center cannot train --head=learned"),
        (["--loss=lgm", "--head=quadratic"], "--loss=lgm cannot train --head=quadratic"),
        (["--loss=elastic_mmc", "--head=centers"], "--loss=elastic_mmc cannot train --head=cent"),
        (["--depth=20"], "has a fixed depth"),
        (["--model=resnet_v2", "--depth=32"], "`depth` must be 9n + 2"),
        (["--augment"], "meant for the training split of CIFAR"),
        (["--epochs=0"], "--epochs"),
        (["--dataset=svhn"], "--dataset"),
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
    ]
    output = f"--output_dir={tmp_path / 'run'}"
    said = refusals("train", *([*flags, output] for flags, _ in expected))
    for text, (flags, message) in zip(said, expected, strict=True):
        assert message in text, flags
    assert not (tmp_path / "run").exists()


def test_a_refusal_ends_a_script_with_an_error(run_script, tmp_path):
    """Fails if a script that refuses its flags exits as if all were well."""
    done = run_script("train.py", "--loss=mmc", "--head=dense", f"--output_dir={tmp_path / 'run'}")
    assert done.returncode != 0
    assert "--loss=mmc cannot train --head=dense" in done.stderr


@pytest.mark.parametrize(
    ("loss", "head"),
    [("center", "dense_with_centers"), ("elastic_mmc", "elastic"), ("shell_mmc", "centers")],
)
def test_train_with_a_head_of_its_own(loss, head, run_script, tmp_path):
    """Fails if a loss does not choose its head, or one that needs features is not wrapped."""
    done = run_script(
        *("train.py", f"--loss={loss}", "--epochs=2", "--nobaseline"),
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


BUILD = """
import json, sys
sys.path.insert(0, "examples")
import defense_flags, train
from absl import flags

for given in json.loads(sys.argv[1]):
    for name in flags.FLAGS:
        flags.FLAGS[name].unparse()
    flags.FLAGS(["train.py", "--output_dir=none", *given])
    defense_flags.apply_recipe()
    defense = defense_flags.build_defense()
    schedule = getattr(defense, "eps_schedule", None)
    rising = schedule and [round(float(schedule(epoch)), 6) for epoch in range(4)]
    print("built", defense, defense_flags.build_regularizer("margin"), rising, sep="|")
"""


@pytest.fixture(scope="module")
def built(run_python):
    """Defense, regularizer and rising eps, as printed, that lists of flags make."""

    def build(*given):
        lines = run_python(BUILD, json.dumps(given)).splitlines()
        return [line.split("|")[1:] for line in lines if line.startswith("built")]

    return build


def test_flags_of_defenses(built):
    """Fails if a flag of a defense or regularizer is lost, or takes the place of another."""
    flags = ["--attack_eps=0.3", "--attack_steps=5", "--attack_step_size=0.1"]
    attack = PGD(0.3, steps=5, step_size=0.1)
    trades = defenses.TRADES(attack, beta=5.0)
    mart = defenses.MART(attack, beta=7.0, objective="training_loss")
    cases = [
        (["none"], defenses.StandardTraining(), None),
        (["cot"], defenses.ComplementTraining(), None),
        (
            ["at", "--attack_objective=margin"],
            defenses.AdversarialTraining(attack, objective="margin"),
            None,
        ),
        (["fast"], defenses.FastAdversarialTraining(0.3, 0.1), None),
        (["free"], defenses.FreeAdversarialTraining(0.3, 5, 0.1), None),
        (
            ["trades", "--regularizer=emr", "--regularizer_temperature=2"],
            defenses.TRADES(attack, beta=6.0),
            regularizers.EffectiveMarginRegularizer(3.0, 2.0),
        ),
        (
            ["mart", "--regularizer=awp"],
            defenses.MART(attack, beta=5.0),
            regularizers.AdversarialWeightPerturbation(0.01),
        ),
        (
            ["mail_trades", "--regularizer=input_gradient"],
            defenses.MAIL(trades),
            regularizers.InputGradientPenalty(0.1, "margin"),
        ),
        (
            [
                *("mail_mart", "--beta=7", "--mail_slope=3", "--mail_bias=0.2"),
                *("--mail_burn_in=4", "--attack_objective=training_loss"),
            ],
            defenses.MAIL(mart, slope=3.0, bias=0.2, burn_in=4),
            None,
        ),
    ]
    burn_in = defenses.AdversarialTraining(attack, objective="training_loss")
    uniform = defenses.TRADES(attack, beta=5.0, uniform_start=True)
    fgsm = defenses.CleverHansTraining(
        fast_gradient_method, attack_objective="margin", eps=0.3, norm=np.inf
    )
    targeted = PGD(0.3, steps=5, step_size=0.1, targeted=True)
    cases += [
        (["trades", "--beta=5", "--attack_start=ball"], uniform, None),
        (["at", "--attack_targeted"], defenses.AdversarialTraining(targeted), None),
        (["differential"], defenses.DifferentialTraining(attack), None),
        (["cleverhans", "--cleverhans_attack=fast_gradient_method"], fgsm, None),
        (
            ["mail_trades", "--attack_start=ball", "--mail_burn_in=4", "--mail_burn_in_defense=at"],
            defenses.MAIL(uniform, burn_in=4, burn_in_defense=burn_in),
            None,
        ),
    ]
    assert defenses.MAIL(trades).slope_and_bias == (2.0, 0.0)
    given = ([f"--defense={name}", *flags, *more] for (name, *more), _, _ in cases)
    expected = [[repr(first), repr(then), "None"] for _, first, then in cases]
    places = re.compile(r" at 0x\w+")  # of functions in memory
    assert places.sub("", str(built(*given))) == places.sub("", str(expected))


def test_flags_of_losses_and_centers(run_python, tmp_path):
    """Fails if a parameter of a loss, or of its centers, cannot be set from the command line."""
    path = tmp_path / "centers.npy"
    np.save(path, np.eye(10, 256))
    code = """
import json, sys
sys.path.insert(0, "examples")
import keras, keras_mmc, loss_flags, network_flags, train
import numpy as np
from absl import flags

flags.FLAGS(["train.py", *json.loads(sys.argv[1])])
for name in loss_flags.LOSSES:
    loss = loss_flags.LOSSES[name]()
    print("made", json.dumps([name, {k: v for k, v in loss.get_config().items()}]))
print("runs", json.dumps([[run.name, run.head, run.scale] for run in train.chosen_runs()]))
chosen = network_flags.choose_head("softmax", "quadratic")
print("g-sce", type(network_flags.HEADS[chosen](10, 1.0)).__name__)
for given in ("optimal", "random", sys.argv[2]):
    flags.FLAGS.centers = given
    head = network_flags.HEADS["centers"](10, 3.0)
    head.build((None, 256))
    centers = np.asarray(head.centers)
    print("centers", np.linalg.norm(centers, axis=1).round(4).max(), (centers @ centers.T)[0, 1])
"""
    given = ["--gce_alpha=0.2", "--gce_guard=released", "--sigma=3", "--label_smoothing=0.1"]
    given += ["--margin=0.4", "--lgm_weight=0.5", "--center_weight=0.6", "--radius=0.7"]
    given += ["--loss=mmc,gce", "--scale=10,100", "--gce_normalizer=classes"]
    lines = run_python(code, json.dumps(given), path).splitlines()
    made = dict(json.loads(line[5:]) for line in lines if line.startswith("made "))
    expected = {
        "gce": {"alpha": 0.2, "guard": "released", "normalizer": "classes"},
        "mm_lda": {"sigma": 3.0, "label_smoothing": 0.1},
        "lgm": {"margin": 0.4, "weight": 0.5},
        "center": {"weight": 0.6},
        "shell_mmc": {"radius": 0.7},
    }
    for name, parameters in expected.items():
        assert made[name].items() >= parameters.items()
    [runs] = [json.loads(line[5:]) for line in lines if line.startswith("runs ")]
    assert runs[:2] == [["mmc_10", "centers", 10.0], ["mmc_100", "centers", 100.0]]
    assert runs[2:] == [["gce", "dense", 10.0], ["softmax", "dense", 1.0]]
    assert "g-sce QuadraticHead" in lines
    centers = [list(map(float, line.split()[1:])) for line in lines if line.startswith("centers ")]
    assert [norm for norm, _ in centers] == [3.0] * 3
    assert centers[0][1] == pytest.approx(-1, rel=1e-5)  # -C^2 / (K - 1)
    assert centers[2][1] == 0 != centers[1][1]


def test_eps_rises_over_the_ramp(built):
    """Fails if the radius of an epoch is not its fraction of the ramp, full in the last."""
    [[_, _, rising]] = built(["--defense=at", "--attack_eps=0.3", "--eps_ramp=3"])
    assert rising == "[0.1, 0.2, 0.3, 0.3]"


def test_recipes_build(built):
    """Fails if a recipe names a flag that is unknown, or builds another defense than published."""
    attack = PGD(8 / 255, steps=10, step_size=2 / 255)
    at = defenses.AdversarialTraining(attack, objective="training_loss")
    on_cross_entropy = defenses.TRADES(
        attack, beta=12.0, objective="cross_entropy", uniform_start=True
    )
    mail_trades = defenses.MAIL(
        defenses.TRADES(attack, beta=5.0), 5.0, 0.05, 74, burn_in_defense=at
    )
    trades = defenses.TRADES(PGD(0.3, steps=40, step_size=0.01), beta=1.0)
    emr = regularizers.EffectiveMarginRegularizer
    expected = {
        "mmc_mnist": (defenses.StandardTraining(), None),
        "mmc_cifar10": (defenses.StandardTraining(), None),
        "mmc_cifar100": (defenses.StandardTraining(), None),
        "mmc_at_cifar10": (at, None),
        "trades_mnist": (trades, None),
        "at_emr_cifar10": (at, emr(3.0, 40.0)),
        "trades_emr_cifar10": (on_cross_entropy, emr(1.0, 1.0)),
        "mail_at_emr_cifar10": (defenses.MAIL(at, 30.0, -0.07, 74), emr(1.0, 0.1)),
        "mail_trades_emr_cifar10": (mail_trades, emr(1.0, 0.1)),
        "mart_cifar10": (defenses.MART(attack, 5.0, objective="training_loss"), None),
        "gce_mnist": (defenses.StandardTraining(), None),
    }
    assert expected.keys() == RECIPES.keys()
    found = built(*([f"--recipe={name}"] for name in expected))
    assert found == [[repr(first), repr(then), "None"] for first, then in expected.values()]


def test_help_shows_every_flag(run_script):
    """Fails if the flags of a shared module are hidden from a reader of --help."""
    for script, flag in (("train.py", "--defense"), ("audit.py", "--eps")):
        assert flag in run_script(script, "--help").stdout


REPLACEABLE = """
import sys
sys.path.insert(0, "examples")
import run_directory
from keras_mmc import _files

_files.check_results_directory(sys.argv[1], run_directory.RUN, overwrite=True)
print("replaceable")
"""


def test_train_with_a_defense(run_script, run_python, tmp_path):
    """Fails if a run with a defense breaks off, lacks best.keras, or cannot be overwritten."""
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
    assert "replaceable" in run_python(REPLACEABLE, tmp_path / "run")
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
    assert all(f"\n- {line}\n" in done.stdout for line in DEVIATIONS["at_emr_cifar10"])
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


def test_audit_script_refuses_before_it_attacks(trained, refusals, tmp_path):
    """Fails if an audit runs to the end and can then not save, or an unused model passes."""
    (tmp_path / "file").write_text("")
    expected = [
        ("a", "a/state", "must lie apart"),
        ("a/report", "a", "must lie apart"),
        ("file/a", "state", "file/a.* cannot be written"),
        ("a", "file/state", "file/state.* cannot be written"),
        (".", "state", "holds other things, such as 'file'|working directory"),
    ]
    lists = [
        [
            *("--model=none.keras", "--eps=0.1", "--overwrite"),
            *(f"--output_dir={tmp_path / output}", f"--state_dir={tmp_path / state}"),
        ]
        for output, state, _ in expected
    ]
    model = trained[0] / "mmc" / "model.keras"
    lists.append([f"--model={model}", f"--substitute={model}", "--eps=0.1"])
    messages = [message for *_, message in expected] + ["does not use a substitute model"]
    for text, message in zip(refusals("audit", *lists), messages, strict=True):
        assert re.search(message, text)
    assert [item.name for item in tmp_path.iterdir()] == ["file"]


FULL_DISK = """
import errno, sys
sys.path.insert(0, "examples")
import audit, keras_mmc, numpy as np
from absl import app

def full(*_, **__):
    raise OSError(errno.ENOSPC, "No space left on device")

np.savez_compressed = full
app.run(audit.main, argv=sys.argv)
"""


def test_a_report_that_cannot_be_saved_is_not_lost(trained, request, run_script, tmp_path):
    """Fails if a full disk at the end costs the report, or a user is not told where it is kept."""
    flags = [f"--model={trained[0] / 'mmc' / 'model.keras'}", "--eps=0.1", "--num_images=20"]
    state = f"--state_dir={tmp_path / 'state'}"
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, *flags, state, f"--output_dir={tmp_path / 'a'}"],
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"},
        cwd=request.config.rootpath,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "Robust accuracy" in done.stdout
    assert "could not be saved: [Errno 28] No space left" in done.stderr
    assert f"batches are kept in {tmp_path / 'state'}" in done.stderr
    assert not (tmp_path / "a").exists()
    again = run_script("audit.py", *flags, state, f"--output_dir={tmp_path / 'b'}")
    assert again.returncode == 0, again.stderr[-3000:]
    stored = json.loads((tmp_path / "b" / "report.json").read_text(encoding="utf-8"))
    assert f"Robust accuracy {100 * stored['robust_accuracy']:.2f} %" in done.stdout


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

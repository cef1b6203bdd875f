"""The command line itself: help without Keras, mistakes in a line, bugs with their traceback."""

import ast
import json
import os
import subprocess
import sys
from itertools import pairwise

import pytest
import setuptools

from keras_mmc import __version__, _choices, commands, experiments, models
from keras_mmc.datasets.arrays import DATASETS
from keras_mmc.evaluation import SUITES
from tests.conftest import ROOT

HEAVY = ("keras", "numpy", "scipy", "tensorflow", "matplotlib")


def in_new_process(*arguments, **environment):
    """The finished process of `python -m keras_mmc`."""
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        env={**os.environ, **environment},
        cwd=ROOT,
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize(
    "given", [[], ["--help"], ["--version"], *([name, "--help"] for name in commands.COMMANDS)]
)
def test_help_imports_nothing_heavy(given):
    """Fails if a help text waits for Keras, or what TensorFlow prints stands beside it."""
    done = in_new_process("-X", "importtime", "-m", "keras_mmc", *given)
    assert done.returncode == 0, done.stderr[-3000:]
    imported = [line.rpartition("|")[2].strip() for line in done.stderr.splitlines()]
    assert all(line.startswith("import time:") for line in done.stderr.splitlines())
    assert not set(imported) & set(HEAVY)
    for name, does in commands.COMMANDS.items():
        if given == ["--version"]:
            assert done.stdout == f"keras_mmc {__version__}\n"
        elif len(given) < 2:
            assert f"  {name.ljust(9)}  {does}" in done.stdout
    if len(given) == 2:
        text, _, _ = done.stdout.partition("\nflags:\n")
        assert f"keras-mmc {given[0]}" in text
        # Lines of an example that goes on are joined by the shell.
        for line, then in pairwise(text.splitlines()):
            assert line.endswith("\\") or not then.startswith("      --"), line


def test_the_installed_script_is_as_quick(tmp_path):
    """Fails if what pip installs imports Keras to show a help text."""
    script = tmp_path / "keras-mmc"
    script.write_text("import sys\nfrom keras_mmc.commands.line import main\nsys.exit(main())\n")
    done = in_new_process("-X", "importtime", script, "audit", "--help")
    assert done.returncode == 0 and "--min_robust" in done.stdout
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "keras_mmc.commands.saved_models" in imported and not imported & set(HEAVY)


def test_the_list_says_what_the_modules_say():
    """Fails if a command is not listed, or the list and its help say different things."""
    for name, does in commands.COMMANDS.items():
        text = (ROOT / "keras_mmc" / "commands" / f"{name}.py").read_text(encoding="utf-8")
        assert ast.get_docstring(ast.parse(text)).splitlines()[0] == does
    listed = [f"| `{name}` | {does} |" for name, does in commands.COMMANDS.items()]
    assert "\n".join(listed) in (ROOT / "docs" / "api.md").read_text(encoding="utf-8")


def test_names_to_choose_from_exist():
    """Fails if a flag offers a model or suite that is not there, or hides one that is."""
    assert set(_choices.MODELS) == set(models.__all__)
    assert set(_choices.DATASETS) == set(DATASETS)
    assert _choices.SUITES == SUITES


def test_the_wheel_holds_commands_and_experiments():
    """Fails if an installed package lacks what its script imports."""
    found = setuptools.find_packages(ROOT, include=["keras_mmc", "keras_mmc.*"])
    assert {commands.__name__, experiments.__name__} <= set(found)
    text = (ROOT / "setup.py").read_text(encoding="utf-8")
    assert '"keras-mmc = keras_mmc.commands.line:main"' in text
    assert 'find_packages(include=["keras_mmc", "keras_mmc.*"])' in text


LOADS = """
import keras_mmc, sys
import keras
model = keras.models.load_model(sys.argv[1])
print(type(model.layers[-1]).__name__, type(model.loss).__name__)
"""
WRAPPED = """
import keras, keras_mmc, sys
layers = [keras.layers.Flatten(), keras_mmc.MaxMahalanobisCenters(3)]
model = keras.Sequential([keras.Input((2, 2, 1)), *layers])
defense = keras_mmc.defenses.TRADES(keras_mmc.attacks.PGD(0.1))
robust = keras_mmc.AdversarialModel(model, defense)
robust.compile("adam", loss=keras_mmc.MMCLoss())
robust.save(sys.argv[1])
"""


def test_a_plain_import_registers_every_class(networks, run_fresh_python, tmp_path):
    """Fails if `keras.models.load_model` right after `import keras_mmc` knows no class of it."""
    assert (
        run_fresh_python(LOADS, networks["mmc"]).splitlines()[-1] == "MaxMahalanobisCenters MMCLoss"
    )
    path = tmp_path / "robust.keras"
    run_fresh_python(WRAPPED, path)
    assert run_fresh_python(LOADS, path).splitlines()[-1].endswith(" MMCLoss")


SNIFFED = """
import json, sys
from keras_mmc import _registration

said = []
for original, given in json.loads(sys.argv[1]):
    sys.orig_argv, sys.argv = original, given
    said.append(_registration.is_command_line())
print(json.dumps(said))
"""


def test_only_the_command_line_is_taken_for_it(run_python):
    """Fails if a program of somebody else finds no class of this package registered."""
    cases = [
        (["python", "-m", "keras_mmc", "audit"], ["-m", "audit"], True),
        (["python", "-X", "dev", "-m", "keras_mmc"], ["-m"], True),
        (["python", "-mkeras_mmc", "train"], ["-m", "train"], True),
        (["python", "/bin/keras-mmc", "train"], ["/bin/keras-mmc", "train"], True),
        (["python", "-m", "mine", "keras_mmc"], ["-m", "keras_mmc"], False),
        (["python", "mine.py", "-m", "keras_mmc"], ["mine.py", "-m", "keras_mmc"], False),
        (["python", "-c", "..."], ["-c"], False),
        (["python"], [""], False),
    ]
    said = run_python(SNIFFED, json.dumps([case[:2] for case in cases])).splitlines()[-1]
    assert json.loads(said) == [expected for *_, expected in cases]


def test_mistakes_are_one_line(run_script, networks, tmp_path):
    """Fails if a mistake shows a traceback, exits as if all were well, or takes several lines."""
    broken = tmp_path / "broken.keras"
    broken.write_bytes(b"PK\x03\x04 half a file")
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "thesis.tex").write_text("chapter 1")
    model = f"--model={networks['mmc']}"
    cases = [
        (["tran"], "unknown command 'tran'. Choose one of train, audit"),
        (["audit"], "keras-mmc audit: --eps is required. --model is required. Pass --help"),
        (["audit", "--modle=x", "--eps=0.1"], "Did you mean: model ?"),
        (["audit", model, "--eps=0.1", "more"], "Unexpected arguments: more"),
        (["audit", model, "--eps=0.1", "--suite=all"], "value should be one of <quick|standard"),
        (["audit", "--model=none.keras", "--eps=0.1"], "nothing at none.keras. Pass a .keras"),
        (["audit", f"--model={broken}", "--eps=0.1"], "broken.keras cannot be read as a Keras"),
        (["audit", model, "--eps=-1"], "An audit needs a finite eps > 0"),
        (["audit", model, "--eps=0.1", f"--output_dir={tmp_path / 'report'}"], "report exists"),
        (["train", "--data=none.npz"], "a .npz file that exists"),
        (["export", model, f"--output_dir={tmp_path / 'report'}"], "report exists"),
        (["centers", "--output=centers.txt", "--num_classes=3"], "Change the suffix"),
        (["reproduce", "--experiment=all"], "value should be one of <differential_cifar10|"),
    ]
    for given, words in cases:
        done = run_script(*given)
        assert done.returncode == 2, (given, done.stderr[-2000:])
        assert done.stderr.count("\n") == 1 and "Traceback" not in done.stderr, done.stderr
        assert words in done.stderr and done.stderr.startswith("keras-mmc")


BUG = """
from keras_mmc.commands import centers, line

def main():
    return {}["a bug"]

centers.main = main
line.run(centers, ["keras-mmc centers", "--output=a.npy"])
"""


def test_a_bug_keeps_its_traceback():
    """Fails if an error of the program itself is told as a mistake of its user."""
    done = in_new_process("-c", BUG)
    assert done.returncode == 1
    assert "KeyError: 'a bug'" in done.stderr and "Traceback" in done.stderr

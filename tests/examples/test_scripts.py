"""The example scripts are the commands: the same flags, help, exit codes and outputs."""

import re

import pytest

from keras_mmc.commands import COMMANDS
from tests.conftest import ROOT

SCRIPTS = sorted(path.stem for path in (ROOT / "examples").glob("*.py"))


def test_every_script_is_a_command():
    """Fails if a script has no command, or a script of the first release is gone."""
    assert {"audit", "export", "reproduce", "train", "transfer"} <= set(SCRIPTS) <= set(COMMANDS)


@pytest.mark.parametrize("name", SCRIPTS)
def test_the_flags_are_those_of_the_command(name, run_script):
    """Fails if a script has a flag more or less than its command, or another text or default."""
    script, command = (run_script(program, "--help") for program in (f"examples/{name}.py", name))
    assert script.returncode == command.returncode == 0, script.stderr[-3000:]
    assert script.stdout == command.stdout
    assert re.search(r"\n  --\[?\w", script.stdout)


def test_a_mistake_is_one_line(run_script, tmp_path):
    """Fails if a script that refuses its flags exits as if all were well, or with a traceback."""
    output = f"--output_dir={tmp_path / 'run'}"
    done = run_script("examples/train.py", "--loss=mmc", "--head=dense", output)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "train.py: --loss=mmc cannot train --head=dense" in done.stderr
    assert not (tmp_path / "run").exists()

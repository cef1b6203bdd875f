"""Example scripts in processes of their own."""

import json
import os
import subprocess
import sys

import pytest

REFUSALS = """
import importlib, json, sys
sys.path.insert(0, "examples")
from absl import flags

script = importlib.import_module(sys.argv[1])
for given in json.loads(sys.argv[2]):
    for name in flags.FLAGS:
        flags.FLAGS[name].unparse()
    try:
        script.main(flags.FLAGS([sys.argv[1], *given]))
        said = "nothing was refused"
    except (Exception, SystemExit) as error:
        said = f"{type(error).__name__}: {error}"
    print("refusal", json.dumps(said), flush=True)
"""


@pytest.fixture(scope="session")
def run_script(request):
    """Run an example script and return the finished process."""

    def run(name, *flags):
        return subprocess.run(
            [sys.executable, request.config.rootpath / "examples" / name, *flags],
            env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"},
            capture_output=True,
            text=True,
        )

    return run


@pytest.fixture(scope="session")
def refusals(run_python):
    """What a script says to several lists of flags, one after the other in a new process."""

    def run(script, *lists):
        lines = run_python(REFUSALS, script, json.dumps(lists)).splitlines()
        said = [json.loads(line.partition(" ")[2]) for line in lines if line.startswith("refusal ")]
        assert len(said) == len(lists)
        return said

    return run

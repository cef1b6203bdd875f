"""Example scripts in processes of their own."""

import json
import os
import pathlib
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
def run_script(request, tmp_path_factory):
    """Run an example script and return the finished process."""
    root, place = request.config.rootpath, tmp_path_factory.mktemp("scripts")
    server = subprocess.Popen(
        [sys.executable, root / "tests" / "examples" / "script_server.py"],
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )

    def run(name, *flags):
        paths = {"stdout": str(place / "stdout"), "stderr": str(place / "stderr")}
        arguments = [str(root / "examples" / name), *map(str, flags)]
        server.stdin.write(json.dumps({"arguments": arguments, **paths}) + "\n")
        server.stdin.flush()
        code = int(server.stdout.readline())
        printed = (pathlib.Path(path).read_text(encoding="utf-8") for path in paths.values())
        return subprocess.CompletedProcess(arguments, code, *printed)

    with server:  # closes its standard input, at which it ends
        yield run
    assert server.returncode == 0


@pytest.fixture(scope="session")
def refusals(run_python):
    """What a script says to several lists of flags, one after the other in a new process."""

    def run(script, *lists):
        lines = run_python(REFUSALS, script, json.dumps(lists)).splitlines()
        said = [json.loads(line.partition(" ")[2]) for line in lines if line.startswith("refusal ")]
        assert len(said) == len(lists)
        return said

    return run

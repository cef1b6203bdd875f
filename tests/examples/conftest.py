"""Example scripts in processes of their own."""

import os
import subprocess
import sys

import pytest


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

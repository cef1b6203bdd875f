"""`keras-mmc serve`: a process that answers until it is told to stop, and models it refuses."""

import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request

import keras

from tests.conftest import ROOT


def test_it_answers_and_stops_when_told(networks):
    """Fails if a .keras file is not served where it says, or SIGTERM ends in a traceback."""
    flags = [f"--model={networks['mmc']}", "--port=0", "--name=digits"]
    service = subprocess.Popen(
        [sys.executable, "-m", "keras_mmc", "serve", *flags],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"},
    )
    address = re.search(r"http://127.0.0.1:[1-9]\d*/", service.stdout.readline())[0]
    with urllib.request.urlopen(f"{address}v2/models/digits/ready", timeout=30) as answer:
        assert answer.status == 200
    service.send_signal(signal.SIGTERM)
    _, errors = service.communicate(timeout=60)
    assert service.returncode in (0, -signal.SIGTERM) and "Traceback" not in errors


def test_models_that_would_run_code_are_refused(refusals, tmp_path):
    """Fails if a .keras file with a lambda or a foreign class is loaded, or not told why."""

    class Foreign(keras.layers.Layer):
        def call(self, x):
            return x

    for name, layer in (("lambda", keras.layers.Lambda(lambda x: x)), ("foreign", Foreign())):
        model = keras.Sequential([keras.Input((4,)), layer, keras.layers.Dense(3)])
        model.save(tmp_path / f"{name}.keras")
    flags = ([f"--model={tmp_path / name}.keras"] for name in ("lambda", "foreign"))
    about_lambda, about_foreign = refusals("serve", *flags)
    assert "Lambda" in about_lambda and "unsafe" in about_lambda
    assert "Foreign" in about_foreign


def test_places_that_hold_no_export(refusals, tmp_path):
    """Fails if a directory of something else, or a name for addresses, is not refused in a line."""
    folder = f"--model={tmp_path}"
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        told = refusals(
            "serve",
            [folder, "--port=0"],
            [folder, "--name=a/b"],
            [folder, "--port=70000"],
            ["--model=nosuch"],
            [folder, f"--port={port}"],
        )
    assert "is no export of this package" in told[0]
    assert "letters, digits" in told[1] and "port" in told[2]
    assert "nothing at nosuch. Pass a directory that `keras-mmc export` wrote, or a" in told[3]
    assert told[4].startswith(f"OSError: cannot listen at 127.0.0.1, port {port}: Address already")

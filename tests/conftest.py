"""Fixtures shared by all tests."""

import importlib.util
import json
import os
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

ROOT = pathlib.Path(__file__).parent.parent
# Graphs here run a few steps: optimizing their machine code takes longer than it saves.
os.environ.setdefault(
    "XLA_FLAGS",
    "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true",
)

ENVIRONMENT = {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}


@pytest.fixture(autouse=True)
def fresh_keras():
    """Every test starts with seed 0 and the float32 policy, and leaves no policy behind."""
    keras.utils.set_random_seed(0)
    yield
    keras.config.set_dtype_policy("float32")


@pytest.fixture
def rng():
    """A NumPy generator with a fixed seed."""
    return np.random.default_rng(0)


class Counting(keras.layers.Layer):
    """Passes its input on; counts how often it is called, and how often that is a trace."""

    def __init__(self, **options):
        super().__init__(**options)
        self.calls = self.traces = 0

    def call(self, x):
        self.calls += 1
        self.traces += not tf.executing_eagerly()
        return x


@pytest.fixture
def counting():
    """A layer with `calls` and `traces`, to put into a model."""
    return Counting(dtype="float32")


@pytest.fixture(scope="session")
def process(tmp_path_factory, need):
    """Run a program in a new process: a fork of one that has imported the libraries.

    A test of another backend is skipped where that is not installed.
    """
    place = tmp_path_factory.mktemp("processes")
    paths = {"stdout": str(place / "stdout"), "stderr": str(place / "stderr")}
    servers = {}

    def run(*arguments, backend="tensorflow"):
        if backend != "tensorflow":
            need(backend, "backends")
        if backend not in servers:
            servers[backend] = subprocess.Popen(
                [sys.executable, ROOT / "tests" / "process_server.py"],
                env=os.environ | ENVIRONMENT | {"KERAS_BACKEND": backend},
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        server = servers[backend]
        server.stdin.write(json.dumps({"arguments": arguments, **paths}) + "\n")
        server.stdin.flush()
        code = int(server.stdout.readline())
        printed = (pathlib.Path(path).read_text(encoding="utf-8") for path in paths.values())
        return subprocess.CompletedProcess(arguments, code, *printed)

    yield run
    for server in servers.values():
        server.communicate()  # closes its standard input, at which it ends
        assert server.returncode == 0


@pytest.fixture(scope="session")
def run_python(process):
    """Run code in a new process and return what it printed; fail with its errors otherwise."""

    def run(code, *arguments, backend="tensorflow"):
        done = process("-c", code, *map(str, arguments), backend=backend)
        assert done.returncode == 0, done.stderr[-4000:]
        return done.stdout

    return run


@pytest.fixture(scope="session")
def run_fresh_python():
    """As `run_python`, in a process that has imported nothing yet."""

    def run(code, *arguments):
        done = subprocess.run(
            [sys.executable, "-c", code, *map(str, arguments)],
            env=os.environ | ENVIRONMENT,
            cwd=ROOT,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr[-4000:]
        return done.stdout

    return run


@pytest.fixture(scope="session")
def run_script(process):
    """Run a script, by its path from the root, or a command of `keras-mmc` by name."""

    def run(name, *flags):
        program = [str(ROOT / name)] if name.endswith(".py") else ["keras-mmc", name]
        return process(*program, *map(str, flags))

    return run


@pytest.fixture(scope="session")
def digits():
    """Training images `(1437, 8, 8, 1)` in [0, 1] and labels of scikit-learn's digits."""
    from keras_mmc.datasets import load_arrays

    parts = [load_arrays("digits", split) for split in ("train", "validation")]
    return tuple(np.concatenate(pair) for pair in zip(*parts, strict=True))


def pytest_collection_modifyitems(items):
    """Tests marked `real_data` say why they do not run where there is no data."""
    if os.environ.get("TFDS_DATA_DIR"):
        return
    reason = "TFDS_DATA_DIR is not set: no prepared MNIST, Fashion-MNIST and CIFAR-10 here"
    for item in items:
        if item.get_closest_marker("real_data"):
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session")
def need():
    """Skip a test without an optional library; CI names those that must be there."""

    def check(module, extra):
        required = os.environ.get("KERAS_MMC_TEST_REQUIRES", "").split(",")
        if module not in required and importlib.util.find_spec(module) is None:
            pytest.skip(f"{module} is not installed (pip install keras_mmc[{extra}])")

    return check


@pytest.fixture(params=["jax", "torch"])
def other_backend(request):
    """Another Keras backend."""
    return request.param

"""Strategies by name, and a training of two workers on this machine."""

import json
import os
import socket
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from keras_mmc import distribution
from tests.conftest import ENVIRONMENT, ROOT

SECONDS = 240


@pytest.mark.parametrize("name", ["cpu", "cpu:0", "cpu:two", "CPU:2", "tpu", 2, None])
def test_an_unknown_name(name):
    """Fails if a name that means nothing trains on one device."""
    with pytest.raises(ValueError, match=r"A strategy is one of 'auto'.*'cpu:N'; received"):
        distribution.strategy(name)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        '{"cluster": {"worker": ["a:1"]}}',
        '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 1}}',
        '{"cluster": {"worker": ["a:1"]}, "task": {"type": "chief", "index": 0}}',
    ],
)
def test_a_cluster_that_cannot_be(text, monkeypatch):
    """Fails if TensorFlow waits for workers that nobody has named."""
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(ValueError, match=r"'multi_worker' needs .*TF_CONFIG.*host0:2222"):
        distribution.strategy("multi_worker")


def test_one_device(monkeypatch):
    """Fails if nothing to divide among makes a strategy all the same."""
    monkeypatch.delenv("TF_CONFIG", raising=False)
    assert distribution.strategy("auto") is tf.distribute.get_strategy()


def test_a_processor_that_is_in_use():
    """Fails if the processor seems divided, or TensorFlow's words are all that is said."""
    tf.constant(1.0)
    with pytest.raises(ValueError, match=r"'cpu:2' divides the processor.*first in the program"):
        distribution.strategy("cpu:2")


def free_ports(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [str(one.getsockname()[1]) for one in sockets]
    for one in sockets:
        one.close()
    return ports


def start(number, path, *ports):
    return subprocess.Popen(
        [sys.executable, ROOT / "tests" / "training" / "worker.py", str(number), path, *ports],
        env=os.environ | ENVIRONMENT | {"PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        text=True,
    )


def test_two_workers_train_one_network(tmp_path):
    """Fails if workers drift apart, or 50 steps of both are not those of one with whole batches.

    The last batch of an epoch has 3 images, and two images cannot be trained on.
    """
    ports = free_ports(2)
    places = [tmp_path / f"{name}.npz" for name in ("one", "other", "alone")]
    running = [start(0, places[0], *ports), start(1, places[1], *ports), start(0, places[2])]
    try:
        for process in running:
            _, said = process.communicate(timeout=SECONDS)
            assert process.returncode == 0, said[-4000:]
            assert "2 images were not trained on" in said
    finally:
        for process in running:
            process.kill()
            process.communicate()
    one, other, alone = (list(np.load(place).values()) for place in places)
    for a, b, whole in zip(one, other, alone, strict=True):
        np.testing.assert_array_equal(a, b)
        np.testing.assert_allclose(a, whole, rtol=0, atol=1e-4)
    figures = [json.loads(place.with_suffix(".json").read_text()) for place in places]
    assert figures[0] == figures[1] and len(figures[0]["loss"]) == 5
    assert figures[0].keys() == figures[2].keys() >= {"loss", "robust_accuracy", "val_accuracy"}
    for name, values in figures[2].items():
        np.testing.assert_allclose(figures[0][name], values, rtol=0, atol=1e-4)

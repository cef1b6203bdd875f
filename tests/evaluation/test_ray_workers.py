"""Audits on workers of Ray, one of which is killed; in a process of its own, with all it starts."""

import os
import pathlib
import subprocess
import sys
import time
import uuid

import pytest

from keras_mmc._extras import MissingPackageError
from keras_mmc.evaluation.ray_workers import audit_on_ray
from tests.conftest import ENVIRONMENT, ROOT

AUDIT = """
import dataclasses, os, pathlib, sys
import keras, keras_mmc, numpy as np
from keras_mmc.attacks import PGD
from keras_mmc.evaluation.ray_workers import audit_on_ray

folder = pathlib.Path(sys.argv[1])
sys.modules["keras_mmc.evaluation.audit"].diagnose = lambda *_: {}

@dataclasses.dataclass(frozen=True)
class Killing(PGD):
    "Ends the first worker that comes to it, as the system does when memory is short."

    def run(self, *arguments, **options):
        first = folder / "killed"
        if os.getpid() != driver and not first.exists():
            first.write_text(os.environ["KERAS_MMC_TEST"])
            os.kill(os.getpid(), 9)
        return super().run(*arguments, **options)

driver = os.getpid()
keras.utils.set_random_seed(0)
layers = [keras.layers.Flatten(), keras.layers.Dense(10)]
keras.Sequential([keras.Input((8, 8, 1)), *layers]).save(folder / "model.keras")
model = keras.models.load_model(folder / "model.keras")
x = np.random.default_rng(0).uniform(size=(40, 8, 8, 1)).astype("float32")
y = model.predict(x, verbose=0).argmax(axis=1)
suite = {"killing": Killing(0.02, steps=3), "pgd": PGD(0.02, steps=5)}
whole = keras_mmc.audit(model, x, y, 0.02, suite, verbose=0)
found = audit_on_ray(folder / "model.keras", x, y, 0.02, suite, state_directory=folder / "state")
assert (folder / "killed").exists(), "nobody was killed"
assert found.broken_by == whole.broken_by and len(set(whole.broken_by)) > 1
assert found.x_adv.tobytes() == whole.x_adv.tobytes()
assert found.digests == whole.digests and found.predictions.tolist() == whole.predictions.tolist()
shards = sorted(path.name for path in (folder / "state").glob("naive*/*.npz"))
assert shards == [f"{i}.npz" for i in range(8)], shards
print("the same report")
"""


def left_over(mark):
    """The processes that carry a mark in their environment, once they had time to end."""
    for _ in range(60):
        if not alive(mark):
            return []
        time.sleep(1)
    return alive(mark)


def alive(mark):
    """The processes that carry a mark in their environment now."""
    found = []
    for path in pathlib.Path("/proc").glob("[0-9]*/environ"):
        try:
            if mark.encode() in path.read_bytes():
                found.append(path.parent.name)
        except OSError:  # it has ended, or is another user's
            continue
    return found


@pytest.mark.skipif(not pathlib.Path("/proc").exists(), reason="processes are looked for in /proc")
def test_a_killed_worker_changes_nothing(need, tmp_path):
    """Fails if a dead worker costs a shard, the report or a bit of it, or a process is left."""
    need("ray", "ray")
    mark = str(uuid.uuid4())
    environment = os.environ | ENVIRONMENT | {"RAY_USAGE_STATS_ENABLED": "0"}
    environment |= {"KERAS_MMC_TEST": mark, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", AUDIT, str(tmp_path)],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert "the same report" in done.stdout, done.stderr[-4000:]
    assert (tmp_path / "killed").read_text() == mark  # workers carry it
    assert not left_over(mark)


def test_without_ray(monkeypatch, tmp_path):
    """Fails if a missing Ray ends in words that do not say how to install it."""
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingPackageError, match=r"keras_mmc\[ray\]"):
        audit_on_ray(tmp_path / "model.keras", [], [], 0.1, state_directory=tmp_path)

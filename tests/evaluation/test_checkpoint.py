"""The state of an audit: interrupted and resumed it gives the report of an undisturbed one."""

import dataclasses
import functools
import json
import os
import subprocess
import sys

import keras
import numpy as np
import pytest

import keras_mmc
from keras_mmc import _files
from keras_mmc.attacks import PGD, GaussianNoise, Runner
from keras_mmc.evaluation import _plan
from keras_mmc.evaluation.checkpoint import (
    AuditState,
    DamagedStateError,
    check_state_directory,
    digests_of,
)
from keras_mmc.evaluation.protocols import Trial
from keras_mmc.evaluation.suites import NAIVE, Suite

# The package exports a function of the name of its module.
audit_module = sys.modules[keras_mmc.audit.__module__]
EPS = 0.1


@pytest.fixture
def short(monkeypatch):
    """A suite of three short attacks, and no diagnostics: an audit takes a second."""
    attacks = {NAIVE: PGD(EPS, steps=3, objective="cross_entropy"), "pgd": PGD(EPS, steps=3)}
    suite = Suite("quick", attacks, {"noise": Trial(GaussianNoise(0.2), "this test")})
    named = functools.partial(dataclasses.replace, suite)
    monkeypatch.setattr(_plan, "make_suite", lambda name, *_, **__: named(name=name))
    monkeypatch.setattr(audit_module, "diagnose", lambda *_, **__: {})


@pytest.fixture
def run(mmc_model, held_out):
    """Audit the first 100 held-out images in batches of 30."""
    x, y = held_out[0][:100], held_out[1][:100]

    def audit(directory=None, model=mmc_model, **changes):
        options = {"x": x, "y": y, "eps": EPS, "suite": "quick", "batch_size": 30, "seed": 3}
        options |= changes
        return keras_mmc.audit(model, state_directory=directory, verbose=0, **options)

    return audit


def without_times(report):
    """The report as data, and its images; times are left out."""
    rows = tuple(dataclasses.replace(row, seconds=0.0) for row in (*report.rows, *report.trials))
    rest = {k: v for k, v in report.to_dict().items() if k not in ("rows", "trials", "date")}
    return rows, rest, report.x_adv.tobytes(), report.predictions.tobytes(), report.labels.tobytes()


def batches(directory):
    """The files of finished batches, as attack/first image."""
    return {path.relative_to(directory).as_posix() for path in directory.glob("*/*.npz")}


def interrupt_at(monkeypatch, count):
    """Press Ctrl-C when a batch has been attacked `count` times, before it can be kept."""
    real, calls = Runner._craft, []

    def craft(*arguments, **options):
        calls.append(1)
        found = real(*arguments, **options)
        if len(calls) == count:
            raise KeyboardInterrupt
        return found

    monkeypatch.setattr(Runner, "_craft", craft)
    return calls


def test_resumed_equals_undisturbed(short, run, tmp_path, monkeypatch):
    """Fails if a resumed audit differs by a bit, or attacks a finished batch again."""
    undisturbed = without_times(run())
    for count in (1, 5, 8):
        with monkeypatch.context() as patch:
            interrupt_at(patch, count)
            with pytest.raises(KeyboardInterrupt):
                run(tmp_path / str(count))
        assert len(batches(tmp_path / str(count))) == count - 1
        with monkeypatch.context() as patch:
            calls = interrupt_at(patch, None)
            resumed = run(tmp_path / str(count))
        total = len(batches(tmp_path / str(count)))
        assert total > 8
        assert len(calls) == total - (count - 1)
        assert without_times(resumed) == undisturbed


def test_times_add_up(short, run, tmp_path):
    """Fails if the time of an earlier run is lost: a finished audit reports the same times."""
    first = run(tmp_path)
    again = run(tmp_path)
    assert [row.seconds for row in again.rows] == [row.seconds for row in first.rows]
    assert [row.seconds for row in again.trials] == [row.seconds for row in first.trials]
    assert all(row.seconds > 0 for row in first.rows)


def test_a_killed_process_is_resumed_by_another(
    mmc_model, held_out, run_python, run, tmp_path, monkeypatch
):
    """Fails if a state does not outlive its process, killed while it writes a batch."""
    mmc_model.save(tmp_path / "model.keras")
    np.savez(tmp_path / "data.npz", x=held_out[0][:100], y=held_out[1][:100])
    code = """
import os, sys, keras, keras_mmc, numpy as np
folder, data = sys.argv[1], np.load(sys.argv[1] + "/data.npz")
replace, kept = os.replace, []
def killed(source, target):
    kept.append(target)
    if len(kept) == 8:
        os._exit(0)
    replace(source, target)
os.replace = killed
keras_mmc.audit(
    keras.models.load_model(folder + "/model.keras"), data["x"], data["y"], 0.1, "quick",
    batch_size=30, seed=3, state_directory=folder + "/state", verbose=0)
print("not killed")
"""
    assert "not killed" not in run_python(code, tmp_path)
    done = batches(tmp_path / "state")
    assert len(done) == 5
    assert list((tmp_path / "state").glob("*/*.partial"))
    before = {name: (tmp_path / "state" / name).stat().st_mtime_ns for name in done}
    model = keras.models.load_model(tmp_path / "model.keras")
    monkeypatch.setattr(audit_module, "diagnose", lambda *_, **__: {})
    resumed = run(tmp_path / "state", model=model)
    assert without_times(resumed) == without_times(run(model=model))
    assert before == {name: (tmp_path / "state" / name).stat().st_mtime_ns for name in done}
    assert not list((tmp_path / "state").glob("*/*.partial"))


def test_another_audit_is_refused(short, run, mmc_model, held_out, tmp_path):
    """Fails if batches of other images, weights or settings are mixed into a report."""
    run(tmp_path)
    x, y = held_out[0][:100], held_out[1][:100]
    other = keras.models.clone_model(mmc_model)
    # The same weights under other scores: only the scores themselves tell.
    scaled = keras.Model(mmc_model.input, keras.layers.Rescaling(2.0)(mmc_model.output))
    for change, words in (
        ({"eps": 0.2}, "eps 0.1 there, 0.2 here"),
        ({"seed": 4}, "seed 3 there, 4 here"),
        ({"suite": "emr"}, "suite quick there, emr here"),
        ({"box": (-1.0, 1.0)}, "box"),
        ({"x": x * 0.5}, "other images"),
        ({"y": (y + 1) % 10}, "other labels"),
        ({"model": other}, "other model"),
        ({"model": scaled}, "audit of another model"),
    ):
        with pytest.raises(ValueError, match=f"{words}.*another `state_directory`"):
            run(tmp_path, **change)
    with pytest.raises(ValueError, match="other substitute"):
        run(tmp_path, substitute=other)


def test_refusals_come_before_any_attack(short, run, tmp_path, monkeypatch):
    """Fails if hours of work are lost to a directory that could have been refused at once."""
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.tex").write_text("Once")
    (tmp_path / "file").write_text("")
    calls = interrupt_at(monkeypatch, None)
    with pytest.raises(ValueError, match=r"holds other files, such as 'chapter.tex'"):
        run(tmp_path / "thesis")
    with pytest.raises(OSError, match=r"cannot be written.*can be created and written"):
        run(tmp_path / "file")
    with pytest.raises(OSError, match="cannot be written"):
        run(tmp_path / "file" / "below")
    assert not calls
    assert (tmp_path / "thesis" / "chapter.tex").read_text() == "Once"


def test_a_directory_that_takes_no_files_is_refused(short, run, tmp_path, monkeypatch):
    """Fails if a full or read-only disk is noticed only after the first batch."""

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(_files.os, "replace", full)
    with pytest.raises(OSError, match=r"cannot be kept.*No space left"):
        run(tmp_path / "state")


@pytest.mark.parametrize("name", ["audit.json", "clean-scores.npz", "noise/0.npz", "pgd/0.npz"])
def test_damaged_files_are_named(name, short, run, tmp_path):
    """Fails if a damaged file ends in an error that does not say which file to delete."""
    run(tmp_path)
    (tmp_path / name).write_bytes(b"[1")
    with pytest.raises(ValueError, match=f"{name} is damaged.*Delete"):
        run(tmp_path)


def test_facts(mmc_model, held_out):
    """Fails if what changes the results does not change a digest, or one is no JSON."""
    x, y = held_out
    facts = digests_of(mmc_model, None, x, y)
    assert json.loads(json.dumps(facts)) == facts
    assert facts["substitute"] is None
    assert facts["images"] != digests_of(mmc_model, None, x.reshape(200, 64), y)["images"]
    both = digests_of(mmc_model, mmc_model, x, y)
    assert both["model"] == both["substitute"] == facts["model"]


def test_a_state_computes_every_image_once(tmp_path):
    """Fails if an image is computed twice, one is left out, or two attacks share a file."""
    asked = []

    def find(state, name, rows, size):
        def compute(missing):
            asked.append((name, missing.tolist()))
            for first in range(0, len(missing), size):
                batch = missing[first : first + size]
                yield {"rows": batch, "value": np.array([f"{name} {row}" for row in batch])}

        parts = state(name, np.array(rows), compute)
        values = {r: v for part in parts for r, v in zip(part["rows"], part["value"], strict=True)}
        assert {row: values[row] for row in rows} == {row: f"{name} {row}" for row in rows}

    for size in (2, 3):
        with AuditState(tmp_path, {"eps": 0.1}, np.ones((2, 3))) as state:
            find(state, "pgd", [1, 3, 5, 8], size)
            find(state, "check: pgd, eps 0.1", [3, 8], size)
    with AuditState(tmp_path, {"eps": 0.1}, np.ones((2, 3))) as state:
        find(state, "pgd", range(10), 4)
        find(state, "pgd", [9, 2], 1)
    assert asked[:2] == [("pgd", [1, 3, 5, 8]), ("check: pgd, eps 0.1", [3, 8])]
    assert asked[2:4] == [("pgd", []), ("check: pgd, eps 0.1", [])]
    assert asked[4:] == [("pgd", [0, 2, 4, 6, 7, 9]), ("pgd", [])]


def test_an_unfinished_batch_is_not_kept(tmp_path):
    """Fails if what was finished before an error is lost, or what was not passes as finished."""

    def fails(rows):
        yield {"rows": rows[:2]}
        raise RuntimeError("out of memory")

    with AuditState(tmp_path, {}, np.ones((2, 3))) as state:
        with pytest.raises(RuntimeError, match="memory"):
            state("pgd", np.arange(5), fails)
        left = []
        state("pgd", np.arange(5), lambda rows: left.extend(rows) or [])
    assert left == [2, 3, 4]


def test_a_state_of_batches_is_refused(tmp_path):
    """Fails if a directory of an older form is read as if its batches were none."""
    (tmp_path / "audit.json").write_text('{"eps": 0.1, "batch_size": 30}')
    (tmp_path / "pgd-0.npz").touch()
    with pytest.raises(ValueError, match=r"another version of keras_mmc.*does not read"):
        AuditState(tmp_path, {"eps": 0.1}, np.ones((2, 3)))


HOLD = """
import sys, time, numpy as np
from keras_mmc.evaluation.checkpoint import AuditState

with AuditState(sys.argv[1], {"eps": 0.1}, np.ones((2, 3))) as state:
    state("first", np.arange(1), lambda rows: [{"rows": rows}])
    print("ready", flush=True)
    time.sleep(120)
"""


def test_a_second_audit_is_refused(tmp_path, request):
    """Fails if two processes share a state, or one that was killed locks it for ever."""
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    root = request.config.rootpath
    options = {"env": environment, "cwd": root, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **options) as other:
        try:
            assert other.stdout.readline() == "ready\n"
            second = subprocess.run(command, **options, stderr=subprocess.PIPE, timeout=60)
        finally:
            other.kill()
    assert second.returncode == 1
    assert f"{tmp_path} is in use: another process" in second.stderr.splitlines()[-1]
    with AuditState(tmp_path, {"eps": 0.1}, np.ones((2, 3))) as state:
        assert len(state("first", np.arange(1), lambda missing: [])) == 1


def test_an_audit_that_fails_lets_go_of_its_state(short, run, tmp_path, monkeypatch):
    """Fails if a notebook must be restarted after an interrupted audit."""
    interrupt_at(monkeypatch, 2)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path)
        interrupt_at(monkeypatch, 1)


def test_a_state_is_checked_without_a_trace(tmp_path):
    """Fails if the check before an audit makes folders, or refuses what the audit would take."""
    check_state_directory(tmp_path / "new" / "state")
    assert not list(tmp_path.iterdir())
    AuditState(tmp_path / "state", {}, np.ones((1, 2))).close()
    check_state_directory(tmp_path / "state")
    (tmp_path / "photo.jpg").touch()
    with pytest.raises(ValueError, match="holds other files, such as 'photo"):
        check_state_directory(tmp_path)


def test_batches_of_any_size_are_resumed(short, run, tmp_path, monkeypatch):
    """Fails if a figure or an image depends on the batch size, or one is attacked twice for it."""
    undisturbed = without_times(run())
    with monkeypatch.context() as patch:
        interrupt_at(patch, 5)
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path, batch_size=7)
    before = batches(tmp_path)
    assert len(before) == 4
    resumed = run(tmp_path, batch_size=64)
    assert len(batches(tmp_path) - before) < 8
    rows, rest, *images = without_times(resumed)
    assert (rows, rest | {"batch_size": 30}, *images) == undisturbed


@pytest.mark.parametrize(
    "batch",
    [
        {"x_adv": np.zeros((2, 4))},
        {"rows": np.zeros(2)},
        {"rows": np.array([{}])},
        {"rows": np.arange(2), "broken": np.arange(2), "x_adv": np.zeros((2, 4))},
        {
            "rows": np.arange(2),
            "broken": np.arange(2),
            "x_adv": np.zeros((1, 4)),
            "seconds": 0.0,
            "asked": [0, 0],
        },
        {
            "rows": np.arange(2),
            "broken": np.array([5]),
            "x_adv": np.zeros((1, 4)),
            "seconds": 0.0,
            "asked": [0, 0],
        },
    ],
)
def test_a_batch_of_something_else(batch, tmp_path):
    """Fails if arrays that are no batch go into an audit, or objects are unpickled."""
    with AuditState(tmp_path, {"eps": 0.1}, np.ones((2, 3))) as state:
        (tmp_path / "pgd").mkdir()
        np.savez(tmp_path / "pgd" / "0.npz", **batch)
        with pytest.raises(DamagedStateError, match=r"0.npz is damaged: .*Delete this file"):
            state("pgd", np.arange(2), list)

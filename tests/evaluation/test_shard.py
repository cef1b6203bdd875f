"""Shards of an audit: whoever attacks which image, and in which batch, the report is the same."""

import dataclasses
import sys

import keras
import numpy as np
import pytest

import keras_mmc
from keras_mmc.attacks import PGD, GaussianNoise, Runner, Square
from keras_mmc.evaluation import FinishedShard, audit_shard
from keras_mmc.evaluation.checkpoint import AuditState
from keras_mmc.evaluation.protocols import Trial
from keras_mmc.evaluation.suites import NAIVE, Suite

# The package exports a function of the name of its module.
audit_module = sys.modules[keras_mmc.audit.__module__]
EPS = 0.1
ATTACKS = {
    NAIVE: PGD(EPS, steps=2, objective="cross_entropy"),
    "square": Square(EPS, queries=5),
    "pgd": PGD(EPS, steps=3, restarts=2),
}
TRIALS = {
    "noise": Trial(GaussianNoise(0.2), "this test"),
    "first": Trial(PGD(EPS, steps=2), "this test", 30, True),
}
SUITE = Suite("a paper", ATTACKS, TRIALS)
OPTIONS = {"seed": 3, "verbose": 0}


def conv_model():
    """An untrained convolutional network, in which most images lie near a boundary."""
    keras.utils.set_random_seed(0)
    layers = [keras.layers.Conv2D(8, 3, activation="relu"), keras.layers.Flatten()]
    return keras.Sequential([keras.Input((8, 8, 1)), *layers, keras.layers.Dense(10)])


@pytest.fixture
def quick_checks(monkeypatch):
    """Leaves out the diagnostics."""
    monkeypatch.setattr(audit_module, "diagnose", lambda *_, **__: {})


@pytest.fixture(scope="module")
def images(mmc_model, held_out):
    """Fifty images of which a few are misclassified as they are."""
    x = held_out[0][:50]
    y = mmc_model.predict(x, verbose=0).argmax(axis=1)
    y[::9] = (y[::9] + 1) % 10
    return x, y


@pytest.fixture(scope="module")
def whole(mmc_model, images):
    """The report of one process, without diagnostics."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(audit_module, "diagnose", lambda *_, **__: {})
        return keras_mmc.audit(mmc_model, *images, EPS, SUITE, **OPTIONS)


@pytest.fixture
def crafted(monkeypatch):
    """The sizes of the batches that are attacked."""
    real, sizes = Runner._craft, []

    def craft(self, attack, x, labels, rows, **options):
        sizes.append(len(rows))
        return real(self, attack, x, labels, rows, **options)

    monkeypatch.setattr(Runner, "_craft", craft)
    return sizes


def facts(report):
    """Everything but times, the date and the size of batches."""
    rows = tuple(dataclasses.replace(row, seconds=0.0) for row in (*report.rows, *report.trials))
    left_out = ("rows", "trials", "date", "batch_size", "command")
    rest = {key: value for key, value in report.to_dict().items() if key not in left_out}
    arrays = (report.x_adv, report.predictions, report.labels)
    return rows, rest, report.broken_by, *(array.tobytes() for array in arrays)


@pytest.mark.parametrize(("kind", "sizes"), [("dense", (7, 32, 128)), ("conv", (7, 128))])
def test_batch_sizes_give_one_report(kind, sizes, mmc_model, images):
    """Fails if an image, a figure or a check differs by a bit between batch sizes."""
    x, y = images
    model = mmc_model
    if kind == "conv":
        model = conv_model()
        y = model.predict(x, verbose=0).argmax(axis=1)
    reports = [
        facts(keras_mmc.audit(model, x, y, EPS, SUITE, batch_size=size, **OPTIONS))
        for size in sizes
    ]
    assert NAIVE in reports[0][2]
    assert "whole_box" in reports[0][1]["diagnostics"]
    assert all(report == reports[0] for report in reports)


def test_shards_merge_into_the_report_of_one_process(
    mmc_model, images, whole, tmp_path, quick_checks, crafted
):
    """Fails if a shard attacks an image of another, or the merge attacks one once more."""
    assert len(set(whole.broken_by)) > 2
    options, names = OPTIONS | {"state_directory": tmp_path / "state"}, [*TRIALS, *ATTACKS]
    done = [
        audit_shard(mmc_model, *images, EPS, SUITE, shard=(i, 2), batch_size=5 + i, **options)
        for i in (1, 0)
    ]
    assert [part.num_images for part in done] == [25, 25]
    attacked = {row.name: row.attacked for row in (*whole.trials, *whole.rows)}
    assert {name: sum(part.attacked[name] for part in done) for name in names} == attacked
    crafted.clear()
    merged = keras_mmc.audit(mmc_model, *images, EPS, SUITE, **options)
    assert not crafted
    assert facts(merged) == facts(whole)


def test_what_a_dead_shard_left_is_done_by_the_merge(
    mmc_model, images, whole, tmp_path, quick_checks, crafted, monkeypatch
):
    """Fails if a shard that died blocks the others, loses a batch, or leaves a hole."""
    options = OPTIONS | {"state_directory": tmp_path / "state"}
    with monkeypatch.context() as patch:
        real = AuditState._keep

        def dies(self, path, part):
            if len(crafted) == 4:
                raise KeyboardInterrupt
            real(self, path, part)

        patch.setattr(AuditState, "_keep", dies)
        with pytest.raises(KeyboardInterrupt):
            audit_shard(mmc_model, *images, EPS, SUITE, shard=(0, 2), batch_size=8, **options)
    audit_shard(mmc_model, *images, EPS, SUITE, shard=(1, 2), **options)
    crafted.clear()
    merged = keras_mmc.audit(mmc_model, *images, EPS, SUITE, **options)
    assert facts(merged) == facts(whole)
    assert 0 < sum(crafted) < sum(row.attacked for row in (*whole.trials, *whole.rows)) / 2


def test_an_attack_that_fails_in_shards_fails_in_the_merge(
    mmc_model, images, tmp_path, quick_checks
):
    """Fails if an error stops a shard, or is lost in the report."""

    @dataclasses.dataclass(frozen=True)
    class Leaving(PGD):
        def move(self, x, gradient, memory, x0, eps, size):
            return x + 2 * eps, memory

    broken = {"leaving": Leaving(EPS, steps=1, box=(-9.0, 9.0), random_start=False)}
    suite = Suite("own", {NAIVE: ATTACKS[NAIVE]} | broken | {"pgd": ATTACKS["pgd"]})
    whole = keras_mmc.audit(mmc_model, *images, EPS, suite, **OPTIONS)
    options = OPTIONS | {"state_directory": tmp_path}
    done = audit_shard(mmc_model, *images, EPS, suite, shard=(0, 2), **options)
    assert "outside the linf ball" in done.errors["leaving"]
    assert "leaving failed: ValueError" in str(done) and done.attacked["pgd"] > 0
    assert facts(keras_mmc.audit(mmc_model, *images, EPS, suite, **options)) == facts(whole)


def test_who_may_work_in_a_state(tmp_path):
    """Fails if shards exclude each other, or two processes do the same work."""

    def state(shard=None):
        return AuditState(tmp_path, {"eps": 0.1}, np.ones((2, 3)), shard)

    with state((0, 2)):
        with state((1, 2)), pytest.raises(BlockingIOError, match=r"shard 1/2 of .* is in use"):
            state((1, 2))
        with pytest.raises(BlockingIOError, match=r"works on shard 0/2 there.*without a shard"):
            state()
        with pytest.raises(BlockingIOError, match=r"shard 0/2 there. Divide .* 2 shards every"):
            state((1, 3))
    state((1, 3)).close()  # files of locks that nobody holds block nobody
    with state(), pytest.MonkeyPatch.context() as patch:
        patch.setattr("keras_mmc.evaluation._state_locks._PATIENCE", 0.0)
        with pytest.raises(BlockingIOError, match="is in use: another process writes there"):
            state((0, 2))


@pytest.mark.parametrize("shard", [(2, 2), (-1, 2), (0, 0), (0.5, 2), 1, "0/2", (0, 1, 2)])
def test_a_shard_that_is_none_is_refused(shard, mmc_model, images, tmp_path):
    """Fails if a wrong number passes, as the whole set or as none of it."""
    with pytest.raises(ValueError, match=r"0 <= i < n.*received"):
        audit_shard(mmc_model, *images, EPS, shard=shard, state_directory=tmp_path / "state")
    assert not list(tmp_path.iterdir())


def test_a_black_box_is_not_divided(mmc_model, images, tmp_path):
    """Fails if queries are counted twice, or shards train different substitutes."""
    calls = []

    def answer(x):
        calls.append(1)
        return np.eye(10)[np.zeros(len(x), int)]

    for model in (mmc_model, answer):
        with pytest.raises(ValueError, match=r"A black box is audited in one process.*substitute"):
            options = {"shard": (0, 2), "state_directory": tmp_path}
            audit_shard(model, *images, EPS, "black_box", **options)
    assert not calls


def test_more_shards_than_images(mmc_model, images, tmp_path):
    """Fails if a shard without images is an error."""
    x, y = images
    options = {"shard": (3, 5), "state_directory": tmp_path, "verbose": 0}
    done = audit_shard(mmc_model, x[:2], y[:2], EPS, SUITE, **options)
    assert done == FinishedShard((3, 5), 0, dict.fromkeys([*TRIALS, *ATTACKS], 0), {})

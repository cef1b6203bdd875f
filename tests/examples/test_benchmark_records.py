"""What benchmarks record is what they print, and what the pages of results read."""

import importlib
import json

import keras
import pytest

from tests.conftest import ROOT

BENCHMARKS = ROOT / "benchmarks"


@pytest.fixture(scope="module")
def module():
    """A module of benchmarks by name."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(BENCHMARKS)
        yield importlib.import_module


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    """A network for digits, where `keras-mmc train` would have left it."""
    folder = tmp_path_factory.mktemp("run") / "softmax"
    folder.mkdir()
    layers = [keras.layers.Flatten(), keras.layers.Dense(10)]
    keras.Sequential([keras.Input((8, 8, 1)), *layers]).save(folder / "model.keras")
    flags = "# Flags\n--dataset=digits\n--nohelp\n--loss=mmc\n--defense=none\n--attack_steps=10\n"
    (folder.parent / "flags.txt").write_text(flags, encoding="utf-8")
    return folder / "model.keras"


def test_every_benchmark_has_a_reader(module):
    """Fails if a benchmark cannot be recorded, or its record cannot be shown."""
    readers = module("readers.every").BENCHMARKS
    scripts = {
        path.stem: path.read_text(encoding="utf-8")
        for path in BENCHMARKS.glob("*.py")
        if path.stem not in ("recording", "auto_attack_torch")
    }
    assert scripts.keys() | {"accelerator"} == readers.keys()
    for name, text in scripts.items():
        assert f'recording.report("{name}"' in text


@pytest.mark.parametrize("name", ["step_cost", "attack_cost", "audit_memory"])
def test_the_record_is_what_was_printed(name, module, network, run_script, tmp_path):
    """Fails if a record lacks what its reader needs or says how it came about, or is no file."""
    flags = ["--batch_size=4"]
    if name == "step_cost":
        flags += ["--steps=1", "--rounds=3"]
    else:
        flags += [f"--model={network}", "--dataset=digits", "--eps=0.1", "--num_images=8"]
        flags += ["--steps=4", "--rounds=2"] if name == "attack_cost" else ["--suite=quick"]
    path = tmp_path / "record.json"
    done = run_script(f"benchmarks/{name}.py", f"--record={path}", *flags)
    assert done.returncode == 0, done.stderr[-3000:]
    assert list(tmp_path.iterdir()) == [path]
    record = json.loads(path.read_text(encoding="utf-8"))
    readers = module("readers")
    benchmark = module("readers.every").BENCHMARKS[name]
    assert readers.pages.markdown(benchmark.tables(record)) in done.stdout
    assert benchmark.conclusion({"run": record}) and benchmark.facts(record)
    assert record["name"] == name and record["batch_size"] == 4
    assert f"python benchmarks/{name}.py" in record["command"]
    assert "--batch_size=4" in record["command"] and "record" not in record["command"]
    for key in ("cpu_seconds", "versions", "commit", "processor"):
        assert record[key]
    if name == "step_cost":
        assert all(len(made["cpu_seconds"]) == 3 for made in record["contestants"].values())
    else:
        flags = {"dataset": "digits", "defense": "none", "loss": "softmax"}
        assert record["network_flags"] == flags


def test_medians_and_multiples_by_hand(module):
    """Fails if a median, a range or the pairing of rounds is wrong, or a missing library hidden."""
    figures = {"network": "n", "dataset": "mnist", "batch_size": 8, "steps": 1, "rounds": 3}
    figures |= {"eps": 0.1, "num_images": 100, "missing": ["ART (none)"]}
    made = {"plain": [0.1, 0.2, 0.4], "PGD-10": [0.5, 0.4, 1.2], "PGD-10 + EMR": [1.0, 1.2, 1.8]}
    contestants = {
        name: {"cpu_seconds": values, "robust_accuracy": 0.5} for name, values in made.items()
    }
    reader = module("readers.training_cost").READER
    (table,) = reader.tables(figures | {"contestants": contestants})
    assert table.rows == (
        ("plain", "200 (100 to 400)", "1.00 (1.00 to 1.00)", "50 %"),
        ("PGD-10", "500 (400 to 1,200)", "3.00 (2.00 to 5.00)", "50 %"),
        ("PGD-10 + EMR", "1,200 (1,000 to 1,800)", "6.00 (4.50 to 10.00)", "50 %"),
        ("PGD-10 + EMR over PGD-10", "", "2.00 (1.50 to 3.00)", ""),
    )
    assert "Not installed: ART (none)." in table.note
    (first, second) = (contestants[name] | {"clean_accuracy": 0.9} for name in ("plain", "PGD-10"))
    mixed = {"float32": first, "mixed_bfloat16": second}
    mixed = figures | {"contestants": mixed, "bfloat16_instructions": False, "seed": 0}
    reader = module("readers.mixed_precision").READER
    (table,) = reader.tables(mixed | {"train_images": 6400})
    assert table.rows[1][1:3] == ("0.5 (0.4 to 1.2)", "3.00 (2.00 to 5.00)")
    assert "3.00 (without bfloat16 instructions)" in reader.conclusion({"run": mixed})


def test_auto_attack_by_hand(module):
    """Fails if libraries or attacks change places, or the clean pass is counted as an attack."""
    rows = {"clean": {"accuracy": 0.9}, "square": {"accuracy": 0.25, "cpu_seconds": 2.0}}
    theirs = rows | {"square": {"accuracy": 0.5, "cpu_seconds": 3.0}}
    record = {"dataset": "mnist", "eps": 0.3, "num_images": 4, "batch_size": 2, "seed": 0}
    record |= {"contestants": {"a": rows, "b": theirs}, "versions_there": {"torch": "2"}}
    reader = module("readers.auto_attack").READER
    (table,) = reader.tables(record)
    assert table.rows == (
        ("clean", "90.00 %", "90.00 %"),
        ("square", "25.00 %", "50.00 %"),
        ("CPU s of all", "2", "3"),
    )
    assert "torch 2" in table.note
    assert "r: a 25.00 % in 2 CPU s, b 50.00 % in 3 CPU s" in reader.conclusion({"r": record})


def test_inner_objective_by_hand(module):
    """Fails if a seed is lost, or the conclusion praises the margin where it is not the best."""
    values = {("MMC", "margin"): (0.6, 0.5), ("MMC", "cross_entropy"): (0.7, 0.5)}
    values |= {("softmax", "margin"): (0.6, 0.4), ("softmax", "training_loss"): (0.4, 0.4)}
    runs = [
        {"loss": loss, "objective": objective, "clean_accuracy": 0.9, "robust_accuracy": value}
        for (loss, objective), pair in values.items()
        for value in pair
    ]
    record = {"network": "n", "dataset": "digits", "epochs": 1, "steps": 5, "eps": 0.15}
    record |= {"num_images": 360, "runs": runs}
    reader = module("readers.inner_objective").READER
    (table,) = reader.tables(record)
    assert table.rows == (
        ("MMC", "55.00 (60.00, 50.00)", "-", "60.00 (70.00, 50.00)"),
        ("softmax", "50.00 (60.00, 40.00)", "40.00 (40.00, 40.00)", "-"),
    )
    said = reader.conclusion({"run": record})
    assert "best objective for 1 of 2 losses, and behind the best for MMC by 5.00 points." in said


def test_versions_of_libraries_that_are_there(module):
    """Fails if a record stops, or lies, where a library to compare with is not installed."""
    versions = module("readers").records.environment("pytest", "never-installed")["versions"]
    assert versions["pytest"] == pytest.__version__ and "never-installed" not in versions


def test_what_shards_save_by_hand(module):
    """Fails if the merge is not part of the time of shards, or rounds are not paired."""
    reader = module("readers.sharded_audit")
    seconds = {"one process": [90.0, 60.0, 80.0], "shards": [40.0, 20.0, 30.0]}
    record = {
        **{"suite": "quick", "dataset": "mnist", "eps": 0.3, "num_images": 1000, "batch_size": 8},
        **{"seed": 0, "shards": 2, "cores": 4, "load_before": 0.125},
        "wall_seconds": seconds | {"merge": [5.0, 10.0, 10.0]},
        "accuracy": {"clean": 0.5, "robust": 0.25},
    }
    (table,) = reader.tables(record)
    cells = dict(table.rows)
    assert cells["2 shards and their merge"] == "40.0 (30.0 to 45.0) s"
    assert cells["one process takes"] == "2.00 (2.00 to 2.00) times as long"
    assert cells["robust accuracy"] == "25.00 %" and "3 rounds on 4 cores" in table.note
    assert "2.00 times as long as 2 shards" in reader.conclusion({"run": record})

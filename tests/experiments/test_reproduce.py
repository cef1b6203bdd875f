"""The experiments of the papers: they run, go on where they stood, and their tables are true."""

import html
import importlib
import json
import re

import numpy as np
import pytest

from keras_mmc.experiments import MODULES, base, jobs, load, pages, records, summaries


@pytest.fixture(scope="module")
def experiments():
    """Every experiment by name."""
    return {name: load(name) for name in MODULES}


def test_every_budget_has_jobs(experiments):
    """Fails if an experiment has no runs for a budget, or two runs share a directory."""
    found = (importlib.import_module(f"keras_mmc.experiments.{m}") for m in MODULES.values())
    assert {name for module in found for name in module.EXPERIMENTS} == experiments.keys()
    for name, experiment in experiments.items():
        assert experiment.name == name
        for budget in ("smoke", "cpu", "full"):
            jobs = experiment.jobs(budget)
            assert jobs and all(re.fullmatch(r"[A-Za-z0-9.-]+", job) for job in jobs)
        assert len(experiment.jobs("smoke")) <= 3 * len(experiment.jobs("full"))


@pytest.mark.parametrize(
    "name",
    [
        *("gce_mnist", "mmc_mnist", "mmc_depth", "differential_margin"),
        "differential_cifar10",
        *("emr_feedforward", "shootout_fashion"),
    ],
)
def test_a_rehearsal(name, experiments, run_script, tmp_path):
    """Fails if an experiment of a family does not run to its page, or a record lacks what it is."""
    flags = (f"--experiment={name}", f"--output_dir={tmp_path}")
    done = run_script("reproduce", *flags)
    assert done.returncode == 0, done.stderr[-3000:]
    place = tmp_path / "smoke" / name
    paths = {job: place / job / "record.json" for job in experiments[name].jobs("smoke")}
    assert set(place.glob("*/record.json")) == set(paths.values())
    found = {job: json.loads(path.read_text(encoding="utf-8")) for job, path in paths.items()}
    for job, record in found.items():
        assert record["name"] == f"{name}/{job}"
        assert record["command"] == (
            f"python examples/reproduce.py --experiment={name} --budget=smoke"
        )
        for key in ("authors", "venue", "versions", "commit", "cpu_seconds", "processor"):
            assert key in record
    assert "This was a rehearsal" in done.stdout
    page = (place / "index.html").read_text(encoding="utf-8")
    assert experiments[name].conclusion(found) in html.unescape(page)
    for picture in place.glob("*.png"):
        assert f'src="{picture.name}"' in page
    assert all((place / f"table1.{kind}").stat().st_size for kind in ("csv", "tex"))
    if name == "shootout_fashion":
        grid = found["softmax-rate"]["grid"]
        best = max(grid, key=lambda row: row["robust"])["rate"]
        assert len({row["rate"] for row in grid}) == 2
        assert found["softmax-AT-0"]["rate"] == pytest.approx(best)
    if name != "differential_margin":
        return
    for measured in found.values():
        assert measured["differential"]["margin"] == pytest.approx(measured["svm"], rel=1e-3)
        assert measured["cross-entropy"]["margin"] < 0.5 * measured["svm"]
    (place / "line" / "record.json").unlink()
    again = run_script("reproduce", *flags)
    assert "1 of 2: line" in again.stdout and "2 of 2" not in again.stdout
    same = json.loads((place / "line" / "record.json").read_text())
    assert same["differential"] == found["line"]["differential"]


def record(method, seed, robust, clean=0.9, **trials):
    """A record as jobs leave them."""
    rows = [{"name": name, "eps": 0.1, "accuracy": value} for name, value in trials.items()]
    standard = [{"eps": 0.1, "suite": "standard", "naive": 0.8, "robust": robust}]
    return {"method": method, "seed": seed, "clean_acc": clean, "num_images": 100} | {
        "protocol": rows,
        "standard": standard,
    }


def test_tables_set_published_beside_measured():
    """Fails if a figure of the paper or a measured one is in another cell, or missing."""
    records = {
        "a-0": record("a", 0, 0.1, fgsm=0.5, own=0.25),
        "a-1": record("a", 1, 0.3, fgsm=0.7, own=0.35),
        "b-0": record("b", 0, 0.2, fgsm=0.6, own=0.125),
    }
    published = {("fgsm", 0.1): {"a": 78.32}, ("never run", 0.1): {"a": 1.0}}
    first, second = jobs.paper_tables(published, records)
    assert first.header == ("attack, eps", "a: paper", "a", "b")
    assert first.rows == (
        ("fgsm, 0.1", "78.32", "60.00 (50.0 to 70.0)", "60.00"),
        ("own, 0.1", "-", "30.00 (25.0 to 35.0)", "12.50"),
    )
    assert second.rows[0] == ("clean", "90.00 (90.0 to 90.0)", "90.00")
    assert second.rows[-1] == ("AutoAttack, 0.1", "20.00 (10.0 to 30.0)", "20.00")
    assert "mean and range over 1 to 2 seeds each" in first.note
    assert second.note.endswith("mean and range over 1 to 2 seeds each.")
    del records["a-1"]
    for table in jobs.paper_tables(published, records):
        assert "one seed each" in table.note and "mean" not in table.note
    records["a-1"] = record("a", 1, 0.3, fgsm=0.7, own=0.35)
    words = jobs.weak_and_strong("fgsm", records)
    assert "a leads with 60.00" in words and "b 20.00" in words


def test_paired_difference_by_hand():
    """Fails if seeds are not paired, or the interval is not Student's."""
    ours = [record("a", seed, value) for seed, value in enumerate((0.50, 0.56, 0.62))]
    theirs = [record("b", seed, value) for seed, value in enumerate((0.48, 0.56, 0.58))]
    mean, low, high = summaries.paired_difference(ours, theirs[::-1], 0.1)
    differences = np.array([0.02, 0.0, 0.04])
    reach = 4.302652729749464 * differences.std(ddof=1) / 3**0.5  # of 2 degrees of freedom
    np.testing.assert_allclose([mean, low, high], [0.02, 0.02 - reach, 0.02 + reach], rtol=1e-9)
    assert summaries.paired_difference(ours[:1], theirs, 0.1)[1:] == (-np.inf, np.inf)


def test_pages_escape_what_they_show():
    """Fails if a text breaks a table of a format."""
    table = base.Table("T", ("x, %", "a_b"), (("<1>", "2 & 3"),), "note")
    assert pages.comma_separated(table) == '"x, %",a_b\n<1>,2 & 3\n'
    assert r"x, \% & a\_b \\" in pages.latex(table) and r"<1> & 2 \& 3 \\" in pages.latex(table)
    assert "| x, % | a_b |\n|---|---|\n| <1> | 2 & 3 |" in pages.markdown([table])
    paper = base.Paper("A & B", "<T>", "ICLR", "arXiv")
    experiment = base.Experiment("e", paper, "Why?", dict, list, str)
    page = pages.html(experiment, [table], "<true>", ["a b.png"])
    for part in (
        "A &amp; B, <i>&lt;T&gt;</i>",
        "&lt;true&gt;",
        '<img src="a b.png"',
        "<p>note</p>",
    ):
        assert part in page
    assert "<th>x, %</th><th>a_b</th>" in page and "<td>&lt;1&gt;</td><td>2 &amp; 3</td>" in page


def test_a_record_is_whole_or_absent(tmp_path):
    """Fails if NaN or half a record can be read as a result."""
    assert records.read(tmp_path) is None
    with pytest.raises(ValueError, match=r"Out of range float"):
        records.write(tmp_path, {"value": float("nan")})
    assert list(tmp_path.iterdir()) == []
    records.write(tmp_path, {"value": np.float32(0.5), "list": np.arange(2)})
    assert records.read(tmp_path) == {"value": 0.5, "list": [0, 1]}

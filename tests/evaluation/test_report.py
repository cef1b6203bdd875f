"""A report by itself: read back, by class, and as a record of RobustBench."""

import dataclasses
import json

import numpy as np
import pytest

from keras_mmc.attacks import AutoAttack
from keras_mmc.evaluation import AttackRow, AuditReport


@pytest.mark.parametrize("changes", [{}, {"class_names": None, "command": None, "trials": ()}])
def test_a_saved_report_comes_back(changes, report_of, tmp_path):
    """Fails if a field is not written, or comes back in another type or dtype."""
    report = report_of(**changes)
    again = AuditReport.load(report.save(tmp_path / "report"))
    assert again == report
    for field in dataclasses.fields(AuditReport):
        here, there = getattr(report, field.name), getattr(again, field.name)
        if isinstance(here, np.ndarray):
            assert here.dtype == there.dtype
            np.testing.assert_array_equal(here, there)
        else:
            assert type(here) is type(there) and here == there, field.name
    assert again.rows[0].__class__ is AttackRow and again.robust_accuracy == 2 / 6


@pytest.mark.parametrize(
    "changes",
    [{"eps": 0.2}, {"broken_by": (None,) * 6}, {"labels": np.zeros(6, "int32")}, {"x": np.ones(6)}],
)
def test_other_reports_are_not_equal(changes, report_of):
    """Fails if `==` passes over a field."""
    report = report_of()
    assert report == report_of()
    assert report != dataclasses.replace(report, **changes)
    assert report != "report"


def test_reports_that_cannot_be_read(report_of, tmp_path):
    """Fails if half a report, a damaged one or one of another version ends in a traceback."""
    with pytest.raises(FileNotFoundError, match=r"no report\.json and no adversarial\.npz"):
        AuditReport.load(tmp_path)
    path = report_of().save(tmp_path / "report")
    facts = json.loads((path / "report.json").read_text())
    del facts["model_name"]
    (path / "report.json").write_text(json.dumps(facts))
    with pytest.raises(ValueError, match=r"lacks 'model_name'.*by keras_mmc 0\.2\.0.*audit again"):
        AuditReport.load(path)
    (path / "report.json").write_text(json.dumps(facts | {"model_name": "net"}))
    np.savez(path / "adversarial.npz", x_adv=np.zeros(2))  # what 0.1.0 wrote
    with pytest.raises(ValueError, match="lacks 'x'"):
        AuditReport.load(path)
    for name in ("adversarial.npz", "report.json"):
        (path / name).write_bytes(b"half")
        with pytest.raises(ValueError, match=f"{name} is damaged"):
            AuditReport.load(path)


def test_classes_by_hand(report_of):
    """Fails if an image counts in another class, or one that was never right counts as broken."""
    report = report_of(
        # A cat that stands, two broken into ships, one into a dog; a dog that gives NaN; a ship
        # misclassified as it is.
        labels=(0, 0, 0, 0, 1, 2),
        predictions=(0, 2, 1, 2, -1, 0),
        broken_by=(None, "pgd", "pgd", "naive", "naive", "clean"),
    )
    cat, dog, ship = report.per_class().rows
    assert (cat.name, cat.count, cat.clean_accuracy, cat.robust_accuracy) == ("cat", 4, 1.0, 0.25)
    assert (cat.broken_into, cat.broken_into_count) == ("ship", 2)
    assert (dog.broken_into, dog.broken_into_count) == ("NaN scores", 1)
    assert (ship.clean_accuracy, ship.broken_into, ship.broken_into_count) == (0.0, None, 0)
    lines = str(report.per_class()).splitlines()
    assert lines[2].split() == ["cat", "4", "100.00", "%", "25.00", "%", "ship", "2"]
    assert lines[4].split() == ["ship", "1", "0.00", "%", "0.00", "%"]
    unnamed = dataclasses.replace(report, class_names=None).per_class()
    assert [row.name for row in unnamed.rows] == ["0", "1", "2"]
    assert unnamed.rows[0].broken_into == "2"


def test_equal_counts_take_the_lowest_class(report_of):
    """Fails if the class that most images become depends on their order."""
    changes = {"labels": (0, 0), "predictions": (2, 1), "broken_by": ("pgd", "pgd")}
    assert report_of(**changes).per_class().rows[0].broken_into == "dog"


def test_a_record_of_robustbench(report_of):
    """Fails if a key, a unit or a claim of AutoAttack is not what RobustBench holds."""
    record = report_of(eps=8 / 255).to_robustbench(name="A paper", dataset="cifar10")
    assert json.loads(json.dumps(record)) == record
    # Of the six images one is misclassified as it is and two stand.
    measured = {"clean_acc": "83.33", "reported": "33.33", "eps": "8/255", "threat_model": "Linf"}
    assert measured.items() <= record.items()
    assert (record["name"], record["dataset"], record["authors"]) == ("A paper", "cifar10", None)
    assert record["unreliable"] is True and "6 images" in record["footnote"]
    assert "autoattack_acc" not in record
    assert report_of().to_robustbench(reported="62.5")["reported"] == "62.5"
    with pytest.raises(ValueError, match=r"knows no \['clean_acc', 'titel'\]"):
        report_of().to_robustbench(titel="A paper", clean_acc="99")


@pytest.mark.parametrize(
    ("eps", "box", "norm", "text"),
    [
        (8 / 255, (0.0, 1.0), "linf", "8/255"),
        (8.0, (0.0, 255.0), "linf", "8/255"),
        (float(np.float32(4 / 255)), (0.0, 1.0), "linf", "4/255"),
        (0.2, (0.0, 1.0), "linf", "0.2"),  # which is 51/255
        (0.5, (0.0, 1.0), "l2", "0.5"),
    ],
)
def test_radii_as_people_write_them(eps, box, norm, text, report_of):
    """Fails if a leaderboard shows 0.03137 or a radius in other units."""
    record = report_of(eps=eps, box=box, norm=norm).to_robustbench()
    assert record["eps"] == text
    assert record["threat_model"] == {"linf": "Linf", "l2": "L2"}[norm]


def test_autoattack_is_claimed_only_where_it_ran(report_of):
    """Fails if a weaker suite, or one with an attack that failed, is reported as AutoAttack."""
    report = report_of()
    published = AutoAttack(0.1).attacks(10)[0]
    rows = [AttackRow(name, repr(attack), 0.25, 1.0, 2) for name, attack in published.items()]
    whole = dataclasses.replace(report, rows=(report.rows[0], *rows))
    assert whole.to_robustbench()["autoattack_acc"] == "25.00"
    three_classes = AutoAttack(0.1).attacks(3)[0]
    other = dataclasses.replace(rows[1], parameters=repr(three_classes["apgd-t"]))
    failed = dataclasses.replace(rows[3], error="ValueError: no images")
    for changed in (rows[:3], [rows[0], other, *rows[2:]], [*rows[:3], failed]):
        short = dataclasses.replace(report, rows=(report.rows[0], *changed))
        assert "autoattack_acc" not in short.to_robustbench()

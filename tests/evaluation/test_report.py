"""What a report is besides the audit: read back, by class, as a record, merged and compared."""

import dataclasses
import json

import numpy as np
import pytest

from keras_mmc.evaluation import AttackRow, AuditReport, Diagnostic, TrialRow

NAMES = ("cat", "dog", "ship")


def report_of(
    labels=(0, 0, 1, 1, 2, 2),
    predictions=(0, 2, 1, 2, 0, 0),
    broken_by=(None, "pgd", None, "naive", "clean", "pgd"),
    offset=0.0,
    **changes,
):
    """A report of images `(N, 2, 2, 1)` and two attacks, whose figures follow from `broken_by`."""
    x = np.random.default_rng(0).uniform(size=(len(labels), 2, 2, 1)).astype("float32") + offset
    count, standing = len(labels), len(labels) - broken_by.count("clean")
    rows = []
    for name in ("naive", "pgd"):
        attacked, standing = standing, standing - broken_by.count(name)
        rows.append(AttackRow(name, f"{name.upper()}(0.1)", standing / count, 1.5, attacked))
    fields = {
        "suite": "own",
        "eps": 0.1,
        "norm": "linf",
        "box": (0.0, 1.0),
        "seed": 3,
        "batch_size": 4,
        "versions": {"keras_mmc": "0.2.0", "keras": "3.99"},
        "digests": {"images": f"i{offset}", "labels": "l", "model": "m", "substitute": None},
        "num_images": count,
        "clean_accuracy": 1 - broken_by.count("clean") / count,
        "naive_accuracy": rows[0].accuracy,
        "rows": tuple(rows),
        "trials": (TrialRow("fgsm", "FGSM(0.1)", "a paper", count, 4, 0.5, 0.25, 0.125, 2.5),),
        "diagnostics": {
            "naive_minus_best": Diagnostic({"naive": 0.5}, "Masked.", "masked gradients"),
            "accuracy_against_eps": Diagnostic({"eps": [0.0, 0.1], "accuracy": [0.9, 0.1]}),
        },
        "notes": ("A note.", "Another."),
        "x": x,
        "labels": np.array(labels, "int32"),
        "x_adv": x + np.float32(0.05),
        "predictions": np.array(predictions),
        "broken_by": tuple(broken_by),
        "class_names": NAMES,
        "model_name": "net",
        "date": "2030-01-02T03:04:05+00:00",
        "command": "audit.py --eps=0.1",
    }
    return AuditReport(**(fields | changes))


@pytest.mark.parametrize("changes", [{}, {"class_names": None, "command": None, "trials": ()}])
def test_a_saved_report_comes_back(changes, tmp_path):
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
def test_other_reports_are_not_equal(changes):
    """Fails if `==` passes over a field."""
    report = report_of()
    assert report == report_of()
    assert report != dataclasses.replace(report, **changes)
    assert report != "report"


def test_reports_that_cannot_be_read(tmp_path):
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

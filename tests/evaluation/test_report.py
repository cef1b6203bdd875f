"""A report on disk: read back as it was, or refused."""

import dataclasses
import json

import numpy as np
import pytest

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

"""A report on disk: read back as it was, or refused."""

import dataclasses
import json

import numpy as np
import pytest

from keras_mmc import _stored_arrays
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


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"eps": "0.1"}, r"`eps` must be float; received '0.1'"),
        ({"box": [0.0]}, r"`box` must be tuple\[float, float\]; received \[0.0\]"),
        ({"rows": [{"name": "pgd"}]}, "`rows` must be AttackRow"),
        ({"rows": []}, "0 attacks"),
        ({"versions": [1]}, "`versions` must be dict"),
        ({"diagnostics": {"a": 3}}, "`diagnostics.a` must be Diagnostic; received 3"),
        ({"broken_by": ["pgd"]}, "what broke 1 images"),
        ({"broken_by": ["evil"] * 6}, "names attacks that `rows` do not have"),
        ({"class_names": ["cat"]}, "class 2 is none of the 1 `class_names`"),
        ({"num_images": 10**9}, r"`x` must be of shape \(1000000000, 2, 2, 1\)"),
    ],
)
def test_facts_that_are_not_of_a_report(changes, message, report_of, tmp_path):
    """Fails if a report of somebody else ends in a traceback here, or in one later on."""
    path = report_of().save(tmp_path / "report")
    facts = json.loads((path / "report.json").read_text())
    (path / "report.json").write_text(json.dumps(facts | changes))
    with pytest.raises(ValueError, match=rf"report is damaged, or of something else: .*{message}"):
        AuditReport.load(path)


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        ("x", np.full((6, 2, 2, 1), np.nan, "float32"), "`x` must be finite"),
        ("x_adv", np.zeros((5, 2, 2, 1), "float32"), r"`x_adv` must be of shape \(6, 2, 2, 1\)"),
        ("labels", np.zeros(6), r"`labels` must be of shape \(6,\), integers; received float64"),
        ("predictions", np.full(6, -2), "`predictions` must be >= -1; received -2"),
        ("x", np.array([{}] * 6), "Python objects, which are never unpickled"),
    ],
)
def test_arrays_that_are_not_of_a_report(name, array, message, report_of, tmp_path):
    """Fails if arrays that do not fit are taken, objects are unpickled, or a bomb goes off."""
    path = report_of().save(tmp_path / "report")
    with np.load(path / "adversarial.npz") as stored:
        arrays = {**stored, name: array}
    np.savez_compressed(path / "adversarial.npz", **arrays)
    with pytest.raises(ValueError, match=message):
        AuditReport.load(path)


def test_an_archive_that_unpacks_to_too_much(report_of, tmp_path, monkeypatch):
    """Fails if a small file of zeros may take any amount of memory."""
    path = report_of().save(tmp_path / "report")
    monkeypatch.setattr(_stored_arrays, "_SMALL", 2**16)
    np.savez_compressed(path / "adversarial.npz", x=np.zeros(2**22))
    with pytest.raises(ValueError, match="more than 100 times as many"):
        AuditReport.load(path)


def test_facts_that_nest_without_end(report_of, tmp_path):
    """Fails if the depth of a file ends in a RecursionError."""
    path = report_of().save(tmp_path / "report")
    (path / "report.json").write_text("[" * 10**5)
    with pytest.raises(ValueError, match=r"report.json is damaged"):
        AuditReport.load(path)

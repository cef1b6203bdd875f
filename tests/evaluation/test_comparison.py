"""Audits side by side: paired differences by hand, and the formats of the table."""

import csv
import dataclasses
import io

import pytest

from keras_mmc.evaluation import compare


def standing(report_of, pattern, **changes):
    """A report in which attacks broke the images marked 0."""
    broken_by = tuple(None if mark == "1" else "pgd" for mark in pattern)
    count = len(pattern)
    made = report_of(labels=(0,) * count, predictions=(1,) * count, broken_by=broken_by)
    return dataclasses.replace(made, **({"diagnostics": {}} | changes))


def test_paired_difference_by_hand(report_of):
    """Fails if images are not paired, the sign is turned, or p is not that of McNemar."""
    first = standing(report_of, "1110000000")
    second = standing(report_of, "0011111100")
    comparison = compare([first, second], ["a", "b"])
    a, b = comparison.rows
    assert (a.difference, a.p_value) == (None, None)
    # Two images only the first withstands, five only the second: of 7 coins, 5 or more heads or
    # 2 or fewer, 2 * (1 + 7 + 21) of 128.
    assert b.difference == pytest.approx(3 / 10)
    assert b.p_value == pytest.approx(2 * 29 / 128)
    assert (b.num_images, b.robust_accuracy, b.interval) == (10, 0.6, second.interval)
    assert comparison.notes == ()
    line = str(comparison).splitlines()[3]
    assert line.split()[:2] == ["b", "10"] and line.endswith("+30.00 points  0.45")


def test_the_same_outcome_has_p_of_one(report_of):
    """Fails if no discordant image divides by zero."""
    same = compare([standing(report_of, "110"), standing(report_of, "110")])
    assert same.rows[1].p_value == 1.0 and same.rows[1].difference == 0.0
    assert [row.name for row in same.rows] == ["net-1", "net-2"]


def test_what_cannot_be_paired_is_said(report_of):
    """Fails if other images are paired, or other settings or masked gradients are passed over."""
    first = standing(report_of, "110")
    digests = first.digests | {"labels": "other"}
    other = standing(report_of, "011", digests=digests, eps=0.2, seed=9)
    masked = report_of(offset=0.5)
    comparison = compare([first, other, masked], ["a", "b", "c"])
    assert comparison.rows[1].difference is comparison.rows[1].p_value is None
    notes = " ".join(comparison.notes)
    assert "b was audited on other images than a" in notes
    assert "The audits differ in eps: a 0.1; b 0.2; c 0.1." in notes
    assert "c: there is evidence of masked gradients" in notes
    assert all(note in str(comparison) for note in comparison.notes)


def test_formats(report_of):
    """Fails if a figure of the CSV is rounded, or a name breaks LaTeX or HTML."""
    reports = [standing(report_of, "110"), standing(report_of, "010")]
    comparison = compare(reports, ["a & b_%", "<b>"])
    header, first, second = csv.reader(io.StringIO(comparison.to_csv()))
    assert dict(zip(header, second, strict=True))["robust"] == repr(1 / 3)
    assert first[0] == "a & b_%" and first[-1] == ""
    latex = comparison.to_latex()
    assert r"a \& b\_\% & 3 & 100.00 \% & " in latex and latex.startswith(
        r"\begin{tabular}{lrrrrrrrr}"
    )
    page = comparison._repr_html_()
    assert "&lt;b&gt;" in page and "<b>" not in page and page.count("<tr>") == 3


def test_refusals(report_of):
    """Fails if a comparison of nothing, or of nameless rows, is made."""
    report = report_of()
    for reports in ([], ["report"]):
        with pytest.raises(ValueError, match="must hold audits"):
            compare(reports)
    for names in (["a"], ["a", "a"], ["a", "b", "c"]):
        with pytest.raises(ValueError, match="2 different names"):
            compare([report, report], names)

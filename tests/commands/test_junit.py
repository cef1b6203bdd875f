"""Audits as JUnit XML: what continuous integration reads is what the report says."""

import dataclasses
from xml.etree import ElementTree

import pytest

from keras_mmc.commands import junit


@dataclasses.dataclass(frozen=True)
class Report:
    """What the file shows of an audit."""

    robust_accuracy: float
    text: str

    def __str__(self):
        return self.text


AUDITS = [
    junit.Audit(
        "a <b>", Report(0.25, "clean 90 %\nFinding (masked gradients): 5 < 6 & \x1b[0m"), 2
    ),
    junit.Audit("c", Report(0.5, "clean 80 %"), 1.5),
]


@pytest.mark.parametrize(("least", "failing"), [(None, []), (0.25, []), (0.3, ["a <b>"])])
def test_cases_and_failures(least, failing, tmp_path):
    """Fails if a model that is robust enough fails, a weak one passes, or a finding is lost."""
    path = tmp_path / "audit.xml"
    junit.write(path, AUDITS, least)
    assert list(tmp_path.iterdir()) == [path]
    [suite] = ElementTree.parse(path).getroot()
    assert (suite.get("tests"), suite.get("failures")) == ("2", str(len(failing)))
    assert float(suite.get("time")) == 3.5
    for case, audit in zip(suite, AUDITS, strict=True):
        assert case.get("name") == audit.name
        [said] = case
        assert said.tag == ("failure" if audit.name in failing else "system-out")
        assert said.text == audit.report.text.replace("\x1b", "")  # no XML holds that
    if failing:
        message = suite[0][0].get("message")
        assert message == "robust accuracy 25.00 % is below --min_robust=0.3 (30.00 %)"


def test_whole_or_absent(tmp_path, monkeypatch):
    """Fails if a writer that breaks off leaves a file, or spoils the one that was there."""
    path = tmp_path / "audit.xml"
    path.write_text("the one before")

    def broken(self, file, **_):
        file.write_text("<half")
        raise OSError("No space left on device")

    monkeypatch.setattr(ElementTree.ElementTree, "write", broken)
    with pytest.raises(OSError, match="No space left"):
        junit.write(path, AUDITS, None)
    assert [item.name for item in tmp_path.iterdir()] == ["audit.xml"]
    assert path.read_text() == "the one before"


def test_a_place_that_cannot_be_written(tmp_path):
    """Fails if an hour of attacks ends at a folder that does not exist."""
    for path in (tmp_path, tmp_path / "none" / "audit.xml"):
        with pytest.raises(OSError, match="a file in a folder that exists is needed"):
            junit.check_writable(path)
    junit.check_writable(tmp_path / "audit.xml")
    assert not list(tmp_path.iterdir())

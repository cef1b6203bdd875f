"""Audits as a JUnit file, which continuous integration shows as tests."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from keras_mmc import _files

if TYPE_CHECKING:
    from keras_mmc.evaluation import AuditReport

_FORBIDDEN = re.compile("[^\\t\\n\\r -\\ud7ff\\ue000-\\ufffd\\U00010000-\\U0010ffff]")  # in XML 1.0


@dataclasses.dataclass(frozen=True)
class Audit:
    """The audit of one model.

    Attributes:
        name: name of the model.
        report: what was found.
        seconds: wall time.
    """

    name: str
    report: AuditReport
    seconds: float

    def is_below(self, least: float | None) -> bool:
        """Whether the robust accuracy is below what is asked for, if anything is."""
        return least is not None and self.report.robust_accuracy < least

    def shortfall(self, least: float) -> str:
        """What is below what, in words."""
        robust = f"{100 * self.report.robust_accuracy:.2f} %"
        return f"robust accuracy {robust} is below --min_robust={least:g} ({100 * least:.2f} %)"


def check_writable(path: str | os.PathLike[str]) -> None:
    """Refuse a file that `write` could not write.

    Raises:
        OSError: if its directory does not exist or cannot be written, or a directory is there.
    """
    path = pathlib.Path(path)
    if path.is_dir() or not path.absolute().parent.is_dir():
        raise FileNotFoundError(
            f"{path} cannot be written: a file in a folder that exists is needed, such as "
            "--junit=audit.xml."
        )
    _files.check_writable(path.absolute().parent)


def write(path: str | os.PathLike[str], audits: Sequence[Audit], min_robust: float | None) -> None:
    """Write a test case for each audit, which fails below `min_robust`; all of it, or nothing.

    The text of a failure is that of the report: every number and every finding.
    """
    weak = [audit.is_below(min_robust) for audit in audits]
    counts = {"tests": str(len(audits)), "failures": str(sum(weak))}
    counts["time"] = f"{sum(audit.seconds for audit in audits):.3f}"
    root = ElementTree.Element("testsuites", counts)
    suite = ElementTree.SubElement(root, "testsuite", {"name": "keras_mmc audit", **counts})
    for audit, fails in zip(audits, weak, strict=True):
        about = {"classname": "keras_mmc.audit", "name": _allowed(audit.name)}
        case = ElementTree.SubElement(suite, "testcase", about | {"time": f"{audit.seconds:.3f}"})
        if fails and min_robust is not None:
            message = {"message": audit.shortfall(min_robust)}
            text = ElementTree.SubElement(case, "failure", message)
        else:
            text = ElementTree.SubElement(case, "system-out")
        text.text = _allowed(str(audit.report))
    path = pathlib.Path(path)
    partial = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with _files.replacing(path.absolute(), partial):
        ElementTree.ElementTree(root).write(partial, encoding="utf-8", xml_declaration=True)


def _allowed(text):
    return _FORBIDDEN.sub("", text)

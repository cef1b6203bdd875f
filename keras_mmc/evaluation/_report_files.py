"""The files of a report: what is written, and how it is read back."""

import dataclasses
import json
import pathlib
import zipfile
from collections.abc import Iterable
from typing import Any

import numpy as np

from keras_mmc._files import PathLike
from keras_mmc.evaluation.rows import AttackRow, Detection, Diagnostic, TrialRow

FACTS, PAGE, ARRAYS = "report.json", "report.html", "adversarial.npz"
ARRAY_FIELDS = ("x", "labels", "x_adv", "predictions")
_EXAMPLES = 9
_ROWS: dict[str, type] = {
    "rows": AttackRow,
    "trials": TrialRow,
    "detections": Detection,
}


def write_files(report: Any, directory: pathlib.Path) -> None:
    """Write facts, page and arrays of an `AuditReport`."""
    # Audits that are not saved do without the templates.
    from keras_mmc.plotting import audit_page

    facts = report.to_dict()
    (directory / FACTS).write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    page = audit_page(facts, _examples(report))
    (directory / PAGE).write_text(page, encoding="utf-8")
    arrays: dict[str, Any] = {name: getattr(report, name) for name in ARRAY_FIELDS}
    np.savez_compressed(directory / ARRAYS, **arrays)


def _examples(report):
    """The first images that an attack broke, as the page shows them."""
    broken = [i for i, name in enumerate(report.broken_by) if name not in (None, "clean")]
    return [
        {
            "row": i,
            "clean": report.x[i],
            "adversarial": report.x_adv[i],
            "label": int(report.labels[i]),
            "prediction": int(report.predictions[i]),
            "broken_by": report.broken_by[i],
        }
        for i in broken[:_EXAMPLES]
    ]


def read_fields(directory: PathLike, names: Iterable[str]) -> dict[str, Any]:
    """The fields of these names of the report in a directory, in their own types.

    Raises:
        FileNotFoundError: if a file of a report is not there.
        ValueError: if one is damaged, or was written by a version that left something out.
    """
    directory = pathlib.Path(directory)
    lacking = [file for file in (FACTS, ARRAYS) if not (directory / file).is_file()]
    if lacking:
        raise FileNotFoundError(
            f"{directory} holds no {' and no '.join(lacking)}. Pass the directory that "
            "`AuditReport.save` has written."
        )
    held = _read(directory / FACTS, _json) | _read(directory / ARRAYS, _npz)
    try:
        fields = {name: _typed(name, held[name]) for name in names}
    except KeyError as error:
        version = held.get("versions", {}).get("keras_mmc", "of an unknown version")
        raise ValueError(
            f"The report in {directory} lacks {error}: it was written by keras_mmc {version}, this "
            "is another version. Load it with that version, or audit again."
        ) from error
    return fields


def _read(path, reader):
    try:
        return reader(path)
    except (OSError, ValueError, EOFError, TypeError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} is damaged: {error}. Audit again.") from error


def _json(path):
    return dict(json.loads(path.read_text(encoding="utf-8")))


def _npz(path):
    with np.load(path) as stored:
        return dict(stored)


def _typed(name, value):
    """A value as the field of that name holds it: JSON knows no tuples and no classes."""
    if name in _ROWS:
        return tuple(_made(_ROWS[name], row) for row in value)
    if name == "diagnostics":
        return {key: _made(Diagnostic, check) for key, check in value.items()}
    return tuple(value) if isinstance(value, list) else value


def _made(kind, value):
    return kind(**{field.name: value[field.name] for field in dataclasses.fields(kind)})

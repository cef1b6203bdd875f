"""The files of a report: what is written, and how it is read back."""

import json
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from keras_mmc._files import PathLike
from keras_mmc._stored_arrays import read_npz
from keras_mmc._validation import shown
from keras_mmc.evaluation._typed import typed

FACTS, PAGE, ARRAYS = "report.json", "report.html", "adversarial.npz"
ARRAY_FIELDS = ("x", "labels", "x_adv", "predictions")
_EXAMPLES = 9


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


def read_fields(directory: PathLike, hints: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of the report in a directory, in their own types.

    Args:
        directory: where the files of a report are.
        hints: the annotations of the fields, by name.

    Raises:
        FileNotFoundError: if a file of a report is not there.
        ValueError: if one is damaged, holds something else, or was written by a version that left
            something out.
    """
    directory = pathlib.Path(directory)
    lacking = [file for file in (FACTS, ARRAYS) if not (directory / file).is_file()]
    if lacking:
        raise FileNotFoundError(
            f"{directory} holds no {' and no '.join(lacking)}. Pass the directory that "
            "`AuditReport.save` has written."
        )
    facts = _read(directory / FACTS, _json)
    held = facts | _read(directory / ARRAYS, lambda path: read_npz(path, ARRAY_FIELDS))
    missing = [name for name in hints if name not in held]
    if missing:
        versions = facts.get("versions")
        version = versions.get("keras_mmc") if isinstance(versions, dict) else None
        raise ValueError(
            f"The report in {directory} lacks {missing[0]!r}: it was written by keras_mmc "
            f"{version or 'of an unknown version'}, this is another version. Load it with that "
            "version, or audit again."
        )
    try:
        fields = {
            name: held[name] if name in ARRAY_FIELDS else typed(held[name], hint, name)
            for name, hint in hints.items()
        }
        _check_together(fields)
    except ValueError as error:
        raise ValueError(
            f"The report in {directory} is damaged, or of something else: {error}. Audit again."
        ) from error
    return fields


def _check_together(fields):
    """Refuses arrays that are not those of a report, and facts of other arrays."""
    count, x = fields["num_images"], fields["x"]
    names = [row.name for row in fields["rows"]]
    classes, known = fields["class_names"], {None, "clean", *names}
    highest = -1
    for name, kind, shape in (
        ("x", "f", (count, *x.shape[1:])),
        ("x_adv", "f", x.shape),
        ("labels", "iu", (count,)),
        ("predictions", "iu", (count,)),
    ):
        array = fields[name]
        if array.dtype.kind not in kind or array.shape != shape:
            raise ValueError(
                f"`{name}` must be of shape {shape}, {'floats' if kind == 'f' else 'integers'}; "
                f"received {array.dtype}, shape {array.shape}"
            )
        if kind == "f" and not np.isfinite(array).all():
            raise ValueError(f"`{name}` must be finite; received NaN or infinity")
        if kind == "iu" and count > 0:
            highest = max(highest, int(array.max()))
            least = 0 if name == "labels" else -1
            if int(array.min()) < least:
                raise ValueError(f"`{name}` must be >= {least}; received {array.min()}")
    if count < 1 or not names or len(fields["broken_by"]) != count:
        raise ValueError(
            f"it must be of one image and one attack at least; received {count} images, "
            f"{len(names)} attacks and what broke {len(fields['broken_by'])} images"
        )
    if not set(fields["broken_by"]) <= known:
        raise ValueError("`broken_by` names attacks that `rows` do not have")
    if classes is not None and highest >= len(classes):
        raise ValueError(f"class {highest} is none of the {len(classes)} `class_names`")


def _read(path, reader):
    try:
        return reader(path)
    except Exception as error:  # RecursionError of nested lists among them
        raise ValueError(f"{path} is damaged: {error}. Audit again.") from error


def _json(path):
    facts = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(facts, dict):
        raise ValueError(f"it must hold an object; received {shown(facts)}")
    return facts

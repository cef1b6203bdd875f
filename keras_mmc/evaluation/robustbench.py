"""An audit as a record of RobustBench."""

from typing import Any

from keras_mmc.attacks import AutoAttack

_METADATA = (
    "link",
    "name",
    "authors",
    "additional_data",
    "number_forward_passes",
    "dataset",
    "venue",
    "architecture",
    "reported",
    "footnote",
    "unreliable",
)
_THREAT_MODELS = {"linf": "Linf", "l2": "L2"}


def robustbench_record(report: Any, **metadata: Any) -> dict[str, Any]:
    """An `AuditReport` in RobustBench's keys; see `AuditReport.to_robustbench`."""
    unknown = sorted(set(metadata) - set(_METADATA))
    if unknown:
        raise ValueError(
            f"RobustBench knows no {unknown} that could be passed; pass any of {list(_METADATA)}. "
            "What the audit measured is taken from it."
        )
    robust = _percent(report.robust_accuracy)
    record = dict.fromkeys(_METADATA[:-3]) | {
        "threat_model": _THREAT_MODELS[report.norm],
        "eps": _radius(report.eps / (report.box[1] - report.box[0])),
        "clean_acc": _percent(report.clean_accuracy),
        "reported": robust,
        "footnote": f"Measured on {report.num_images} images by keras_mmc "
        f"{report.versions['keras_mmc']}, suite {report.suite!r}.",
        "unreliable": report.masked,
    }
    if _is_autoattack(report):
        record["autoattack_acc"] = robust
    return record | metadata


def _is_autoattack(report):
    """Whether the attacks after the naive control are AutoAttack's four, as published."""
    published, _ = AutoAttack(report.eps, report.norm, box=report.box).attacks(10)
    ran = {row.name: row.parameters for row in report.rows[1:] if row.error is None}
    return ran == {name: repr(attack) for name, attack in published.items()}


def _percent(fraction):
    return f"{100 * fraction:.2f}"


def _radius(eps):
    """As people write it, for pixels in [0, 1]: 0.5, or 8/255."""
    short, levels = f"{eps:.4g}", round(255 * eps)
    fits = abs(float(short) - eps) <= 1e-6 * eps or abs(levels / 255 - eps) > 1e-6 * eps
    return short if fits else f"{levels}/255"

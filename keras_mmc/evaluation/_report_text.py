"""A report as lines of text."""

from collections.abc import Iterator
from typing import Any

from keras_mmc.evaluation.rows import AttackRow, TrialRow


def report_text(report: Any) -> str:
    """An `AuditReport` as people read it in a terminal."""
    low, high = (100 * bound for bound in report.interval)
    width = max(len(row.name) for rows in (report.rows, report.trials) for row in rows)
    fired = [check for check in report.diagnostics.values() if check.fired]
    lines = (
        f"Audit '{report.suite}', {report.norm} eps {report.eps:.4g}, {report.num_images} images, "
        f"seed {report.seed}",
        *_trials(report.trials, width),
        f"  {'clean'.ljust(width)}  {100 * report.clean_accuracy:6.2f} %",
        *(f"  {row.name.ljust(width)}  {_attack(row)}" for row in report.rows),
        f"Robust accuracy {100 * report.robust_accuracy:.2f} % (95 % interval {low:.2f} to "
        f"{high:.2f}). Each line above is the robust accuracy after that attack and all before it.",
        *_rejection(report),
        *(f"Finding ({check.grade}): {check.finding}" for check in fired),
        *(f"Note: {text}" for text in report.notes),
    )
    return "\n".join(lines)


def _rejection(report: Any) -> Iterator[str]:
    if report.detections:
        clean, *attacked = report.detections
        suite, aware, both = (100 * found.correct_or_rejected for found in attacked)
        yield (
            f"Correct or rejected {both:.2f} %: {suite:.2f} % under the suite, {aware:.2f} % under "
            "an attack that knows the detector; for each image the stronger counts. Coverage "
            f"{100 * clean.coverage:.2f} %: so many of the clean images are accepted."
        )


def _trials(rows: tuple[TrialRow, ...], width: int) -> Iterator[str]:
    if rows:
        yield "The attacks of the paper, each on its own: robust accuracy under this attack alone."
    for row in rows:
        yield f"  {row.name.ljust(width)}  {_trial(row)}"
    if rows:
        yield "The standard attacks, each on the images that those before it left:"


def _attack(row: AttackRow) -> str:
    text = f"{100 * row.accuracy:6.2f} %  {row.seconds:8.1f} s"
    if row.error:
        return f"{text}  FAILED: {row.error}"
    if not row.attacked:
        return f"{text}  (no image was left to attack)"
    if row.queries is None:
        return text
    mean = row.queries / row.attacked
    return f"{text}  ({mean:.1f} queries per attacked image, at most {row.most_queries})"


def _trial(row: TrialRow) -> str:
    if row.error:
        return f"FAILED: {row.error}"
    if row.accuracy is None or row.success_rate is None:
        return f"attacked no image: the first {row.num_images} are misclassified as they are"
    size = "" if row.mean_l2 is None else f", mean L2 {row.mean_l2:.3g}"
    return (
        f"{100 * row.accuracy:6.2f} %  {row.seconds:8.1f} s  "
        f"({100 * row.success_rate:.2f} % of {row.attacked} attacked images broken{size})"
    )

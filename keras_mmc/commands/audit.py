r"""Measure how robust trained classifiers are, under weak and under strong attacks.

  keras-mmc audit --model=runs/train/mmc/model.keras --data=digits --eps=0.1
  keras-mmc audit --model=net.keras --data=photos --box=0,255 --eps=4 --min_robust=0.3 \
      --junit=audit.xml
  keras-mmc audit --model=net.tflite --data=digits --eps=0.1 --suite=black_box --queries=1000
  keras-mmc audit --model=mmc=runs/mnist/mmc/model.keras --model=runs/mnist/softmax/model.keras \
      --data=mnist --eps=0.3 --suite=adaptive --substitute=runs/mnist/softmax/model.keras \
      --num_images=500 --state_dir=runs/mnist_audit_state --output_dir=runs/mnist_audit
  keras-mmc audit --model=net.keras --data=cifar10 --eps=0.03 --state_dir=runs/state --shard=0/2

A model that `keras-mmc train` wrote has a model_card.md beside it: the figures are added there, and
as a record in RobustBench's keys to the folder robustbench.

Several models end in one table; each then has a folder of its own, by its name, in --output_dir and
in --state_dir. With --shard several processes share the work; the same command without it merges
what they have left in --state_dir, and reports. The exit code is 1 if a model is less robust than
--min_robust, and 2 after a mistake in the flags or files.
"""

from __future__ import annotations

import contextlib
import pathlib
import sys
import time
from typing import TYPE_CHECKING, Any

from absl import flags

import keras_mmc
from keras_mmc._choices import SUITES
from keras_mmc.commands import (
    evaluation_flags,
    image_flags,
    junit,
    model_card,
    saved_models,
    shard_flag,
)

if TYPE_CHECKING:
    import keras

    from keras_mmc.adapters import BlackBox
    from keras_mmc.evaluation import AuditReport

FLAGS = flags.FLAGS
flags.adopt_module_key_flags(evaluation_flags)  # so that --help shows them
flags.adopt_module_key_flags(shard_flag)
flags.DEFINE_multi_string(
    "model",
    None,
    "A .keras file, as path or name=path; may be given several times. With --suite=black_box also "
    "a SavedModel directory or a .tflite file.",
    required=True,
)
flags.DEFINE_enum(
    "suite",
    "quick",
    SUITES,
    "Suite of attacks; gce, mmc, differential and emr are the protocols of papers, then standard.",
)
flags.DEFINE_string(
    "substitute",
    None,
    "A second .keras file of the same classes: --suite=adaptive and mmc also try adversarial "
    "examples crafted on it.",
)
flags.DEFINE_integer(
    "queries",
    None,
    "Queries per image of Square and of RayS in --suite=black_box; 5000 if left out.",
    lower_bound=1,
)
flags.DEFINE_float(
    "min_robust",
    None,
    "Robust accuracy, from 0 to 1, that every model must have; else the exit code is 1.",
    lower_bound=0.0,
    upper_bound=1.0,
)
flags.DEFINE_string("junit", None, "JUnit XML file with a test case for each model.")
flags.DEFINE_boolean("progress", True, "Show progress bars.")
flags.DEFINE_string(
    "state_dir",
    None,
    "Directory for finished batches; the same command resumes from there.",
)
flags.DEFINE_string(
    "output_dir", None, "Directory for report.json, report.html and the adversarial examples."
)
flags.DEFINE_boolean("overwrite", False, "Replace an earlier report in --output_dir.")


def main() -> int:
    """Load, audit, print and save; returns the exit code."""
    paths, shard = saved_models.named_paths(FLAGS.model), shard_flag.shard()
    _check_places(paths)
    cards = {name: model_card.card_of(path) for name, path in paths.items()}
    models = {name: saved_models.load_any(path) for name, path in paths.items()}
    substitute = saved_models.load(FLAGS.substitute) if FLAGS.substitute else None
    if shard:
        for name, model in models.items():
            done = keras_mmc.evaluation.audit_shard(
                *_arguments(model), shard=shard, **_options(name, paths, substitute)
            )
            print(f"\n{paths[name]}: {done}", flush=True)
        return 0
    audits = []
    for name, model in models.items():
        began = time.perf_counter()
        report = _audited(name, paths, model, substitute)
        if card := cards[name]:
            _add_to_card(card, paths[name], report)
        audits.append(junit.Audit(name, report, time.perf_counter() - began))
    if len(audits) > 1:
        compared = keras_mmc.evaluation.compare(
            [audit.report for audit in audits], [audit.name for audit in audits]
        )
        print(f"\n{compared}")
    if FLAGS.junit:
        junit.write(FLAGS.junit, audits, FLAGS.min_robust)
    weak = [audit for audit in audits if audit.is_below(FLAGS.min_robust)]
    for audit in weak:
        print(f"{audit.name}: {audit.shortfall(FLAGS.min_robust)}", file=sys.stderr)
    return 1 if weak else 0


def _add_to_card(card: pathlib.Path, path: str, report: AuditReport) -> None:
    """Add an audit to the card beside the model; a card that cannot be written costs no report."""
    data = pathlib.Path(FLAGS.data).name
    images = evaluation_flags.described(report.num_images)
    try:
        record = model_card.add_audit(card, pathlib.Path(path).name, report, data, images)
    except (OSError, ValueError) as error:
        print(f"The model card is as it was: {error}", file=sys.stderr)
    else:
        print(f"Added to {card}, with the record {record}")


def _place(flag: str, name: str, paths: dict[str, str]) -> pathlib.Path | None:
    """The directory of a model in that of a flag, which is its own where it is the only one."""
    directory = FLAGS[flag].value
    if not directory:
        return None
    return pathlib.Path(directory, name) if len(paths) > 1 else pathlib.Path(directory)


def _check_places(paths):
    """Refuse what could not be written, before anything takes time."""
    for name in paths:
        output, state = _place("output_dir", name, paths), _place("state_dir", name, paths)
        if output:
            keras_mmc.evaluation.AuditReport.check_directory(output, FLAGS.overwrite, state)
    if FLAGS.junit:
        junit.check_writable(FLAGS.junit)


def _arguments(model: keras.Model | BlackBox) -> tuple[Any, ...]:
    """What an audit and a shard of it are about."""
    return model, evaluation_flags.test_images(model), None, FLAGS.eps, FLAGS.suite


def _options(name: str, paths: dict[str, str], substitute: keras.Model | None) -> dict[str, Any]:
    """The settings that an audit and a shard of it have in common."""
    return {
        "norm": FLAGS.norm,
        "box": image_flags.box(),
        "substitute": substitute,
        "batch_size": FLAGS.batch_size,
        "seed": FLAGS.seed,
        "state_directory": _place("state_dir", name, paths),
        "verbose": int(FLAGS.progress),
    }


def _audited(
    name: str, paths: dict[str, str], model: keras.Model | BlackBox, substitute: keras.Model | None
) -> AuditReport:
    """The report of one model, printed and saved."""
    report = None
    output, state = _place("output_dir", name, paths), _place("state_dir", name, paths)
    place: contextlib.AbstractContextManager = contextlib.nullcontext()
    if output:
        place = keras_mmc.evaluation.AuditReport.reserve(output, FLAGS.overwrite, state)
    try:
        with place as directory:
            options = _options(name, paths, substitute)
            report = keras_mmc.audit(*_arguments(model), queries=FLAGS.queries, **options)
            print(f"\n{paths[name]} on {evaluation_flags.described(report.num_images)}")
            print(report, flush=True)
            if directory:
                report.write(directory)
    except OSError as error:
        if report is None:
            raise
        kept = "With --state_dir the next audit can be saved without attacking again."
        if state:
            kept = (
                f"Its batches are kept in {state}: the same command with another "
                "--output_dir makes the report from them."
            )
        raise OSError(f"The report above could not be saved: {error}. {kept}") from error
    if output:
        print(f"Saved to {output}")
    return report

r"""Audit a trained .keras file: its robust accuracy under weak and under strong attacks.

python examples/audit.py --model=runs/train/mmc/model.keras --dataset=digits --eps=0.1
python examples/audit.py --model=runs/mnist/mmc/model.keras --dataset=mnist --eps=0.3 \
      --suite=adaptive --substitute=runs/mnist/softmax/model.keras --num_images=500 \
      --state_dir=runs/mnist_audit_state --output_dir=runs/mnist_audit
"""

import contextlib
import sys

import evaluation_flags
import keras
from absl import app, flags, logging

import keras_mmc

FLAGS = flags.FLAGS
flags.adopt_module_key_flags(evaluation_flags)  # so that --help shows them
flags.DEFINE_string("model", None, "A .keras file written by examples/train.py.", required=True)
flags.DEFINE_enum(
    "suite",
    "quick",
    list(keras_mmc.evaluation.SUITES),
    "Suite of attacks; gce, mmc, differential and emr are the protocols of papers, then standard.",
)
flags.DEFINE_string(
    "substitute",
    None,
    "A second .keras file of the same classes: --suite=adaptive and mmc also try adversarial "
    "examples crafted on it.",
)
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


def run_audit() -> keras_mmc.evaluation.AuditReport:
    """The audit that the flags ask for."""
    model = keras.models.load_model(FLAGS.model)
    substitute = keras.models.load_model(FLAGS.substitute) if FLAGS.substitute else None
    return keras_mmc.audit(
        model,
        *evaluation_flags.test_images(),
        FLAGS.eps,
        FLAGS.suite,
        norm=FLAGS.norm,
        substitute=substitute,
        batch_size=FLAGS.batch_size,
        seed=FLAGS.seed,
        state_directory=FLAGS.state_dir,
        verbose=int(FLAGS.progress),
    )


def main(argv: list[str]) -> None:
    """Load, audit, print and save."""
    if len(argv) > 1:
        raise app.UsageError(f"Unexpected arguments: {' '.join(argv[1:])}")
    report = None
    place: contextlib.AbstractContextManager = contextlib.nullcontext()
    if FLAGS.output_dir:
        place = keras_mmc.evaluation.AuditReport.reserve(
            FLAGS.output_dir, FLAGS.overwrite, FLAGS.state_dir
        )
    try:
        with place as directory:
            report = run_audit()
            print(
                f"\n{FLAGS.model} on the first {report.num_images} test images of {FLAGS.dataset}"
            )
            print(report, flush=True)
            if directory:
                report.write(directory)
    except OSError as error:
        if report is None:
            raise
        kept = "With --state_dir the next audit can be saved without attacking again."
        if FLAGS.state_dir:
            kept = (
                f"Its batches are kept in {FLAGS.state_dir}: the same command with another "
                "--output_dir makes the report from them."
            )
        sys.exit(f"The report above could not be saved: {error}. {kept}")
    if FLAGS.output_dir:
        print(f"Saved to {FLAGS.output_dir}")


if __name__ == "__main__":
    logging.set_verbosity(logging.WARNING)
    app.run(main)

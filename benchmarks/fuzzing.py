"""What the public functions, classes and files of the package make of input that nobody would pass.

    python benchmarks/fuzzing.py [--examples=10000]

It runs tests/test_fuzz.py with that many random examples, other ones in every run. An example that
ends in another error than a refusal, or in a value that should be finite and is not, fails it.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

import recording
from absl import app, flags

ROOT = pathlib.Path(__file__).parents[1]
FLAGS = flags.FLAGS
flags.DEFINE_integer("examples", 10_000, "Examples in all.", lower_bound=1)


def main(_) -> None:
    """Runs the test and reports its counts."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "counts.json"
        asked = {"KERAS_MMC_FUZZ_EXAMPLES": str(FLAGS.examples), "KERAS_MMC_FUZZ_RECORD": str(path)}
        program = [sys.executable, "-m", "pytest", "-q", "tests/test_fuzz.py"]
        if subprocess.run(program, cwd=ROOT, env=os.environ | asked).returncode:
            raise SystemExit("The fuzzing found what is printed above; nothing is recorded.")
        counts = json.loads(path.read_text(encoding="utf-8"))
    recording.report("fuzzing", {"counts": counts}, ("hypothesis", "scipy"))


if __name__ == "__main__":
    app.run(main)

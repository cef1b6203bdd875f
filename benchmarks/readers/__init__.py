"""What the records of benchmarks say, as tables; no flags here, so that all can be imported.

The parts of records and pages that benchmarks share with the experiments of the papers are those
in examples/experiments.
"""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "examples"))

from experiments import pages, records
from experiments.base import Table

__all__ = ["Table", "pages", "records"]

"""What the records of benchmarks say, as tables; no flags here, so that all can be imported.

The parts of records and pages that benchmarks share with the experiments of the papers are those
in keras_mmc.experiments.
"""

from keras_mmc.experiments import pages, records
from keras_mmc.experiments.base import Table

__all__ = ["Table", "pages", "records"]

"""Run an experiment of one of the papers, its figures beside the measured ones.

  keras-mmc reproduce --experiment=gce_mnist --budget=smoke    # shows that it works
  keras-mmc reproduce --experiment=gce_mnist --budget=cpu      # under 45 minutes, 2 cores
  keras-mmc reproduce --experiment=gce_mnist --budget=full     # the published recipe

Every run (a method and a seed) leaves record.json in <output_dir>/<budget>/<experiment>/<run>,
with its network. Interrupted and started again with the same flags, it goes on where it stood.
index.html there, tables.md and the tables as CSV and LaTeX are made of the records.
"""

import pathlib
import time

from absl import flags

from keras_mmc import _files, experiments
from keras_mmc._registration import register
from keras_mmc.experiments.base import BUDGETS, Experiment

FLAGS = flags.FLAGS
flags.DEFINE_enum("experiment", None, sorted(experiments.MODULES), "What to run.", required=True)
flags.DEFINE_enum(
    "budget",
    "smoke",
    BUDGETS,
    "smoke: a minute on digits, whose figures mean nothing; cpu: up to 45 minutes on 2 cores; "
    "full: the published recipe, for an accelerator.",
)
flags.DEFINE_string("output_dir", "runs/reproduce", "Directory of networks, records and pages.")


def run(experiment: Experiment, budget: str, directory: pathlib.Path) -> dict[str, dict]:
    """The records of all jobs, by name; those that are there already are not run again."""
    from keras_mmc.experiments import records  # imports Keras, which --help does not need

    found = {}
    jobs = experiment.jobs(budget)
    for number, (name, job) in enumerate(jobs.items(), 1):
        place = directory / name
        record = records.read(place)
        if record is None:
            place.mkdir(parents=True, exist_ok=True)
            print(f"{number} of {len(jobs)}: {name}", flush=True)
            began = time.process_time()
            record = {
                "name": f"{experiment.name}/{name}",
                "authors": experiment.paper.authors,
                "venue": experiment.paper.venue,
                "link": experiment.paper.link,
                "budget": budget,
                "command": f"python examples/reproduce.py --experiment={experiment.name} "
                f"--budget={budget}",
                **job(place),
                "cpu_seconds": time.process_time() - began,
                **records.environment(),
            }
            records.write(place, record)
        found[name] = record
    return found


def main() -> None:
    """Run what is missing, and make the page."""
    directory = pathlib.Path(FLAGS.output_dir) / FLAGS.budget / FLAGS.experiment
    _files.check_writable(directory)
    directory.mkdir(parents=True, exist_ok=True)
    register()  # jobs load what others have trained
    experiment = experiments.load(FLAGS.experiment)
    from keras_mmc.experiments import pages

    with _files.lock(directory, directory):
        found = run(experiment, FLAGS.budget, directory)
        tables = pages.write(experiment, found, directory)
    print(f"\n{pages.markdown(tables)}\n{experiment.conclusion(found)}\n")
    if FLAGS.budget == "smoke":
        print("This was a rehearsal: its figures mean nothing.")
    print(f"The page is {directory / 'index.html'}")

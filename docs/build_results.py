"""Write the pages of docs/results that hold the tables of experiments, from their records.

    python docs/build_results.py

A record is docs/results/records/<experiment>/<run>/record.json, as examples/reproduce.py left it.
"""

import json
import pathlib
import sys

ROOT = pathlib.Path(__file__).parents[1]
RESULTS = ROOT / "docs" / "results"
sys.path.insert(0, str(ROOT / "examples"))

from experiments import pages  # noqa: E402
from reproduce import EXPERIMENTS  # noqa: E402


def page(name: str) -> str:
    """The page of an experiment in Markdown."""
    experiment, found = EXPERIMENTS[name], {}
    for path in sorted((RESULTS / "records" / name).glob("*/record.json")):
        found[path.parent.name] = json.loads(path.read_text(encoding="utf-8"))
    # In the order in which the runs were made, as in the experiment.
    order = experiment.jobs(next(iter(found.values()))["budget"])
    found = {job: found[job] for job in order if job in found}
    tables = pages.markdown(experiment.tables(found))
    first = next(iter(found.values()))
    cpu = sum(record["cpu_seconds"] for record in found.values())
    facts = (
        f"`{first['command']}`, commit {first['commit']}, TensorFlow "
        f"{first['versions']['tensorflow']}, {first['processor']}; {cpu:.0f} CPU seconds for "
        f"{len(found)} of {len(order)} runs. Made by docs/build_results.py of the "
        f"[records](records/{name})."
    )
    source = f"{experiment.paper.authors}, *{experiment.paper.title}*, {experiment.paper.venue}"
    return (
        f"# {name}\n\n{experiment.question} After {source}, <{experiment.paper.link}>.\n\n"
        f"**{experiment.conclusion(found)}**\n\n{tables}\n{facts}\n"
    )


def main() -> None:
    """Write the page of every experiment that has records."""
    for directory in sorted((RESULTS / "records").iterdir()):
        (RESULTS / f"{directory.name}.md").write_text(page(directory.name), encoding="utf-8")


if __name__ == "__main__":
    main()

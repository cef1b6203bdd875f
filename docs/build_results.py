"""Write everything in docs/results that is not a record, from the records.

    python docs/build_results.py

Records are docs/results/records/<experiment>/<run>/record.json, as `keras-mmc reproduce` leaves
them, and docs/results/records/benchmarks/<benchmark>/<run>.json, as benchmarks write with --record.
"""

import json
import pathlib
import sys

ROOT = pathlib.Path(__file__).parents[1]
RESULTS = ROOT / "docs" / "results"
RECORDS = RESULTS / "records"
BENCHMARK_RECORDS = RECORDS / "benchmarks"
sys.path.insert(0, str(ROOT / "benchmarks"))

from readers.every import BENCHMARKS  # noqa: E402

from keras_mmc import experiments  # noqa: E402
from keras_mmc.experiments import pages  # noqa: E402

INDEX = """# Results

Every figure here is computed from a record, a JSON file that was written when a run ended.
docs/build_results.py writes all pages of this folder. A page names the commands, the commit and the
processor of its records. Cost is CPU time over all cores unless a page says otherwise. Other
programs on a machine lengthen CPU time too, where they share caches and cores: contestants take
turns, and ranges say how far rounds lie apart.

## Experiments of the papers

{experiments}

To measure one again, copy the records that `examples/reproduce.py` leaves into
`docs/results/records` and run `python docs/build_results.py`.

## Benchmarks

{benchmarks}

To measure one again, give the script a `--record` in `docs/results/records/benchmarks` and run
`python docs/build_results.py`; [benchmarks](../../benchmarks/README.md) says what each does.
"""


def read(path: pathlib.Path) -> dict:
    """A record."""
    return json.loads(path.read_text(encoding="utf-8"))


def experiment_records(name: str) -> dict[str, dict]:
    """The records of an experiment by run, in the order of the experiment."""
    found = {path.parent.name: read(path) for path in (RECORDS / name).glob("*/record.json")}
    order = experiments.load(name).jobs(next(iter(found.values()))["budget"])
    return {job: found[job] for job in order if job in found}


def benchmark_records(name: str) -> dict[str, dict]:
    """The records of a benchmark by run, sorted."""
    return {path.stem: read(path) for path in sorted((BENCHMARK_RECORDS / name).glob("*.json"))}


def experiment_page(name: str) -> str:
    """The page of an experiment in Markdown."""
    experiment, found = experiments.load(name), experiment_records(name)
    first = next(iter(found.values()))
    planned = len(experiment.jobs(first["budget"]))
    cpu = sum(record["cpu_seconds"] for record in found.values())
    facts = (
        f"`{first['command']}`, commit {first['commit']}, TensorFlow "
        f"{first['versions']['tensorflow']}, {first['processor']}; {cpu:.0f} CPU seconds for "
        f"{len(found)} of {planned} runs. Made by docs/build_results.py of the "
        f"[records](records/{name})."
    )
    source = f"{experiment.paper.authors}, *{experiment.paper.title}*, {experiment.paper.venue}"
    tables = pages.markdown(experiment.tables(found))
    return (
        f"# {name}\n\n{experiment.question} After {source}, <{experiment.paper.link}>.\n\n"
        f"**{experiment.conclusion(found)}**\n\n{tables}\n{facts}\n"
    )


def benchmark_page(name: str) -> str:
    """The page of a benchmark in Markdown: every record with its tables, and where it is from."""
    benchmark, found = BENCHMARKS[name], benchmark_records(name)
    parts = [
        f"# {name}",
        f"{benchmark.question} {benchmark.reading}",
        f"**{benchmark.conclusion(found)}**",
    ]
    for run, record in found.items():
        held = f"[this record](records/benchmarks/{name}/{run}.json)"
        parts += [pages.markdown(benchmark.tables(record)).strip()]
        parts += [f"{benchmark.facts(record)}. Made by docs/build_results.py of {held}."]
    return "\n\n".join(parts) + "\n"


def index(names: list[str], benchmarks: list[str]) -> str:
    """The page that names all others, each with its conclusion."""
    lines = {
        "experiments": [
            f"* [{name}]({name}.md): {experiments.load(name).conclusion(experiment_records(name))}"
            for name in names
        ],
        "benchmarks": [
            f"* [{name}]({name}.md): {BENCHMARKS[name].conclusion(benchmark_records(name))}"
            for name in benchmarks
        ],
    }
    return INDEX.format(**{part: "\n".join(found) for part, found in lines.items()})


def every_page() -> dict[str, str]:
    """The text of every page by the name of its file."""
    names = sorted({path.name for path in RECORDS.iterdir()} - {BENCHMARK_RECORDS.name})
    benchmarks = sorted(path.name for path in BENCHMARK_RECORDS.iterdir())
    found = {"README.md": index(names, benchmarks)}
    found |= {f"{name}.md": experiment_page(name) for name in names}
    return found | {f"{name}.md": benchmark_page(name) for name in benchmarks}


def main() -> None:
    """Write all pages."""
    for name, text in every_page().items():
        (RESULTS / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()

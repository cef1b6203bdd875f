"""docs/results holds records and what docs/build_results.py makes of them, and nothing else."""

import json

from tests.conftest import ROOT

RESULTS = ROOT / "docs" / "results"
CODE = """
import json, sys
sys.path.insert(0, "docs")
import build_results

print("pages", json.dumps(build_results.every_page()))
"""


def test_every_page_is_made_of_the_records(run_python):
    """Fails if a figure of docs/results was typed by hand, or a page is older than its records."""
    (line,) = (line for line in run_python(CODE).splitlines() if line.startswith("pages "))
    made = json.loads(line.partition(" ")[2])
    paths = [path for path in RESULTS.rglob("*") if path.is_file() and path.suffix != ".json"]
    held = {path.relative_to(RESULTS).as_posix(): path.read_text("utf-8") for path in paths}
    assert held.keys() == made.keys()
    for name, text in made.items():
        assert held[name] == text, name


def test_every_record_is_where_the_generator_reads_it():
    """Fails if a record lies where no page shows it."""
    for path in RESULTS.rglob("*.json"):
        first, *rest = path.relative_to(RESULTS).parts
        assert first == "records" and len(rest) == 3, path
        assert rest[0] == "benchmarks" or rest[2] == "record.json", path

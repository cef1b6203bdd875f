"""Pages of results: the same tables as HTML, Markdown, CSV and LaTeX."""

import csv
import io
import pathlib
from collections.abc import Iterable, Sequence

import jinja2

from keras_mmc.experiments.base import Experiment, Table

_PAGE = jinja2.Environment(
    loader=jinja2.FileSystemLoader(pathlib.Path(__file__).parent),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
)


def markdown(tables: Iterable[Table]) -> str:
    """Tables in Markdown, each under its heading."""
    return "\n".join(_markdown(table) for table in tables)


def _markdown(table):
    head = f"| {' | '.join(table.header)} |\n|{'---|' * len(table.header)}\n"
    body = "".join(f"| {' | '.join(row)} |\n" for row in table.rows)
    note = f"\n{table.note}\n" if table.note else ""
    return f"### {table.title}\n\n{head}{body}{note}"


def comma_separated(table: Table) -> str:
    """A table as CSV."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([table.header, *table.rows])
    return text.getvalue()


def latex(table: Table) -> str:
    """A table as LaTeX, for the package booktabs."""
    rows = [" & ".join(map(_escaped, row)) + r" \\" for row in (table.header, *table.rows)]
    columns = "l" + "r" * (len(table.header) - 1)
    lines = [
        rf"\begin{{tabular}}{{{columns}}}",
        r"\toprule",
        rows[0],
        r"\midrule",
        *rows[1:],
        r"\bottomrule",
        r"\end{tabular}",
    ]
    return "\n".join(lines) + "\n"


def _escaped(text):
    for sign in "&%_#$":
        text = text.replace(sign, rf"\{sign}")
    return text.replace("+-", r"$\pm$")


def html(
    experiment: Experiment, tables: Iterable[Table], truth: str, pictures: Sequence[str]
) -> str:
    """The page of an experiment; pictures are files beside it."""
    values = {"tables": list(tables), "truth": truth, "pictures": pictures}
    return _PAGE.get_template("page.html").render(experiment=experiment, **values)


def write(experiment: Experiment, records: dict[str, dict], directory: pathlib.Path) -> list[Table]:
    """Write tables, pictures and page of an experiment into a directory; returns the tables."""
    tables = list(experiment.tables(records))
    truth = experiment.conclusion(records)
    experiment.pictures(records, directory)
    pictures = sorted(path.name for path in directory.glob("*.png"))
    lines = [f"## {experiment.name}\n", experiment.question + "\n", truth + "\n"]
    (directory / "tables.md").write_text("\n".join(lines) + "\n" + markdown(tables), "utf-8")
    for number, table in enumerate(tables, 1):
        (directory / f"table{number}.csv").write_text(comma_separated(table), "utf-8")
        (directory / f"table{number}.tex").write_text(latex(table), "utf-8")
    page = html(experiment, tables, truth, pictures)
    (directory / "index.html").write_text(page, "utf-8")
    return tables

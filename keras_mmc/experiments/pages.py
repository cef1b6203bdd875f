"""Pages of results: the same tables as HTML, Markdown, CSV and LaTeX."""

import csv
import io
import pathlib
from collections.abc import Iterable, Sequence

from keras_mmc.experiments.base import Experiment, Table
from keras_mmc.plotting import _html

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #1b1f23; max-width: 70rem; margin: 2rem auto;
       padding: 0 1rem; }
table { border-collapse: collapse; margin: 1rem 0; }
th, td { padding: .25rem .8rem .25rem 0; border-bottom: 1px solid #d8dce0; text-align: right; }
th:first-child, td:first-child { text-align: left; }
img { max-width: 100%; } .facts { color: #57606a; }
.truth { border-left: 4px solid #1f4e79; background: #eef4fa; padding: .6rem .9rem; }
"""


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
    paper, escape = experiment.paper, _html.escape
    parts = [
        f"<h1>{escape(experiment.name)}</h1>",
        f'<p class="facts">{escape(paper.authors)}, <i>{escape(paper.title)}</i>, '
        f"{escape(paper.venue)}, {escape(paper.link)}</p>",
        f"<p>{escape(experiment.question)}</p>",
        f'<p class="truth">{escape(truth)}</p>',
    ]
    for table in tables:
        rows = [_html.table_row([escape(cell) for cell in row]) for row in table.rows]
        header = [escape(cell) for cell in table.header]
        parts += [f"<h2>{escape(table.title)}</h2>", _html.table(header, rows)]
        parts += [f"<p>{escape(table.note)}</p>"] if table.note else []
    parts += [f'<p><img src="{escape(name)}" alt="{escape(name)}"></p>' for name in pictures]
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f"<title>{escape(experiment.name)}</title><style>{_STYLE}</style></head>\n<body>\n"
        + "\n".join(parts)
        + "\n</body></html>\n"
    )


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

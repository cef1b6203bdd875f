"""Results that are a table: printed, as CSV, as LaTeX, and in a notebook."""

import csv
import dataclasses
import html
import io
from collections.abc import Callable, Iterable, Sequence
from typing import Any

_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    **{sign: rf"\{sign}" for sign in "&%_#${}"},
}


@dataclasses.dataclass(frozen=True)
class Column:
    """A column: its name, a value a row, and how people read a value; `None` is left empty."""

    name: str
    values: Sequence[Any]
    text: Callable[[Any], str] = str

    @property
    def texts(self) -> list[str]:
        """The values as people read them."""
        return ["" if value is None else self.text(value) for value in self.values]


class Tabular:
    """Base class of results that are a table; a subclass says the columns, a title and notes."""

    def _columns(self) -> Sequence[Column]:
        raise NotImplementedError

    def _title(self) -> str:
        raise NotImplementedError

    def _notes(self) -> Iterable[str]:
        return ()

    def __str__(self):
        columns = []
        for place, column in enumerate(self._columns()):
            cells = [column.name, *column.texts]
            width = max(map(len, cells))
            columns.append([c.rjust(width) if place else c.ljust(width) for c in cells])
        rows = ("  ".join(cells).rstrip() for cells in zip(*columns, strict=True))
        notes = (f"Note: {note}" for note in self._notes())
        return "\n".join((self._title(), *(f"  {row}" for row in rows), *notes))

    def to_csv(self) -> str:
        """The table as CSV with a header: fractions and counts as they are, nothing rounded."""
        columns, text = self._columns(), io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow([column.name for column in columns])
        writer.writerows(zip(*(column.values for column in columns), strict=True))
        return text.getvalue()

    def to_latex(self) -> str:
        """The table as LaTeX, for the package booktabs."""
        header, *rows = (
            " & ".join(map(_in_latex, cells)) + r" \\" for cells in _rows(self._columns())
        )
        lines = (
            rf"\begin{{tabular}}{{l{'r' * (len(self._columns()) - 1)}}}",
            r"\toprule",
            header,
            r"\midrule",
            *rows,
            r"\bottomrule",
            r"\end{tabular}",
        )
        return "\n".join(lines) + "\n"

    def _repr_html_(self):
        header, *rows = _rows(self._columns())
        notes = "".join(f"<p>{html.escape(note)}</p>" for note in self._notes())
        return (
            f"<table><caption>{html.escape(self._title())}</caption>"
            f"<thead>{_in_html('th', header)}</thead>"
            f"<tbody>{''.join(_in_html('td', row) for row in rows)}</tbody></table>{notes}"
        )


def percent(fraction: float) -> str:
    """A fraction as people read it."""
    return f"{100 * fraction:.2f} %"


def _rows(columns):
    """The names of the columns, then the rows as people read them."""
    return zip(*([column.name, *column.texts] for column in columns), strict=True)


def _in_latex(text):
    return "".join(_LATEX.get(sign, sign) for sign in text)


def _in_html(tag, cells):
    return f"<tr>{''.join(f'<{tag}>{html.escape(cell)}</{tag}>' for cell in cells)}</tr>"

"""Pieces of a page in HTML."""

import html
from collections.abc import Iterable, Sequence


def table(header: Sequence[str], rows: Iterable[str], kind: str = "numbers") -> str:
    """A table of rows made by `table_row`; `kind` is its class."""
    return f'<table class="{kind}"><tr>{_cells("th", header)}</tr>\n' + "\n".join(rows) + "</table>"


def table_row(cells: Sequence[str], detail: str = "", marked: bool = False) -> str:
    """A row of cells in HTML; `detail`, plain text, becomes a line below, as wide as the table."""
    kind = ("marked " if marked else "") + ("above" if detail else "")
    row = f'<tr class="{kind}">{_cells("td", cells)}</tr>'
    if detail:
        code = f"<code>{escape(detail)}</code>"
        row += f'<tr class="detail"><td colspan="{len(cells)}">{code}</td></tr>'
    return row


def chart(address: str, title: str) -> str:
    """A picture in the width of the page."""
    return f'<img class="chart" src="{address}" alt="{escape(title)}">'


def percent(fraction: float) -> str:
    """A fraction as people write it."""
    return f"{100 * fraction:.2f} %"


def escape(value: object) -> str:
    """A value as text that cannot become markup."""
    return html.escape(str(value))


def _cells(tag, cells):
    return "".join(f"<{tag}>{cell}</{tag}>" for cell in cells)

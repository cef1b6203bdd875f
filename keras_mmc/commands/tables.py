"""Tables in a terminal."""

from collections.abc import Mapping, Sequence


def aligned(rows: Sequence[Mapping[str, str]]) -> str:
    """Rows of equal keys as text, in columns under their names."""
    widths = {key: max(len(key), *(len(row[key]) for row in rows)) for key in rows[0]}
    lines = [{key: key for key in widths}, *rows]
    return "\n".join(
        "  ".join(line[key].rjust(width) for key, width in widths.items()) for line in lines
    )

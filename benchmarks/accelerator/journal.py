"""The journal of a worker: a line of JSON when a piece begins, and one with what came of it."""

import json


def read(journal):
    """By the name of a piece what came of it; `None` while it runs."""
    lines = journal.read_text().splitlines(keepends=True) if journal.exists() else []
    return dict(json.loads(line) for line in lines if line.endswith("\n"))


def write(journal, piece, result):
    """Note that a piece begins, with `None`, or what came of it."""
    with journal.open("a") as file:
        file.write(json.dumps([piece, result], default=float) + "\n")

"""Tables: the same cells printed, as CSV, as LaTeX and as HTML."""

import pytest

from keras_mmc._tables import Column, Tabular, percent


class Fruit(Tabular):
    def _title(self):
        return "Fruit & more"

    def _columns(self):
        return (
            Column("na<me", ["a_b", "c\\d"]),
            Column("share", [1 / 3, None], percent),
            Column("count", [12, 3]),
        )

    def _notes(self):
        return ("a < b",)


def test_print_aligns():
    """Fails if a column is not as wide as its widest cell, or an empty cell shifts others."""
    assert str(Fruit()).splitlines() == [
        "Fruit & more",
        "  na<me    share  count",
        "  a_b    33.33 %     12",
        "  c\\d                 3",
        "Note: a < b",
    ]


def test_csv_is_not_rounded():
    """Fails if a figure is given as text that people read, or an empty cell as a word."""
    assert Fruit().to_csv() == "na<me,share,count\na_b,0.3333333333333333,12\nc\\d,,3\n"


def test_latex_is_escaped():
    """Fails if a sign that means something to LaTeX stays as it is."""
    lines = Fruit().to_latex().splitlines()
    assert lines[0] == r"\begin{tabular}{lrr}" and lines[1] == r"\toprule"
    assert lines[4] == r"a\_b & 33.33 \% & 12 \\"
    assert lines[5] == r"c\textbackslash{}d &  & 3 \\"


def test_html_is_escaped():
    """Fails if a text becomes markup."""
    page = Fruit()._repr_html_()
    for part in ("Fruit &amp; more", "<th>na&lt;me</th>", "<td>33.33 %</td>", "a &lt; b"):
        assert part in page


def test_a_subclass_says_its_columns():
    """Fails if a result without columns prints something."""
    with pytest.raises(NotImplementedError):
        str(Tabular())

"""Templates travel with the package, and what they lack is an error."""

import ast
import fnmatch

import jinja2
import pytest

from keras_mmc.plotting._templates import render
from tests.conftest import ROOT


def test_the_wheel_holds_every_file():
    """Fails if a file of the package that is no Python, such as a template, is left out of it."""
    tree = ast.parse((ROOT / "setup.py").read_text(encoding="utf-8"))
    (data,) = (
        ast.literal_eval(keyword.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        for keyword in node.keywords
        if keyword.arg == "package_data"
    )
    patterns = [
        f"{package.replace('.', '/')}/{part}" for package, parts in data.items() for part in parts
    ]
    files = [path for path in (ROOT / "keras_mmc").rglob("*") if path.is_file()]
    names = {path.relative_to(ROOT).as_posix() for path in files if "__pycache__" not in path.parts}
    others = {name for name in names if not name.endswith(".py")}
    assert "keras_mmc/plotting/templates/audit_page.html" in others
    assert not {n for n in others if not any(fnmatch.fnmatch(n, p) for p in patterns)}


def test_a_value_that_is_missing_is_an_error():
    """Fails if a page with a hole is written in silence."""
    with pytest.raises(jinja2.UndefinedError):
        render("audit_summary.html", facts={"suite": "quick"}, ball="L2", fired=[])

"""The README's code runs as it stands, and its links lead somewhere."""

import re

from tests.conftest import ROOT


def test_the_python_code_runs(run_python, tmp_path):
    """Fails if the first code a user copies raises."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    code = code.replace('"serving/1"', repr(str(tmp_path / "1"))).replace("epochs=10", "epochs=1")
    run_python(code)
    assert (tmp_path / "1" / "saved_model.pb").exists()


def test_the_links_exist():
    """Fails if a page the README points to is missing."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)]+)\)", text):
        assert target.startswith("https://") or (ROOT / target).exists(), target

"""The README's code runs as it stands, and its links lead somewhere."""

import re

from tests.conftest import ROOT


def test_the_python_code_runs(run_python, tmp_path):
    """Fails if the first code a user copies raises."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    for name in ("serving/1", "runs/audit"):
        code = code.replace(f'"{name}"', repr(str(tmp_path / name)))
    printed = run_python(code.replace("epochs=10", "epochs=1"))
    assert "Robust accuracy" in printed
    assert (tmp_path / "serving" / "1" / "saved_model.pb").exists()
    assert (tmp_path / "runs" / "audit" / "report.json").exists()


def test_the_links_exist():
    """Fails if a page the README points to is missing."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)]+)\)", text):
        assert target.startswith("https://") or (ROOT / target).exists(), target

"""The guides' code runs as it stands, and their links lead somewhere."""

import re
import sys

import pytest

from tests.conftest import ROOT

# What a guide may use that is not there without an extra.
NEEDED = {"export_onnx": ("onnxruntime", "onnx"), "export_litert": ("ai_edge_litert", "litert")}
# What shows that a guide needs an extra.
USES = {
    "datasets": r"datasets\.load|--data=mnist",
    "plots": r"\.plot\(|plotting\.",
    "serve": r"keras-mmc serve",
    "onnx": r"export_onnx",
    "litert": r"export_litert|from_tflite\(",
    "openvino": r"export_openvino",
    "benchmarks": r"import (foolbox|torchattacks)|from art\.",
}
GUIDES = sorted((ROOT / "docs" / "guides").glob("*.md"))


@pytest.mark.parametrize("guide", GUIDES, ids=lambda path: path.stem)
def test_a_guide_runs(guide, run_python, need, tmp_path):
    """Fails if code that a reader copies raises, or what it asserts of robustness is not so."""
    for used, (module, extra) in NEEDED.items():
        if used in guide.read_text(encoding="utf-8"):
            need(module, extra)
    code = f"""
import os, sys
sys.path.insert(0, r"{ROOT / "docs"}")
import keras, run_guide
os.chdir(r"{tmp_path}")
keras.utils.set_random_seed(0)
run_guide.main([r"{guide}"])
print("ran to its end")
"""
    assert "ran to its end" in run_python(code)


@pytest.mark.parametrize("guide", GUIDES, ids=lambda path: path.stem)
def test_a_guide_begins_with_its_extras(guide):
    """Fails if a reader who installs what a guide says cannot run its code."""
    if guide.stem == "README":
        return
    text = guide.read_text(encoding="utf-8")
    beginning = text.partition("```python")[0]
    (named,) = re.findall(r'pip install "\.\[([a-z,]+)\]"', beginning)
    assert set(named.split(",")) == {extra for extra, use in USES.items() if re.search(use, text)}


@pytest.mark.parametrize("guide", GUIDES, ids=lambda path: path.stem)
def test_links_of_a_guide_exist(guide):
    """Fails if a page that a guide points to is missing."""
    text = re.sub(r"```.*?```", "", guide.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        assert target.startswith("https://") or (guide.parent / target).exists(), target


def test_lines_of_a_traceback_are_those_of_the_guide():
    """Fails if an error in a guide names a line of another place."""
    sys.path.insert(0, str(ROOT / "docs"))
    import run_guide

    for guide in GUIDES:
        lines = guide.read_text(encoding="utf-8").splitlines()
        for number, line in enumerate(run_guide.code_of(guide, foreign=True).splitlines()):
            assert not line or line == lines[number]


def test_a_day_is_twelve_lines():
    """Fails if the way from a folder to a comparison grows beyond what the guide promises."""
    text = (ROOT / "docs" / "guides" / "a_day.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    lines = blocks[1].strip().splitlines()
    assert len(lines) <= 12 and max(map(len, lines)) <= 100

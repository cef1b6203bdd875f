"""The site: every page is in its contents, every block of code is run, every name is in it."""

import importlib.util
import re
import sys

import pytest

import keras_mmc
from tests.conftest import ROOT

DOCS = ROOT / "docs"
GALLERY = sorted((DOCS / "gallery").glob("plot_*.py"))
PAGES = [
    path
    for path in sorted(DOCS.rglob("*.md"))
    if path.relative_to(DOCS).parts[0] not in ("_build", "math", "project", "reference")
]


def load(name):
    """A module of docs/, which is no package."""
    spec = importlib.util.spec_from_file_location(name, DOCS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def pages():
    return load("site_pages")


def below(pages, page):
    """All pages under a page, in order."""
    for child in pages.children(page):
        yield child
        yield from below(pages, child)


def test_every_page_is_in_the_contents_once(pages):
    """Fails if a page is written and cannot be reached, or is listed and does not exist."""
    listed = [page for page in below(pages, "index") if page != "math/index"]
    assert len(listed) == len(set(listed))
    written = {path.relative_to(DOCS).with_suffix("").as_posix() for path in PAGES} - {"index"}
    made = {"project/index", *pages.COPIES, *pages.children("api")}
    assert set(listed) == written | made


def test_every_block_of_python_is_run():
    """Fails if code stands on a page that no test runs; tests/test_guides.py runs the guides."""
    for path in PAGES:
        if path.parent.name != "guides":
            assert "```python" not in path.read_text(encoding="utf-8"), path


@pytest.mark.parametrize("script", GALLERY, ids=lambda path: path.stem)
def test_a_script_of_the_gallery_runs(script, run_python):
    """Fails if a script raises, or shows no figure; epochs and images are cut."""
    code = f"""
import matplotlib
matplotlib.use("Agg")
import matplotlib.pyplot as plt
import pathlib, re
shown = []
plt.show = lambda: (shown.extend(plt.get_fignums()), plt.close("all"))
code = pathlib.Path(r"{script}").read_text(encoding="utf-8")
code = re.sub(r"epochs=[0-9]+", "epochs=1", code).replace("[:100]", "[:20]")
exec(compile(code, r"{script}", "exec"), {{"__name__": "__main__"}})
print("figures", len(shown))
"""
    last = run_python(code).splitlines()[-1]
    assert re.fullmatch(r"figures [1-9]", last), last


def test_every_page_of_the_gallery_says_what_it_is():
    """Fails if a script has no title, which sphinx-gallery takes from its docstring."""
    assert GALLERY
    for path in GALLERY:
        assert re.match(r'r?"""\n[^\n]+\n=+\n\n', path.read_text(encoding="utf-8")), path


def test_links_of_the_pages_exist():
    """Fails if a page points to a file or a heading that is gone."""
    for path in PAGES:
        text = re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
        for target, _, anchor in re.findall(r"\]\(([^)#]*)(#([^)]+))?\)", text):
            if target.startswith("https://"):
                continue
            file = path.parent / target if target else path
            assert file.exists(), f"{path}: {target}"
            if anchor:
                assert anchor in anchors(file), f"{path}: {target}#{anchor}"
        for name in re.findall(r"see ([a-z]+_[a-z0-9_]+)", text):  # an experiment
            assert (DOCS / "results" / f"{name}.md").exists(), f"{path}: {name}"


def anchors(path):
    """The anchors of the headings of a page, as GitHub and MyST make them."""
    headings = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_public_name_is_in_the_reference(pages):
    """Fails if a name that users import has no entry on the page of a module."""
    sys.path.insert(0, str(DOCS))
    import check_api

    modules = {
        name
        for name, value in check_api.exports(keras_mmc).items()
        if check_api.inspect.ismodule(value)
    }
    assert set(pages.MODULES) == modules | {"recipes"}
    for name, value in check_api.exports(keras_mmc).items():
        if name not in modules:
            assert pages.canonical(f"keras_mmc.{name}"), name
            assert value.__doc__
    for module in pages.MODULES:
        entries = set(pages.public_names(module))
        assert set(check_api.exports(importlib.import_module(f"keras_mmc.{module}"))) <= entries
        undocumented = {
            name
            for name in entries
            if not callable(getattr(importlib.import_module(f"keras_mmc.{module}"), name))
        }
        described = set(pages.constants(module)) | {"TARGETED"}
        assert undocumented <= described, module


def test_links_change_into_those_of_the_site(pages):
    """Fails if a link out of docs/ breaks on the site, or one within it is bent."""
    place, page = DOCS / "guides" / "x.md", "guides/x"
    for text, expected in {
        "[a](black_boxes.md)": "[a](black_boxes.md)",
        "[a](../glossary.md#eps)": "[a](../glossary.md#eps)",
        "[a](../../CONTRIBUTING.md)": "[a](../project/contributing.md)",
        "[a](../gallery/plot_1_centers.py)": "[a](../math/plot_1_centers.rst)",
        "[a](../../benchmarks/auto_attack_torch.py)": "a",
        "[a](https://keras.io)": "[a](https://keras.io)",
    }.items():
        assert pages.mended(text, place, page) == expected
    assert pages.linked("`keras_mmc.audit`") == (
        "{py:obj}`keras_mmc.audit <keras_mmc.evaluation.audit>`"
    )
    assert pages.linked("`keras_mmc.nothing`, `audit`") == "`keras_mmc.nothing`, `audit`"


def test_docstrings_become_restructured_text(pages):
    """Fails if code, a link or an example of a docstring is lost on the way to the site."""
    lines = [
        "See `x_adv` and `keras_mmc.MMCLoss`es.",
        "",
        "Example:",
        ">>> f(`1`)",
        "2",
        "",
        "End.",
    ]
    pages.read_docstring(None, "function", "f", None, None, lines)
    assert lines == [
        "See ``x_adv`` and :py:obj:`keras_mmc.MMCLoss <keras_mmc.losses.MMCLoss>`\\ es.",
        "",
        ".. code-block:: pycon",
        "",
        "   >>> f(`1`)",
        "   2",
        "",
        "",
        "End.",
    ]

"""What the site adds to documents that are readable without it; conf.py connects it to Sphinx.

The table of contents is CONTENTS. Names of the package become links into the reference, which is
made of docstrings, one page a module. Links out of docs/ lead to the copy that the site holds.
"""

import importlib
import inspect
import os
import pathlib
import pkgutil
import re
import textwrap

DOCS = pathlib.Path(__file__).parent
ROOT = DOCS.parent

# Pages and what stands below them. `math/index` is made of gallery/ by sphinx-gallery.
CONTENTS = {
    "index": [
        "guides/quick_start",
        "guides/README",
        "math/index",
        "results/README",
        "api",
        "glossary",
        "project/index",
    ],
    "guides/README": [
        "guides/a_day",
        "guides/audit_your_own_model",
        "guides/is_it_robust",
        "guides/choosing_a_loss",
        "guides/choosing_a_defense",
        "guides/make_it_robust",
        "guides/write_your_own",
        "guides/black_boxes",
        "guides/robust_accuracy_in_ci",
        "guides/accelerators",
        "guides/serve_it",
        "guides/coming_from_elsewhere",
    ],
    "results/README": [
        "results/gce_mnist",
        "results/differential_margin",
        "results/differential_cifar10",
        "results/emr_feedforward",
        "results/step_cost",
        "results/training_cost",
        "results/attack_cost",
        "results/audit_memory",
        "results/service_load",
        "results/fuzzing",
        "results/accelerator",
    ],
    "project/index": ["project/contributing", "project/benchmarks", "project/changelog"],
}

# Pages of the site that are files outside of docs/.
COPIES = {
    "project/contributing": "CONTRIBUTING.md",
    "project/benchmarks": "benchmarks/README.md",
    "project/changelog": "CHANGELOG.md",
}
PROJECT = """# Project

[How to contribute](contributing.md), [benchmarks](benchmarks.md) beside other libraries, and
[what has changed](changelog.md).
"""

_NOT_OF_THE_REFERENCE = ("commands", "experiments")  # programs; their modules are no interface
MODULES = sorted(
    module.name
    for module in pkgutil.iter_modules([str(ROOT / "keras_mmc")])
    if not module.name.startswith("_") and module.name not in _NOT_OF_THE_REFERENCE
)

_FENCE = re.compile(r"(^```.*?^```$)", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"\[([^\]]+)\]\(([^)#\s]+)(#[^)]*)?\)")
_CODE = re.compile(r"(?<![`\[])`([^`\n]+(?:\n[^`\n]+)*)`(?!`)(?=(\w)?)")
_EXAMPLE = re.compile(r"^ *Example:\n((?: *\S.*\n?)+)", re.MULTILINE)


def connect(app):
    """Make the generated pages, and change pages and docstrings as Sphinx reads them."""
    app.connect("config-inited", lambda app, config: write_pages())
    app.connect("source-read", read_page)
    app.connect("autodoc-process-docstring", read_docstring, priority=400)  # before napoleon
    app.connect("autodoc-process-signature", read_signature)
    app.connect("object-description-transform", name_attributes)
    app.connect("missing-reference", resolve)


def write_pages():
    """Write the pages that are made: the reference, and those copied from outside of docs/."""
    pages = {"project/index": PROJECT}
    pages |= {page: (ROOT / path).read_text(encoding="utf-8") for page, path in COPIES.items()}
    pages = {f"{page}.md": text for page, text in pages.items()}
    for module in MODULES:
        title = f"keras_mmc.{module}"
        described = constants(module)
        pages[f"reference/{module}.rst"] = (
            f"{title}\n{'=' * len(title)}\n\n.. automodule:: {title}\n   :members:\n"
            f"   :exclude-members: {', '.join(described)}\n"
            + "".join(f"\n.. py:data:: {name}\n\n   {text}\n" for name, text in described.items())
        )
    for name, text in pages.items():
        path = DOCS / name
        path.parent.mkdir(exist_ok=True)
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def constants(module):
    """The constants of a module, which have no docstring, with their lines of api.md."""
    index = (DOCS / "api.md").read_text(encoding="utf-8")
    row = rf"^\| `keras_mmc\.{module}\.([A-Z0-9_]+)` \| (.*) \|$"
    loaded = importlib.import_module(f"keras_mmc.{module}")
    return {
        name: text.replace("`", "``")
        for name, text in re.findall(row, index, re.MULTILINE)
        if not callable(getattr(loaded, name))
    }


def children(page):
    """The pages below a page."""
    if page == "api":
        return [f"reference/{module}" for module in MODULES]
    return CONTENTS.get(page, [])


def read_page(app, page, source):
    """Mend the links of a page in Markdown, link names of the package, and append its contents."""
    if not str(app.env.doc2path(page)).endswith(".md"):
        return
    place = ROOT / COPIES[page] if page in COPIES else DOCS / f"{page}.md"
    parts = _FENCE.split(source[0])
    parts[::2] = [linked(mended(part, place, page)) for part in parts[::2]]
    if page.startswith("results/"):  # whose tables begin at the third level
        parts[::2] = [re.sub("^###", "##", part, flags=re.MULTILINE) for part in parts[::2]]
    below = children(page)
    if below:
        entries = "\n".join(f"/{child}" for child in below)
        parts.append(f"\n\n```{{toctree}}\n:hidden:\n\n{entries}\n```\n")
    source[0] = "".join(parts)


def mended(text, place, page):
    """The text with links that lead somewhere on the site; `place` is the file it comes from."""
    pages = {ROOT / path: copy for copy, path in COPIES.items()} | {ROOT / "README.md": "index"}

    def mend(link):
        text, target, anchor = link[1], link[2], link[3] or ""
        if "://" in target:
            return link[0]
        path = pathlib.Path(os.path.normpath(place.parent / target))
        if path in pages:
            target = f"{pages[path]}.md"
        elif path.parent == DOCS / "gallery":
            target = f"math/{'index' if path.suffix == '.rst' else path.stem}.rst"
        elif path.is_file() and path.is_relative_to(DOCS):
            target = path.relative_to(DOCS).as_posix()
        else:
            return text  # not on the site
        return f"[{text}]({os.path.relpath(target, pathlib.Path(page).parent)}{anchor})"

    return _LINK.sub(mend, text)


def linked(text):
    """Markdown in which names of the package in backticks are links into the reference."""

    def link(code):
        name = canonical(code[1])
        return f"{{py:obj}}`{code[1]} <{name}>`" if name else code[0]

    return _CODE.sub(link, text)


def canonical(name):
    """The name under which the reference holds what a dotted name stands for, if it does."""
    if not re.fullmatch(r"keras_mmc(\.\w+)+", name):
        return None
    first, *path = name.split(".")[1:]
    if first in MODULES and not path:
        return name
    if first in MODULES and path[0] in public_names(first):
        return name
    value = importlib.import_module("keras_mmc")
    try:
        for part in name.split(".")[1:]:
            if inspect.ismodule(value) and not hasattr(value, part):
                importlib.import_module(f"{value.__name__}.{part}")
            value = getattr(value, part)
    except (AttributeError, ImportError):
        return None
    return _names_by_object().get(id(value))


def public_names(module):
    """Names that a public module exports: `__all__`, or its own functions and classes."""
    loaded = importlib.import_module(f"keras_mmc.{module}")
    if hasattr(loaded, "__all__"):
        return loaded.__all__
    return [
        name
        for name, value in vars(loaded).items()
        if name.isupper() or getattr(value, "__module__", None) == loaded.__name__
        if not name.startswith("_")
    ]


def _names_by_object():
    return {
        id(
            getattr(importlib.import_module(f"keras_mmc.{module}"), name)
        ): f"keras_mmc.{module}.{name}"
        for module in reversed(MODULES)
        for name in public_names(module)
    }


def read_docstring(app, what, name, value, options, lines):
    """Backticks in docstrings, as in Markdown, become code, and names of the package links."""

    def code(found):
        text = " ".join(found[1].split())
        target = canonical(text)
        made = f":py:obj:`{text} <{target}>`" if target else f"``{text}``"
        return made + ("\\ " if found[2] else "")

    parts = _EXAMPLE.split("\n".join(lines))
    parts[::2] = [_CODE.sub(code, part).replace("@", "\\@") for part in parts[::2]]
    parts[1::2] = [
        ".. code-block:: pycon\n\n" + textwrap.indent(part, "   ") + "\n" for part in parts[1::2]
    ]
    lines[:] = "".join(parts).split("\n")


def read_signature(app, what, name, value, options, signature, returned):
    """Classes are shown with the arguments of `__init__`: Keras' `__new__` takes any."""
    if what != "class" or "__init__" not in dir(value):
        return None
    from sphinx.util import inspect as sphinx_inspect

    try:
        found = sphinx_inspect.signature(value.__init__, bound_method=True)
    except (TypeError, ValueError):
        return None
    return sphinx_inspect.stringify_signature(
        found, show_return_annotation=False, unqualified_typehints=True
    ), None


def name_attributes(app, domain, kind, content):
    """Call the attributes of a class so; Sphinx would call them variables."""
    for node in content.findall(lambda node: node.astext() == "Variables"):
        if node.tagname == "field_name":
            node.children[0] = type(node.children[0])("Attributes")


def resolve(app, env, node, content):
    """Find what a type hint names by the module that defines it, under its public name."""
    if node.get("refdomain") != "py":
        return None
    target = canonical(node["reftarget"])
    if target is None or target == node["reftarget"]:
        return None
    domain = env.get_domain("py")
    return domain.resolve_xref(env, node["refdoc"], app.builder, "obj", target, node, content)

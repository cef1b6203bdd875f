"""BUILD: every file has its target, every target exists, every import is a dependency."""

import ast
import collections
from types import SimpleNamespace

import pytest

from tests.conftest import ROOT


def glob(patterns):
    """The files of Bazel's `glob`, which refuses a pattern that matches none."""
    found = set()
    for pattern in patterns:
        # Up to Python 3.12, `**` at the end finds directories alone.
        paths = ROOT.glob(f"{pattern}/*" if pattern.endswith("**") else pattern)
        files = {path.relative_to(ROOT).as_posix() for path in paths if path.is_file()}
        assert files, f"the pattern {pattern} matches no file"
        found |= files
    return sorted(found)


def read_build_file():
    """The targets of BUILD, which is valid Python: by name, with kind, srcs, deps and main."""
    targets = {}

    def rule(kind):
        def declare(name, srcs=(), deps=(), **others):
            assert name not in targets, f"two targets are named {name}"
            targets[name] = SimpleNamespace(kind=kind, srcs=srcs, deps=deps, **others)

        return declare

    kinds = ("py_library", "py_binary", "py_test", "filegroup")
    names = {kind: rule(kind) for kind in kinds} | {"glob": glob}
    names |= dict.fromkeys(("package", "licenses", "exports_files"), lambda *_, **__: None)
    loaded = []
    names["load"] = lambda source, *symbols: loaded.extend(symbols)
    exec(compile((ROOT / "BUILD").read_text(encoding="utf-8"), "BUILD", "exec"), names)
    assert set(loaded) == {"py_binary", "py_library", "py_test"}
    return targets


@pytest.fixture(scope="module")
def targets():
    return read_build_file()


@pytest.fixture(scope="module")
def owners(targets):
    """The libraries that hold each source file."""
    owners = collections.defaultdict(list)
    for name, target in targets.items():
        if target.kind == "py_library":
            for source in target.srcs:
                owners[source].append(name)
    return owners


def file_of(module):
    """The file of a module of the package, if it is one."""
    path = module.replace(".", "/")
    candidates = (f"{path}.py", f"{path}/__init__.py")
    return next((file for file in candidates if (ROOT / file).is_file()), None)


def imported_files(source):
    """The files of this repository that a source file imports, anywhere in it."""
    for node in ast.walk(ast.parse((ROOT / source).read_text(encoding="utf-8"))):
        modules = []
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{source} has a relative import"
            # A submodule by its name; else the package that defines the name.
            names = (f"{node.module}.{alias.name}" for alias in node.names)
            modules = [name if file_of(name) else node.module for name in names]
        yield from filter(None, map(file_of, modules))


def test_every_source_belongs_to_exactly_one_library(owners):
    """Fails if a new module is in no library, or in two."""
    wrong = {file: owners[file] for file in glob(["keras_mmc/**/*.py"]) if len(owners[file]) != 1}
    assert not wrong


def test_every_test_and_script_belongs_to_a_target(targets):
    """Fails if a new folder of tests or a new example has no target."""
    for kind, pattern in (("py_test", "tests/**/test_*.py"), ("py_binary", "examples/*.py")):
        targeted = {
            file
            for target in targets.values()
            if target.kind in (kind, "py_library")
            for file in target.srcs
        }
        assert not set(glob([pattern])) - targeted


def test_every_file_and_dependency_exists(targets):
    """Fails if a file was renamed, or a target that others need is gone."""
    for name, target in targets.items():
        assert target.srcs, f"{name} has no sources"
        missing = [file for file in target.srcs if not (ROOT / file).is_file()]
        missing += [label for label in target.deps if label.removeprefix(":") not in targets]
        assert not missing, f"{name}: {missing}"
        if target.kind in ("py_binary", "py_test"):
            assert target.main in target.srcs


def test_every_import_is_a_direct_dependency(targets, owners):
    """Fails if a library or script imports what its target does not depend on."""
    for name, target in targets.items():
        if target.kind in ("filegroup", "py_test"):  # the latter have the whole package
            continue
        needed = {
            owners[file][0]
            for source in target.srcs
            for file in imported_files(source)
            if file not in target.srcs
        }
        assert needed <= {label.removeprefix(":") for label in target.deps}, name


def test_libraries_do_not_depend_on_each_other_in_a_circle(targets):
    """Fails if Bazel would refuse the file."""

    def visit(name, path):
        assert name not in path, " -> ".join([*path, name])
        for label in targets[name].deps:
            visit(label.removeprefix(":"), [*path, name])

    for name in targets:
        visit(name, [])


def test_no_dependency_is_unused(targets, owners):
    """Fails if a library depends on one that it does not import."""
    for name, target in targets.items():
        if target.kind != "py_library" or name == "keras_mmc":  # which loads its parts when used
            continue
        used = {owners[f][0] for source in target.srcs for f in imported_files(source)}
        assert {label.removeprefix(":") for label in target.deps} <= used, name

"""The examples of CONTRIBUTING.md run, and their tests pass."""

import pathlib
import re

import pytest

TEXT = (pathlib.Path(__file__).parent.parent / "CONTRIBUTING.md").read_text(encoding="utf-8")
EXAMPLES = dict(re.findall(r"## Add (?:a|an) (\w+)\n.*?```python\n(.*?)```", TEXT, re.DOTALL))


def test_all_three_are_there():
    """Fails if an example is lost."""
    assert list(EXAMPLES) == ["loss", "attack", "defense"]


@pytest.mark.parametrize("kind", EXAMPLES)
def test_example(kind):
    """Fails if an example does not run, or its own test fails."""
    namespace = {"__name__": f"example_{kind}"}
    exec(compile(EXAMPLES[kind], f"CONTRIBUTING.md ({kind})", "exec"), namespace)
    tests = [name for name in namespace if name.startswith("test_")]
    assert tests
    for name in tests:
        namespace[name]()


def test_files_that_are_named_exist():
    """Fails if the guide sends people to a file that is gone."""
    root = pathlib.Path(__file__).parent.parent
    for path in re.findall(r"`((?:tests|keras_mmc|docs)/[\w/.]*)`", TEXT):
        assert (root / path).exists(), path

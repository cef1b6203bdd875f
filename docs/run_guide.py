"""Run the Python code of a guide, block after block, as a reader would.

    python docs/run_guide.py docs/guides/audit_your_own_model.md
    python docs/run_guide.py docs/guides/coming_from_elsewhere.md --foreign

Blocks marked `python foreign` need libraries that this package does not require: they run with
--foreign alone. Files are written to the working directory.
"""

import pathlib
import re
import sys

_BLOCK = re.compile(r"^```python( foreign)?\n(.*?)^```", re.DOTALL | re.MULTILINE)


def code_of(path: pathlib.Path, foreign: bool = False) -> str:
    """The code of a guide; lines stand where they stand in the guide, for tracebacks."""
    text, code = path.read_text(encoding="utf-8"), ""
    for block in _BLOCK.finditer(text):
        if foreign or not block[1]:
            line = text.count("\n", 0, block.start(2))
            code += "\n" * (line - code.count("\n")) + block[2]
    return code


def main(arguments: list[str]) -> None:
    """Run a guide."""
    path = pathlib.Path(arguments[0])
    code = compile(code_of(path, "--foreign" in arguments[1:]), str(path), "exec")
    exec(code, {"__name__": "__main__"})


if __name__ == "__main__":
    main(sys.argv[1:])

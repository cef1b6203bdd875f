"""Runs programs, one a line of standard input, in forks of a process that has imported libraries.

A line is JSON: a script, `keras-mmc` and a command, or `-c` and code, with the arguments, and the
files for what it prints. The exit code of each is printed. Imports take longer than most programs;
nothing is computed here, so forks start afresh.
"""

import importlib
import json
import os
import runpy
import sys

import keras

import keras_mmc

if keras.backend.backend() == "tensorflow":
    import matplotlib.figure  # noqa: F401
    import sklearn.metrics  # noqa: F401
    import tensorflow_datasets  # noqa: F401

    _ = keras_mmc.AdversarialModel, keras_mmc.audit, keras_mmc.plotting  # imported when asked for


def become(program: str, *arguments: str, stdout: str, stderr: str) -> None:
    """Be the process of a program, until it ends."""
    for target, path in ((1, stdout), (2, stderr)):
        os.dup2(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC), target)
    if program == "-c":
        code, *arguments = arguments
        sys.argv[:] = [program, *arguments]
        sys.path[0] = ""
        exec(compile(code, "<string>", "exec"), {"__name__": "__main__"})
        sys.exit()
    sys.argv[:] = [program, *arguments]
    if program == "keras-mmc":
        importlib.import_module("keras_mmc.commands.line").main()
        sys.exit()
    sys.path[0] = os.path.dirname(program)
    runpy.run_path(program, run_name="__main__")
    sys.exit()


for line in sys.stdin:
    job = json.loads(line)
    child = os.fork()
    if child == 0:
        become(*job["arguments"], stdout=job["stdout"], stderr=job["stderr"])
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)

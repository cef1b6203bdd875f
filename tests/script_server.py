"""Runs scripts, one a line of standard input, in forks of a process that has imported libraries.

A line is JSON: the script, or `keras-mmc` and a command, with the arguments, and the files for what
it prints. The exit code of each is printed. Imports take longer than most scripts; nothing is
computed here, so forks start afresh.
"""

import importlib
import json
import os
import runpy
import sys

import keras  # noqa: F401
import matplotlib.figure  # noqa: F401
import sklearn.metrics  # noqa: F401
import tensorflow_datasets  # noqa: F401

import keras_mmc.plotting  # noqa: F401


def become(script: str, *arguments: str, stdout: str, stderr: str) -> None:
    """Be the process of a script, until it ends."""
    for target, path in ((1, stdout), (2, stderr)):
        os.dup2(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC), target)
    sys.argv[:] = [script, *arguments]
    if script == "keras-mmc":
        importlib.import_module("keras_mmc.commands.line").main()
        sys.exit()
    sys.path[0] = os.path.dirname(script)
    runpy.run_path(script, run_name="__main__")
    sys.exit()


for line in sys.stdin:
    job = json.loads(line)
    child = os.fork()
    if child == 0:
        become(*job["arguments"], stdout=job["stdout"], stderr=job["stderr"])
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)

"""The command line: one module a command, and modules of the flags that commands share.

Flags of different commands share names, so a process imports the module of one command only. A
command's module holds its flags and `main`, and imports Keras only in `main`.
"""

COMMANDS = {
    "train": "Train a classifier with a loss and a defense, beside softmax cross-entropy.",
    "audit": "Measure how robust trained classifiers are, under weak and under strong attacks.",
    "transfer": "Craft adversarial examples on every model and try them on every model.",
    "reproduce": "Run an experiment of one of the papers, its figures beside the measured ones.",
    "export": "Export a trained .keras file for TensorFlow, ONNX, LiteRT or OpenVINO.",
    "serve": "Serve an exported classifier over HTTP, with a page to try it and to attack it.",
    "centers": "Write class centers to a file, and say how far apart they lie.",
}
"""What each command does: the first line of its module."""

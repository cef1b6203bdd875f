"""A classifier that answers: a directory that `export_saved_model` wrote, loaded."""

import json
import pathlib
import threading
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from keras_mmc.attacks import PGD, Runner
from keras_mmc.serving._prepared import FACTS
from keras_mmc.serving.http.files import check_headers, decoded
from keras_mmc.serving.http.limits import Limits, RefusedError

FLOATS, PIXELS, FILES = "serving_default", "serving_uint8", "serving_bytes"
_TOLD = {"class_names", "image_shape", "box", "statistic", "threshold", "reasons"}
_STEPS = 20
_UNKNOWN = 32  # what an unknown size is tried with
_CLASS_NAME = "class_name"
# What an exported classifier never holds: operations that call Python, or read and write files.
_FORBIDDEN = {
    *("PyFunc", "PyFuncStateless", "EagerPyFunc", "ReadFile", "WriteFile", "MatchingFiles"),
    *("PrintV2", "Save", "SaveSlices", "WholeFileReaderV2", "FixedLengthRecordDatasetV2"),
    *("TextLineDataset", "TFRecordDataset", "TFRecordDatasetV2", "TFRecordReaderV2"),
}


class Engine:
    """An exported classifier, asked by several threads at a time.

    Args:
        path: directory that `keras_mmc.export_saved_model` wrote.
        limits: what a request may cost.

    Attributes:
        facts: what `keras_mmc.json` says.
        signatures: by name, the name of its input.
        on_answer: called with which images `(N,)` were accepted, after each answer.

    Raises:
        FileNotFoundError, ValueError: if it is no such directory, its graph would touch files or
            call Python, or its files are damaged.
    """

    def __init__(self, path: pathlib.Path, limits: Limits):
        self.facts = _facts(path)
        _check_graph(path)
        self.on_answer: Callable[[np.ndarray], None] = lambda accepted: None
        self._limits = limits
        self._attacking = threading.Lock()
        self._runner: Runner | None = None
        try:
            self._loaded = tf.saved_model.load(str(path))
            self.signatures = {
                name: next(iter(function.structured_input_signature[1]))
                for name, function in self._loaded.signatures.items()
            }
            sizes = [size or _UNKNOWN for size in self.image_shape]
            self.answer(FLOATS, np.full((1, *sizes), self.box[0], "float32"))
        except Exception as error:  # of TensorFlow, which has many for files that are cut
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
            raise ValueError(
                f"{path} cannot be served: its files do not fit together, or are cut ({reason}). "
                "Export the model anew with `keras-mmc export`."
            ) from error

    @property
    def image_shape(self) -> tuple[int | None, ...]:
        """The shape of an image; unknown sizes are `None`."""
        return tuple(self.facts["image_shape"])

    @property
    def box(self) -> tuple[float, float]:
        """Where images live."""
        low, high = self.facts["box"]
        return low, high

    @property
    def class_names(self) -> list[str]:
        """The names of the classes."""
        return list(self.facts["class_names"])

    @property
    def takes_files(self) -> bool:
        """Whether image files can be sent: not to a model of tables, or of unknown sizes."""
        return FILES in self.signatures

    def inputs(self, signature: str) -> dict[str, tf.TensorSpec]:
        """The inputs of a signature by name."""
        return dict(self._loaded.signatures[signature].structured_input_signature[1])

    def outputs(self) -> dict[str, tf.TensorSpec]:
        """The outputs by name, alike for all signatures."""
        return dict(self._loaded.signatures[FLOATS].structured_outputs)

    def answer(self, signature: str, images: Any) -> dict[str, np.ndarray]:
        """All outputs for images, as NumPy arrays; texts are `str`.

        Args:
            signature: one of `signatures`.
            images: float32 or uint8 `(N, ...)`, or N files as bytes.

        Raises:
            RefusedError: 400 for another shape, or files that are no whole images; 413 for too many
                images or pixels.
        """
        if len(images) > self._limits.images:
            raise RefusedError(
                413,
                f"A request may have at most {self._limits.images} images; received {len(images)}.",
            )
        if signature == FILES:
            check_headers(images, self._limits.pixels)
            given = tf.constant(images, tf.string, (len(images),))
        else:
            given = self._checked(images)
        try:
            found = self._loaded.signatures[signature](**{self.signatures[signature]: given})
        except tf.errors.InvalidArgumentError as error:
            for i, file in enumerate(images if signature == FILES else ()):
                decoded(file, self.image_shape[-1] or 0, i)
            told = f"The model takes no such images, of shape {tuple(given.shape)}."
            raise RefusedError(400, told) from error
        answers = {name: value.numpy() for name, value in found.items()}
        self.on_answer(answers["accepted"])
        names = [name.decode() for name in answers[_CLASS_NAME].tolist()]
        return answers | {_CLASS_NAME: np.array(names, dtype=object)}

    def pixels(self, file: bytes) -> np.ndarray:
        """The pixels `(H, W, C)`, uint8, of a file, in the size that the model takes."""
        check_headers([file], self._limits.pixels)
        height, width, channels = self.image_shape
        resized = tf.image.resize(decoded(file, channels or 0), (height, width)).numpy()
        return np.rint(resized).astype("uint8")

    def attack(self, images: np.ndarray, label: int, eps: float) -> np.ndarray | None:
        """An adversarial example for an image `(1, ...)` of the box, or `None` if none was found.

        PGD of 20 steps on the margin, from a random start in the L-infinity ball. One at a time.
        """
        with self._attacking:
            if self._runner is None:
                signature = self._loaded.signatures[FLOATS]
                self._runner = Runner(_with_gradients(signature, self.image_shape))
            attack = PGD(0.0, steps=_STEPS, box=self.box)
            rows, labels = np.zeros(1, int), np.array([label], "int32")
            found = self._runner.run(attack, images, labels, rows, eps=eps)
        return found.x_adv if len(found.rows) else None

    def _checked(self, images):
        expected = self.image_shape
        if images.shape == (0,):
            images = images.reshape(0, *(size or 1 for size in expected))
        shape = images.shape[1:]
        fits = len(shape) == len(expected)
        if not fits or any(b not in (None, a) for a, b in zip(shape, expected, strict=True)):
            sizes = ", ".join("any" if size is None else str(size) for size in expected)
            raise RefusedError(
                400, f"Images must have shape (N, {sizes}); received {tuple(images.shape)}."
            )
        return tf.constant(images)


def _with_gradients(signature, shape):
    """A Keras model on the exported graph, for attacks that follow gradients."""

    class Scores(keras.layers.Layer):
        def call(self, images):
            return signature(images=images)["scores"]

    images = keras.Input(shape)
    return keras.Model(images, Scores(dtype="float32")(images))


def _facts(path):
    try:
        facts = json.loads((path / FACTS).read_text(encoding="utf-8"))
        if facts["format"] != "SavedModel":
            raise ValueError(f"it is an export to {facts['format']}")
        if missing := _TOLD - facts.keys():
            raise ValueError(f"it lacks {', '.join(sorted(missing))}")
        return facts
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"{path} is no export of this package: it has no {FACTS}. Pass a directory that "
            "`keras-mmc export` wrote, or a .keras file."
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path / FACTS} does not describe a SavedModel of this package ({error}). Export the "
            "model anew with `keras-mmc export`."
        ) from error


def _check_graph(path):
    saved = saved_model_pb2.SavedModel()
    try:
        saved.ParseFromString((path / "saved_model.pb").read_bytes())
    except Exception as error:  # of the parser, which has several
        raise ValueError(f"{path} holds no SavedModel that can be read: {error}") from error
    graphs = [meta.graph_def for meta in saved.meta_graphs]
    nodes = [node for graph in graphs for node in graph.node]
    nodes += [node for g in graphs for function in g.library.function for node in function.node_def]
    found = sorted({node.op for node in nodes} & _FORBIDDEN)
    if found:
        raise ValueError(
            f"{path} is refused: its graph holds {', '.join(found)}, which would reach files or "
            "Python; no exported classifier does."
        )

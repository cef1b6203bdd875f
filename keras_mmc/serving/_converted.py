"""What exports to other runtimes share: the graph that they convert, and a look at the result."""

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from keras_mmc.serving._graph import Served

_NUM_DRAWN = 64
_CLOSE = 1e-4  # of the largest score; converters that are right give 1e-6


def frozen_answers(served: Served, only_scores: bool = False) -> Any:
    """The outputs of `serving_default` for one image or more, as a function of constants alone.

    Names of classes are left out: the other runtimes have no texts, or slow ones. Converters take
    variables, and tensors that layers hold such as the mean of a Normalization, for inputs.
    """
    spec = tf.TensorSpec((None, *served.image_shape), tf.float32, "images")
    names = ["scores"] if only_scores else sorted({*served.outputs} - {"class_name"})

    @tf.function(input_signature=[spec])
    def answers(images: tf.Tensor) -> list[tf.Tensor]:
        found = served.answer_some(images)
        return [found[name] for name in names]

    concrete = convert_variables_to_constants_v2(answers.get_concrete_function())
    graph = _with_constants(concrete)
    outputs = [tensor.name for tensor in concrete.outputs]

    @tf.function(input_signature=[spec])
    def frozen(images: tf.Tensor) -> dict[str, tf.Tensor]:
        given = {concrete.inputs[0].name: images}
        found = tf.graph_util.import_graph_def(graph, given, outputs, name="")
        return dict(zip(names, found, strict=True))

    return frozen


def _with_constants(concrete: Any) -> tf.compat.v1.GraphDef:
    """The graph of a function with the tensors that it captured in the places of its inputs."""
    graph = concrete.graph.as_graph_def()
    held = {inside.op.name: outside for outside, inside in concrete.graph.captures}
    for node in graph.node:
        if node.name in held:
            node.op = "Const"
            node.attr.pop("shape", None)
            value = tf.make_tensor_proto(held[node.name].numpy())
            node.attr["value"].tensor.CopyFrom(value)
    return graph


@contextmanager
def saved(served: Served, only_scores: bool = False) -> Iterator[str]:
    """Yields the path of a SavedModel of `frozen_answers`, for converters that read one."""
    module = tf.Module()
    module.answers = frozen_answers(served, only_scores)
    with tempfile.TemporaryDirectory() as directory:
        tf.saved_model.save(module, directory, module.answers)
        yield directory


def compared(
    served: Served,
    scores_of: Callable[[np.ndarray], np.ndarray],
    images: np.ndarray | None = None,
) -> dict[str, float]:
    """How far the scores of a converted file are from those of the model, as facts to write down.

    Args:
        served: what was converted.
        scores_of: the file in its runtime, from images to scores.
        images: float32 `(N, ...)`; random ones of the box if left out.

    Returns:
        The number of `images`, the fraction `same_label`, and `score_error`, the largest difference
        of scores divided by the largest score.
    """
    if images is None:
        shape = [32 if size is None else size for size in served.image_shape]
        drawn = np.random.default_rng(0).uniform(*served.box, (_NUM_DRAWN, *shape))
        images = drawn.astype("float32")
    expected = np.asarray(served.model.predict(images, verbose=0), "float32")
    scores = np.asarray(scores_of(images))
    same = (scores.argmax(axis=1) == expected.argmax(axis=1)).mean()
    error = abs(scores - expected).max() / max(abs(expected).max(), np.finfo("float32").tiny)
    return {"images": len(images), "same_label": float(same), "score_error": float(error)}


def check_equal(parity: Mapping[str, float], format: str) -> None:
    """Refuses a file whose scores are not those of the model; `ValueError`."""
    if not parity["score_error"] <= _CLOSE:
        raise ValueError(
            f"The {format} file answers otherwise than the model: scores differ by "
            f"{parity['score_error']:.1e} of the largest. Its converter or runtime does not "
            "compute a layer as Keras does; export a SavedModel, or replace that layer."
        )


def check_float32(model: keras.Model, format: str) -> None:
    """Refuses models that compute in 16 bits, which others round otherwise; `ValueError`."""
    layers = model._flatten_layers(include_self=False)
    narrow = {layer.compute_dtype for layer in layers} & {"float16", "bfloat16"}
    if narrow:
        raise ValueError(
            f"The model computes in {', '.join(narrow)}, which {format} has not or rounds "
            "otherwise. Build the same network under the policy float32 and give it the weights: "
            "`twin.set_weights(model.get_weights())`."
        )

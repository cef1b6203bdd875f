"""The forms of requests and answers: TensorFlow Serving's REST and KServe's version 2."""

import base64
import binascii
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from keras_mmc.serving.http.engine import FILES, FLOATS, PIXELS, Engine
from keras_mmc.serving.http.limits import RefusedError

VERSION = "1"  # of whatever model a service has
_BASE64 = "b64"
_SIGNATURES = {"FP32": FLOATS, "FP64": FLOATS, "UINT8": PIXELS, "BYTES": FILES}
_DATATYPES = {"float32": "FP32", "int32": "INT32", "bool": "BOOL", "object": "BYTES"}


def parsed(body: bytes) -> dict[str, Any]:
    """The object of a JSON body; a `RefusedError` of anything else."""
    if not body.strip():
        raise RefusedError(400, "The body is empty; send a JSON object.")
    try:
        found = json.loads(body)
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RefusedError(400, f"The body is no JSON: {_line(error)}") from error
    except ValueError as error:  # of Python, which reads no integers of thousands of digits
        raise RefusedError(400, "A number in the body has too many digits.") from error
    if not isinstance(found, dict):
        raise RefusedError(400, "The body must be a JSON object.")
    return found


def written(answer: Mapping[str, Any]) -> bytes:
    """An answer as JSON."""
    return json.dumps(answer, allow_nan=False, separators=(",", ":")).encode()


def tensorflow_serving(engine: Engine, request: Mapping[str, Any]) -> dict[str, Any]:
    """Answers a request of the form of TensorFlow Serving's REST interface.

    `{"instances": [image, ...]}` gives `{"predictions": [{output: value}, ...]}`, a row an image;
    `{"inputs": [image, ...]}` gives `{"outputs": {output: [value, ...]}}`. An image may be named by
    the input, `{"images": image}`; a file is `{"b64": "..."}`, and `"signature_name"` must be
    `"serving_bytes"` then. What is no number, as of an image without an answer, is `null`.
    """
    signature = request.get("signature_name", FLOATS)
    if not isinstance(signature, str) or signature not in engine.signatures:
        raise RefusedError(
            400,
            f"`signature_name` must be one of {sorted(engine.signatures)}; received "
            f"{_shown(signature)}.",
        )
    given = request.keys() & {"instances", "inputs"}
    if len(given) != 1:
        raise RefusedError(400, "The body must have either `instances` or `inputs`.")
    (form,) = given
    name, values = engine.signatures[signature], request[form]
    if form == "inputs" and isinstance(values, dict):
        values = _named(values, name)
    if not isinstance(values, list):
        raise RefusedError(400, f"`{form}` must be a list of images; received {_shown(values)}.")
    if form == "instances":
        rows = [_named(v, name) if isinstance(v, dict) and _BASE64 not in v else v for v in values]
        values = rows
    images = _files(values) if signature == FILES else _numbers(values, signature)
    columns = {key: listed(value) for key, value in engine.answer(signature, images).items()}
    if form == "inputs":
        return {"outputs": columns}
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    return {"predictions": rows}


def version_2(engine: Engine, name: str, request: Mapping[str, Any]) -> dict[str, Any]:
    """Answers a request of the form of version 2 of KServe's inference protocol.

    One input, `images`, whose datatype tells what comes: FP32 in the box, UINT8 pixels, or BYTES,
    files in base64. `data` may be flat or nested.
    """
    inputs = request.get("inputs")
    if not isinstance(inputs, list) or len(inputs) != 1 or not isinstance(inputs[0], dict):
        raise RefusedError(400, "`inputs` must be a list of one object, the images.")
    (given,) = inputs
    datatype, shape, data = (given.get(key) for key in ("datatype", "shape", "data"))
    signature = _SIGNATURES.get(datatype, "") if isinstance(datatype, str) else ""
    if signature not in engine.signatures:
        kinds = [kind for kind, found in _SIGNATURES.items() if found in engine.signatures]
        raise RefusedError(400, f"`datatype` must be one of {kinds}; received {_shown(datatype)}.")
    if not isinstance(data, list):
        raise RefusedError(400, "`data` must be a list; binary data are not taken.")
    if not isinstance(shape, list) or not all(type(n) is int and n >= 0 for n in shape):
        raise RefusedError(400, f"`shape` must be a list of sizes; received {_shown(shape)}.")
    if signature == FILES:
        images: Any = _files([{_BASE64: value} for value in data])
        if shape not in ([len(images)], [len(images), 1]):
            raise RefusedError(400, f"`shape` says {shape}, and `data` holds {len(images)} files.")
    else:
        flat = _numbers(data, signature)
        if flat.size != math.prod(shape):
            raise RefusedError(400, f"`shape` says {shape}, and `data` holds {flat.size} numbers.")
        images = flat.reshape(shape)
        if not shape:
            raise RefusedError(400, "`shape` must begin with the number of images.")
    answers = engine.answer(signature, images)
    wanted = _wanted(request.get("outputs"), list(answers))
    found = [
        {
            "name": key,
            "datatype": _DATATYPES[answers[key].dtype.name],
            "shape": list(answers[key].shape),
            "data": listed(answers[key].reshape(-1)),
        }
        for key in wanted
    ]
    told = {"id": request["id"]} if isinstance(request.get("id"), str) else {}
    return {"model_name": name, "model_version": VERSION, **told, "outputs": found}


def listed(values: np.ndarray) -> list:
    """An array as lists for JSON, which has no NaN: `None` stands there."""
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        found = values.astype(object)
        found[~np.isfinite(values)] = None
        return found.tolist()
    return values.tolist()


def _wanted(outputs: Any, names: Sequence[str]) -> Sequence[str]:
    if outputs is None:
        return names
    if not isinstance(outputs, list) or not all(isinstance(item, dict) for item in outputs):
        raise RefusedError(400, "`outputs` must be a list of objects with a `name`.")
    wanted = [item.get("name") for item in outputs]
    if not all(isinstance(name, str) and name in names for name in wanted):
        raise RefusedError(
            400, f"`outputs` must be among {list(names)}; received {_shown(wanted)}."
        )
    return wanted


def _named(values: Mapping[str, Any], name: str) -> Any:
    if set(values) != {name}:
        raise RefusedError(400, f"The input is named {name!r}; received {_shown(sorted(values))}.")
    return values[name]


def _numbers(values: list, signature: str) -> np.ndarray:
    """Images as float32 or uint8, of whatever shape they have."""
    try:
        found = np.array(values)
    except ValueError as error:
        raise RefusedError(400, "Images must have one shape; they differ.") from error
    if found.dtype.kind not in "iuf" and found.size:
        raise RefusedError(400, "Images must be numbers, in lists of one shape.")
    if signature == FLOATS:
        with np.errstate(over="ignore"):  # infinite pixels get no answer, and are told why
            return found.astype("float32")
    if not ((found >= 0) & (found <= 255) & (found == np.floor(found))).all():
        raise RefusedError(400, "Pixels of uint8 images must be whole numbers from 0 to 255.")
    return found.astype("uint8")


def _files(values: list) -> list[bytes]:
    found = []
    for i, value in enumerate(values):
        text = value.get(_BASE64) if isinstance(value, dict) else None
        try:
            if not isinstance(text, str):
                raise ValueError
            found.append(base64.b64decode(text, validate=True))
        except (ValueError, binascii.Error) as error:
            raise RefusedError(400, f'File {i} must be {{"b64": "..."}}, in base64.') from error
    return found


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) < 80 else f"{text[:77]}..."


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200]


def signature_metadata(engine: Engine, name: str) -> dict[str, Any]:
    """What TensorFlow Serving tells of a model."""
    outputs = {key: _tensor_info(spec) for key, spec in engine.outputs().items()}
    signatures = {
        signature: {
            "inputs": {key: _tensor_info(spec) for key, spec in engine.inputs(signature).items()},
            "outputs": outputs,
            "method_name": "tensorflow/serving/predict",
        }
        for signature in engine.signatures
    }
    return {
        "model_spec": {"name": name, "signature_name": "", "version": VERSION},
        "metadata": {"signature_def": {"signature_def": signatures}, "keras_mmc": engine.facts},
    }


def model_metadata(engine: Engine, name: str) -> dict[str, Any]:
    """What version 2 of KServe's protocol tells of a model."""
    (given,) = engine.inputs(FLOATS).items()
    tensors = [(given[0], given[1], "FP32")]
    tensors += [
        (key, spec, _DATATYPES.get(spec.dtype.name, "BYTES"))
        for key, spec in engine.outputs().items()
    ]
    told = [
        {"name": key, "datatype": datatype, "shape": [-1 if n is None else n for n in spec.shape]}
        for key, spec, datatype in tensors
    ]
    return {
        "name": name,
        "versions": [VERSION],
        "platform": "tensorflow_savedmodel",
        "inputs": told[:1],
        "outputs": told[1:],
    }


def _tensor_info(spec: Any) -> dict[str, Any]:
    sizes = [{"size": str(-1 if n is None else n), "name": ""} for n in spec.shape]
    return {
        "dtype": f"DT_{spec.dtype.name.upper()}".replace("FLOAT32", "FLOAT"),
        "tensor_shape": {"dim": sizes, "unknown_rank": False},
        "name": spec.name,
    }

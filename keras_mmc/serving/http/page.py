"""What the page at `/` asks for: its files, an image looked at, an image attacked."""

import math
import pathlib
from typing import Any

import numpy as np

from keras_mmc.plotting.image_data import image_data
from keras_mmc.serving.http.engine import FILES, FLOATS, Engine
from keras_mmc.serving.http.limits import RefusedError

_STATIC = pathlib.Path(__file__).parent / "static"
_MEDIA_TYPES = {"page.html": "text/html", "page.css": "text/css", "page.js": "text/javascript"}
# Nothing is loaded from elsewhere, and no other site can show the page in a frame.
HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' blob: data:; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
}
_TIMES = 10  # the difference is shown this much larger


def static(name: str) -> tuple[bytes, str]:
    """A file of the page and its media type; a `RefusedError` for any other name."""
    if name not in _MEDIA_TYPES:
        raise RefusedError(404, "There is nothing here; the page is at /.")
    return (_STATIC / name).read_bytes(), _MEDIA_TYPES[name]


def facts(engine: Engine, name: str) -> dict[str, Any]:
    """What the page says of the model."""
    told = {key: engine.facts[key] for key in ("class_names", "image_shape", "box", "threshold")}
    return {
        "name": name,
        "takes_files": engine.takes_files,
        "statistic": engine.facts["statistic"],
        **told,
    }


def looked_at(engine: Engine, file: bytes) -> dict[str, Any]:
    """The answer for an image file."""
    return _told(engine, engine.answer(FILES, [file]))


def radius(text: str, box: tuple[float, float]) -> float:
    """The radius of an attack; a `RefusedError` unless it is between 0 and the width of the box."""
    low, high = box
    try:
        eps = float(text)
    except ValueError:
        eps = math.nan
    if not 0 < eps <= high - low:
        raise RefusedError(
            400, f"`eps` must be above 0 and at most {high - low:g}; received {text!r}."
        )
    return eps


def attacked(engine: Engine, file: bytes, eps: float) -> dict[str, Any]:
    """An attack on the prediction for an image file: whether it succeeded, and three pictures."""
    low, high = engine.box
    pixels = engine.pixels(file)
    clean = (low + pixels[np.newaxis].astype("float32") * ((high - low) / 255)).astype("float32")
    before = engine.answer(FLOATS, clean)
    label = int(before["label"][0])
    if label < 0:
        raise RefusedError(
            400, "The model has no answer for this image, so there is nothing to attack."
        )
    found = engine.attack(clean, label, eps)
    told: dict[str, Any] = {"eps": eps, "found": found is not None}
    told |= {"before": _told(engine, before), "clean": image_data(clean[0], engine.box)}
    if found is None:
        return told
    difference = (low + high) / 2 + _TIMES * (found[0] - clean[0])
    return told | {
        "after": _told(engine, engine.answer(FLOATS, found)),
        "adversarial": image_data(found[0], engine.box),
        "difference": image_data(difference, engine.box),
        "largest_change": float(np.abs(found - clean).max()),
        "times": _TIMES,
    }


def _told(engine: Engine, answers: dict[str, np.ndarray]) -> dict[str, Any]:
    """The answer for one image, its classes from the likeliest."""
    accepted, reason = bool(answers["accepted"][0]), int(answers["reason"][0])
    told: dict[str, Any] = {"accepted": accepted, "reason": engine.facts["reasons"][reason]}
    if answers["label"][0] < 0:
        return told | {"classes": []}
    order = np.argsort(-answers["probabilities"][0], kind="stable")
    distances = answers.get("distances")
    classes = [
        {"name": engine.class_names[k], "probability": float(answers["probabilities"][0, k])}
        | ({} if distances is None else {"distance": float(distances[0, k])})
        for k in order
    ]
    return told | {"statistic": float(answers[engine.facts["statistic"]][0]), "classes": classes}

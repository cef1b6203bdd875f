"""Names of other libraries: norms that mean the same, and arguments that have another name here."""

import inspect
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

_NORMS = {np.inf: "linf", "Linf": "linf", "inf": "linf", 2: "l2", "L2": "l2", "2": "l2"}
_ARGUMENTS = {
    **dict.fromkeys(("epsilon", "epsilons"), "`eps`"),
    **dict.fromkeys(
        ("eps_step", "eps_iter", "alpha", "abs_stepsize", "stepsize", "lr"),
        "`step_size`, in input units",
    ),
    "rel_stepsize": "`step_size`, in input units: the fraction times `eps`",
    **dict.fromkeys(
        ("max_iter", "nb_iter", "n_iter", "num_steps", "iterations", "max_iterations"), "`steps`"
    ),
    "decay_factor": "`decay`",
    **dict.fromkeys(("num_random_init", "n_restarts", "nb_restarts"), "`restarts`"),
    **dict.fromkeys(("random_init", "rand_init", "rand_minmax"), "`random_start`"),
    **dict.fromkeys(("clip_min", "clip_max", "bounds", "clip_values"), "`box=(low, high)`"),
    **dict.fromkeys(("ord", "p"), "`norm`"),
    **dict.fromkeys(("loss_fn", "loss"), "`objective`"),
    **dict.fromkeys(("y_target", "targets"), "`targeted=True`, with `targets=` in the call"),
    **dict.fromkeys(("n_queries", "max_queries", "nb_samples"), "`queries`"),
    **dict.fromkeys(
        ("model", "estimator", "classifier", "model_fn"),
        "given in the call: `PGD(8 / 255)(model, x, y)`",
    ),
    **dict.fromkeys(("batch_size", "seed", "verbose"), "given in the call, beside the images"),
}


def canonical_norm(norm: Any) -> Any:
    """`"linf"` or `"l2"` for what other libraries call them; anything else as it came."""
    try:
        return _NORMS.get(norm, norm)
    except TypeError:  # not hashable
        return norm


def check_arguments(cls: type, args: tuple, fields: Mapping[str, Any]) -> None:
    """Raises a `TypeError` with what is meant here by an argument of another library."""
    known = inspect.signature(cls.__init__).parameters  # type: ignore[misc]
    if args and isinstance(args[0], keras.Layer) and list(known)[1:2] == ["eps"]:
        raise TypeError(
            f"{cls.__name__} takes the model in the call: `{cls.__name__}(eps=...)(model, x, y)`."
        )
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in known.values()):
        return
    for name in fields:
        if name not in known and name in _ARGUMENTS:
            here = _meant(name, known)
            raise TypeError(
                f"{cls.__name__} has no argument {name!r}{f'; here it is {here}' if here else ''}. "
                f"Its arguments: {', '.join(list(known)[1:])}."
            )


def _meant(name, known):
    """What that name is here; `None` if it is an argument that the attack does not have."""
    answer = _ARGUMENTS[name]
    own = answer.split("`")[1].partition("=")[0] if answer.startswith("`") else None
    return answer if own is None or own in known else None

"""Names of other libraries: norms that mean the same, and arguments that have another name here."""

import inspect
from typing import Any

import numpy as np

_NORMS = {np.inf: "linf", "Linf": "linf", "inf": "linf", 2: "l2", "L2": "l2", "2": "l2"}
_ARGUMENTS = {
    **dict.fromkeys(("epsilon", "epsilons"), "`eps`"),
    **dict.fromkeys(
        ("eps_step", "eps_iter", "alpha", "abs_stepsize", "stepsize", "lr"),
        "`step_size`, in input units",
    ),
    "rel_stepsize": "`step_size`, in input units: the fraction times `eps`",
    **dict.fromkeys(("max_iter", "nb_iter", "n_iter", "num_steps", "iterations"), "`steps`"),
    **dict.fromkeys(("num_random_init", "n_restarts", "nb_restarts"), "`restarts`"),
    **dict.fromkeys(("random_init", "rand_init"), "`random_start`"),
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


def check_argument_names(cls: type, names: Any) -> None:
    """Raises a `TypeError` with the name used here for an argument of another library."""
    known = inspect.signature(cls.__init__).parameters  # type: ignore[misc]
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in known.values()):
        return
    for name in names:
        if name not in known and name in _ARGUMENTS:
            fields = ", ".join(list(known)[1:])
            raise TypeError(
                f"{cls.__name__} has no argument {name!r}; here it is {_ARGUMENTS[name]}. "
                f"Its arguments: {fields}."
            )

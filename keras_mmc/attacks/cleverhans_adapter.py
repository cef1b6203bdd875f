"""Any attack function of cleverhans as an attack of this package."""

import dataclasses
import importlib
import inspect
from collections.abc import Callable, Hashable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_mmc import objectives
from keras_mmc._gradients import value_and_gradient
from keras_mmc._validation import is_number
from keras_mmc.attacks._engine.fields import check_fields, of_width
from keras_mmc.attacks._engine.projections import clip_to_box
from keras_mmc.attacks.ball import Ball
from keras_mmc.attacks.base import Attack

_BROKEN = {
    "carlini_wagner_l2": "the Carlini-Wagner attack of keras_mmc.attacks",
    "spsa": "the SPSA attack of keras_mmc.attacks",
    "basic_iterative_method": "keras_mmc.attacks.BIM",
    "madry_et_al": "keras_mmc.attacks.PGD",
}
_SET_HERE = {
    "y": "labels come with the call",
    "targeted": "pass `targeted` to CleverHans, before the arguments of the function",
    "clip_min": "pass `box=(low, high)`",
    "clip_max": "pass `box=(low, high)`",
    "loss_fn": "pass `objective`",
    "sanity_checks": "inputs are checked by CleverHans; those of cleverhans fail on Keras 3",
}

# Arguments in input units.
_LENGTHS = ("eps", "eps_iter")


@keras.saving.register_keras_serializable("keras_mmc")
@dataclasses.dataclass(frozen=True, init=False)
class CleverHans(Attack):
    """An attack function of `cleverhans.tf2.attacks`, on any loss of this package.

    Labels, targets, the box and the loss are handed over in the form cleverhans expects. The
    function runs inside one traced graph; its own random start cannot be seeded, so take
    `keras_mmc.attacks.PGD` where a run must be repeatable.

    Args:
        function: the attack, such as `projected_gradient_descent`.
        objective: what it maximizes: a Keras loss, the name of an objective, or a function of
            `(scores, labels)`; `None` leaves the function its own loss, cross-entropy.
        targeted: whether to reach a target; cleverhans then minimizes the objective of the target.
        box: `(low, high)`, where images live.
        **arguments: all other arguments of the function, such as `eps` and `norm`. Lengths left to
            the function's own defaults, which are for images in [0, 1], grow with the width of the
            box.

    Raises:
        ValueError: if the function does not work on Keras 3, if it takes no loss but `objective`
            is given, or if an argument is unknown, missing, unhashable or set by this class.

    Example:
    >>> from cleverhans.tf2.attacks.fast_gradient_method import fast_gradient_method
    >>> attack = CleverHans(fast_gradient_method, objective=keras_mmc.MMCLoss(), eps=0.1, norm=2)
    >>> x_adv = attack(model, x_test, y_test)
    """

    function: Callable
    objective: "str | Callable | keras.losses.Loss | None"
    targeted: bool
    box: tuple[float, float]
    arguments: tuple[tuple[str, Hashable], ...]
    # Made once: cleverhans traces its gradient anew for every new loss function.
    _loss_fn: Callable | None = dataclasses.field(repr=False, compare=False)

    # The loss is wrapped when the attack is made; see `_loss_fn`.
    has_objective = False

    def __init__(
        self,
        function: Callable,
        *,
        objective: "str | Callable | keras.losses.Loss | None" = None,
        targeted: bool = False,
        box: tuple[float, float] = (0.0, 1.0),
        **arguments: Hashable,
    ):
        _check_function(function, objective, arguments)
        values = {
            "function": function,
            "objective": objective,
            "targeted": targeted,
            "box": box,
            "arguments": tuple(sorted(arguments.items())),
            "_loss_fn": None if objective is None else _loss_function(objective),
        }
        for name, value in values.items():
            object.__setattr__(self, name, value)
        check_fields(self)

    @property
    def aims(self) -> bool:
        """Cleverhans minimizes the untargeted objective of the target."""
        return False

    def all_arguments(self) -> dict[str, Any]:
        """The arguments, and the lengths among the function's own defaults, in input units."""
        known = inspect.signature(self.function).parameters
        lengths = {name: known[name].default for name in _LENGTHS if name in known}
        scaled = {n: of_width(None, v, self.box) for n, v in lengths.items() if is_number(v)}
        return scaled | dict(self.arguments)

    @property
    def ball(self) -> Ball | None:
        arguments = self.all_arguments()
        norm = {2: "l2", np.inf: "linf"}.get(arguments.get("norm", np.inf))
        if norm is None or not is_number(arguments.get("eps")):
            return None
        return Ball(arguments["eps"], norm, self.box)

    @property
    def starts_at_random(self) -> bool:
        known = inspect.signature(self.function).parameters
        return "rand_init" in known and bool(
            dict(self.arguments).get("rand_init", known["rand_init"].default)
        )

    def get_config(self):
        return {
            "function": self.function.__name__,
            "objective": keras.saving.serialize_keras_object(self.objective),
            "targeted": self.targeted,
            "box": self.box,
            "arguments": dict(self.arguments),
        }

    @classmethod
    def from_config(cls, config):
        name = config["function"]
        module = importlib.import_module(f"cleverhans.tf2.attacks.{name}")
        return cls(
            getattr(module, name),
            objective=keras.saving.deserialize_keras_object(config["objective"]),
            targeted=config["targeted"],
            box=tuple(config["box"]),
            **config["arguments"],
        )

    def run(self, score_fn, x, y, seed, targets, early_stop):
        """What the function returns, clipped to the box."""
        # A model that cuts gradients is refused here; in a graph nothing of this is computed.
        value_and_gradient(lambda x: tf.reduce_max(score_fn(x), axis=-1), x)
        handed_over = {
            "y": targets,
            "targeted": self.targeted,
            "clip_min": self.box[0],
            "clip_max": self.box[1],
            "sanity_checks": False,
        }
        if self._loss_fn is not None:
            handed_over["loss_fn"] = self._loss_fn
        known = inspect.signature(self.function).parameters
        handed_over = {name: value for name, value in handed_over.items() if name in known}
        adversarial = self.function(score_fn, x, **self.all_arguments(), **handed_over)
        return clip_to_box(tf.cast(adversarial, x.dtype), self.box)


def _loss_function(objective):
    """An untargeted objective as cleverhans calls losses: `loss_fn(labels=, logits=)`."""
    objective = objectives.for_goal(objective, targeted=False)

    def loss_fn(labels, logits):
        return objective(logits, labels, None)

    return loss_fn


def _check_function(function, objective, arguments):
    name = getattr(function, "__name__", repr(function))
    if name in _BROKEN:
        raise ValueError(
            f"cleverhans' {name} does not run in a graph on Keras 3. Use {_BROKEN[name]}."
        )
    for argument, value in arguments.items():
        if argument in _SET_HERE:
            raise ValueError(f"CleverHans sets `{argument}` itself: {_SET_HERE[argument]}.")
        if not isinstance(value, Hashable):
            raise ValueError(
                f"CleverHans: `{argument}` must be a plain value such as a number; received "
                f"{value!r}."
            )
    signature = inspect.signature(function)
    if objective is not None and "loss_fn" not in signature.parameters:
        raise ValueError(
            f"cleverhans' {name} takes no loss, so the objective must be None; received "
            f"{objective!r}. It attacks cross-entropy; the attacks of this package take any."
        )
    try:
        signature.bind(None, None, **arguments)
    except TypeError as error:
        raise ValueError(
            f"CleverHans: the arguments {sorted(arguments)} do not fit cleverhans' {name}: "
            f"{error}. It takes {[p for p in signature.parameters if p not in _SET_HERE][2:]}."
        ) from error

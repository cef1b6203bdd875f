"""The flags of defenses and regularizers, and --recipe, which sets them by name."""

from __future__ import annotations

import importlib
import inspect
import math
import pathlib
from typing import TYPE_CHECKING, Any

from absl import flags

import keras_mmc
from keras_mmc.commands import image_flags
from keras_mmc.recipes import DEVIATIONS, RECIPES

if TYPE_CHECKING:
    import keras

    from keras_mmc import defenses, regularizers

MAIL = ("mail_at", "mail_trades", "mail_mart")
DEFENSES = (
    *("none", "at", "fast", "free", "trades", "mart", *MAIL, "cot", "cleverhans", "differential"),
)
_BETA = {"trades": 6.0, "mart": 5.0, "mail_trades": 5.0, "mail_mart": 5.0}
_WEIGHTS = {"emr": 3.0, "input_gradient": 0.1, "awp": 0.01}

_DEFENSE_HELP = (
    "Defense to train with: at is adversarial training with PGD, fast and free are cheaper forms "
    "of it, mail_* weight samples by their margins, cot is complement training, cleverhans takes "
    "an attack of cleverhans, differential trains with a loss of pairs (see --classes)."
)

FLAGS = flags.FLAGS
flags.DEFINE_enum(
    "recipe", None, sorted(RECIPES), "Published settings; flags given with it take precedence."
)
flags.DEFINE_enum("defense", "none", DEFENSES, _DEFENSE_HELP)
flags.DEFINE_float(
    "attack_eps",
    None,
    "Radius of the L-infinity ball of the defense, in units of --box.",
    lower_bound=0.0,
)
flags.DEFINE_integer(
    "attack_steps", 10, "Steps of PGD; with --defense=free, replays of a batch.", lower_bound=1
)
flags.DEFINE_float("attack_step_size", None, "Length of a step; default: 2.5 * eps / steps.")
flags.DEFINE_string(
    "attack_objective", None, "What the attack maximizes; default: the defense's own objective."
)
flags.DEFINE_enum(
    "attack_start",
    "default",
    ["default", "ball"],
    "Where the attack of trades and mail_trades starts: at small noise, or anywhere in the ball.",
)
flags.DEFINE_boolean("attack_targeted", False, "Whether PGD reaches for random wrong classes.")
flags.DEFINE_string(
    "cleverhans_attack",
    "projected_gradient_descent",
    "With --defense=cleverhans: the name of a function in cleverhans.tf2.attacks.",
)
flags.DEFINE_integer("eps_ramp", 0, "Epochs over which eps rises to --attack_eps.", lower_bound=0)
flags.DEFINE_float("beta", None, "Weight of the divergence in trades and mart.")
flags.DEFINE_float("mail_slope", None, "Slope of the sample weights of mail_*.")
flags.DEFINE_float("mail_bias", None, "Margin at which the weight of mail_* is one half.")
flags.DEFINE_integer("mail_burn_in", 0, "Epochs before the weights of mail_* apply.")
flags.DEFINE_enum(
    "mail_burn_in_defense",
    "same",
    ["same", "at"],
    "What trains in those epochs: the same defense without weights, or at on the training loss.",
)
flags.DEFINE_enum(
    "regularizer",
    "none",
    ["none", "emr", "input_gradient", "awp"],
    "Regularizer: effective margin, input gradient of the loss, adversarial weight perturbation.",
)
flags.DEFINE_float(
    "regularizer_weight",
    None,
    "Weight of emr (default 3) and input_gradient (default 0.1), gamma of awp (default 0.01).",
)
flags.DEFINE_float("regularizer_temperature", 40.0, "Temperature of emr.")
flags.DEFINE_integer(
    "validation_images", 1000, "Validation images that are attacked after every epoch of a defense."
)


def apply_recipe() -> None:
    """Set the flags of --recipe that were not given; print them, and how the recipe deviates."""
    if FLAGS.recipe is None:
        return
    for name, value in RECIPES[FLAGS.recipe].items():
        if not FLAGS[name].present:  # also true of what was given by its other name, --dataset
            FLAGS[name].value = value
    settings = {name: FLAGS[name].value for name in RECIPES[FLAGS.recipe]}
    print(f"Recipe {FLAGS.recipe}: " + ", ".join(f"{k}={v}" for k, v in settings.items()))
    print("What differs from the publication, and what to know:")
    print("\n".join(f"- {line}" for line in DEVIATIONS[FLAGS.recipe]))


def build_defense() -> defenses.Defense:
    """The defense of the flags.

    Raises:
        ValueError: if a defense that attacks comes without --attack_eps, or --attack_start with one
            that starts elsewhere.
    """
    from keras_mmc import attacks, defenses

    name, box = FLAGS.defense, image_flags.box()
    if name in ("none", "cot"):
        return defenses.StandardTraining() if name == "none" else defenses.ComplementTraining()
    if name == "differential" and not FLAGS.attack_eps:
        return defenses.DifferentialTraining()
    if not FLAGS.attack_eps:
        raise ValueError(f"--defense={name} needs --attack_eps > 0, such as 0.3 for MNIST.")
    if name == "free":
        return defenses.FreeAdversarialTraining(
            FLAGS.attack_eps, FLAGS.attack_steps, FLAGS.attack_step_size, box
        )
    if name == "cleverhans":
        return _cleverhans()
    options: dict[str, Any] = {"eps_schedule": _eps_schedule()}
    if FLAGS.attack_objective is not None:
        options["objective"] = FLAGS.attack_objective
    if name == "fast":
        return defenses.FastAdversarialTraining(
            FLAGS.attack_eps, FLAGS.attack_step_size, box, **options
        )
    attack = attacks.PGD(
        FLAGS.attack_eps,
        steps=FLAGS.attack_steps,
        step_size=FLAGS.attack_step_size,
        box=box,
        targeted=FLAGS.attack_targeted,
    )
    if name == "differential":
        return defenses.DifferentialTraining(attack)
    if name in _BETA:
        options["beta"] = _BETA[name] if FLAGS.beta is None else FLAGS.beta
    if FLAGS.attack_start == "ball":
        if not name.endswith("trades"):
            raise ValueError(f"--attack_start=ball is for trades and mail_trades, not for {name}.")
        options["uniform_start"] = True
    makes = {"at": defenses.AdversarialTraining, "trades": defenses.TRADES, "mart": defenses.MART}
    defense = makes[name.removeprefix("mail_")](attack, **options)
    if name not in MAIL:
        return defense
    burn_in = None
    if FLAGS.mail_burn_in_defense == "at":
        options = {"objective": "training_loss", "eps_schedule": _eps_schedule()}
        burn_in = defenses.AdversarialTraining(attack, **options)
    mail = FLAGS.mail_slope, FLAGS.mail_bias, FLAGS.mail_burn_in
    return defenses.MAIL(defense, *mail, burn_in_defense=burn_in)


def _cleverhans():
    """Adversarial training on a function of cleverhans, with the arguments that it takes."""
    name = FLAGS.cleverhans_attack
    try:
        function = getattr(importlib.import_module(f"cleverhans.tf2.attacks.{name}"), name)
    except (ImportError, AttributeError):
        raise ValueError(
            f"cleverhans.tf2.attacks has no {name!r}. Pass the name of one of its attacks, such as "
            "--cleverhans_attack=fast_gradient_method."
        ) from None
    step = FLAGS.attack_step_size or 2.5 * FLAGS.attack_eps / FLAGS.attack_steps
    values = {"eps": FLAGS.attack_eps, "norm": math.inf}
    values |= {"eps_iter": step, "nb_iter": FLAGS.attack_steps}
    known = inspect.signature(function).parameters
    arguments = {key: value for key, value in values.items() if key in known}
    objective = FLAGS.attack_objective or ("margin" if "loss_fn" in known else None)
    return keras_mmc.defenses.CleverHansTraining(
        function, box=image_flags.box(), attack_objective=objective, **arguments
    )


def _eps_schedule():
    if FLAGS.eps_ramp < 2:
        return None
    import keras

    rise = FLAGS.attack_eps / FLAGS.eps_ramp
    return keras.optimizers.schedules.PolynomialDecay(rise, FLAGS.eps_ramp - 1, FLAGS.attack_eps)


def steps_per_batch() -> int:
    """Optimizer steps on each batch: free training replays it."""
    return FLAGS.attack_steps if FLAGS.defense == "free" else 1


def build_regularizer(loss: keras.losses.Loss | str) -> regularizers.Regularizer | None:
    """The regularizer of the flags, or `None`; `loss` is what the input gradient is taken of."""
    from keras_mmc import regularizers

    if FLAGS.regularizer == "none":
        return None
    given = FLAGS.regularizer_weight
    weight = _WEIGHTS[FLAGS.regularizer] if given is None else given
    if FLAGS.regularizer == "emr":
        return regularizers.EffectiveMarginRegularizer(weight, FLAGS.regularizer_temperature)
    if FLAGS.regularizer == "input_gradient":
        return regularizers.InputGradientPenalty(weight, loss)
    return regularizers.AdversarialWeightPerturbation(weight)


def build_callbacks(directory: pathlib.Path) -> list[keras.callbacks.Callback]:
    """The callbacks of a defense: the most robust epoch is kept in best.keras."""
    from keras_mmc import callbacks

    chosen: list[Any] = []
    attacked = FLAGS.attack_eps if FLAGS.defense == "differential" else True
    if FLAGS.defense not in ("none", "cot") and attacked:
        chosen.append(callbacks.BestRobustCheckpoint(directory / "best.keras"))
    if FLAGS.defense == "fast":
        chosen.append(callbacks.StopOnCatastrophicOverfitting())
    if FLAGS.regularizer in ("emr", "input_gradient") and FLAGS.schedule == "drops":
        chosen.append(callbacks.DecayRegularizer())
    return chosen

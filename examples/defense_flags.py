"""The flags of defences and regularizers, and the recipes that set them by name."""

import keras
from absl import flags

from keras_mmc import attacks, defenses, regularizers, training


def _decoupled(decay):
    """A published weight decay for Keras, whose momentum, here 0.9, does not add it up tenfold."""
    return decay / (1 - 0.9)


# What published runs set; emr_* and the recipes of WRN-34-10 from Liu & Chan, BMVC 2022 and its
# released code, TRADES on MNIST from Zhang et al., ICML 2019, MMC from Pang et al., ICLR 2020.
_PGD_10 = {
    "defense": "at",
    "attack_eps": 8 / 255,
    "attack_steps": 10,
    "attack_step_size": 2 / 255,
    "attack_objective": "training_loss",
}
_CIFAR10_AT = {
    "dataset": "cifar10",
    "model": "wide_resnet",
    "depth": 34,
    "loss": "softmax",
    "optimizer": "sgd",
    "learning_rate": 0.1,
    "batch_size": 128,
    "augment": True,
    "schedule": "drops",
} | _PGD_10
RECIPES = {
    "mmc_at_cifar10": {
        "dataset": "cifar10",
        "model": "resnet_v2",
        "depth": 29,
        "loss": "mmc",
        "scale": 10.0,
        "optimizer": "sgd",
        "learning_rate": 0.01,
        "batch_size": 50,
        "epochs": 200,
        "schedule": "drops",
        "drops": ["100", "150"],
        "augment": True,
    }
    | _PGD_10,
    "trades_mnist": {
        "dataset": "mnist",
        "loss": "softmax",
        "optimizer": "sgd",
        "learning_rate": 0.01,
        "batch_size": 128,
        "epochs": 100,
        "schedule": "drops",
        "drops": ["55", "75", "90"],
        "augment": False,
        "defense": "trades",
        "beta": 1.0,
        "attack_eps": 0.3,
        "attack_steps": 40,
        "attack_step_size": 0.01,
    },
    "at_emr_cifar10": _CIFAR10_AT
    | {
        "epochs": 100,
        "drops": ["60", "90"],
        "weight_decay": _decoupled(5e-4),
        "regularizer": "emr",
        "regularizer_weight": 3.0,
        "regularizer_temperature": 40.0,
    },
    "trades_emr_cifar10": _CIFAR10_AT
    | {
        "epochs": 130,
        "drops": ["60", "120"],
        "weight_decay": _decoupled(1e-3),
        "defense": "trades",
        "beta": 12.0,
        "attack_objective": "cross_entropy",
        "regularizer": "emr",
        "regularizer_weight": 1.0,
        "regularizer_temperature": 1.0,
    },
    "mail_at_emr_cifar10": _CIFAR10_AT
    | {
        "epochs": 100,
        "drops": ["75", "90"],
        "weight_decay": _decoupled(2e-4),
        "defense": "mail_at",
        "mail_bias": -0.07,
        "mail_slope": 30.0,
        "mail_burn_in": 75,
        "regularizer": "emr",
        "regularizer_weight": 1.0,
        "regularizer_temperature": 0.1,
    },
    "mail_trades_emr_cifar10": _CIFAR10_AT
    | {
        "epochs": 100,
        "drops": ["75", "90"],
        "weight_decay": _decoupled(2e-4),
        "defense": "mail_trades",
        "beta": 5.0,
        "mail_bias": 0.05,
        "mail_slope": 5.0,
        "mail_burn_in": 75,
        "regularizer": "emr",
        "regularizer_weight": 1.0,
        "regularizer_temperature": 0.1,
    },
    "mart_cifar10": _CIFAR10_AT
    | {
        "model": "preact_resnet18",
        "depth": None,
        "epochs": 120,
        "drops": ["75", "90", "100"],
        "learning_rate": 0.01,
        "weight_decay": _decoupled(3.5e-3),
        "defense": "mart",
        "beta": 5.0,
    },
    "gce_mnist": {
        "dataset": "mnist",
        "model": "lenet5",
        "loss": "gce",
        "optimizer": "adam",
        "adam_beta_2": 0.99,
        "learning_rate": 1e-3,
        "schedule": "constant",
        "batch_size": 64,
        "epochs": 20,
        "augment": False,
    },
}
DEFENSES = (
    "none",
    "at",
    "fast",
    "free",
    "trades",
    "mart",
    "mail_at",
    "mail_trades",
    "mail_mart",
    "cot",
)
_BETA = {"trades": 6.0, "mart": 5.0, "mail_trades": 5.0, "mail_mart": 5.0}
_WEIGHTS = {"emr": 3.0, "input_gradient": 0.1, "awp": 0.01}

FLAGS = flags.FLAGS
flags.DEFINE_enum(
    "recipe", None, sorted(RECIPES), "Published setting; flags given beside it go before it."
)
flags.DEFINE_enum("defense", "none", DEFENSES, "Defence to train with.")
flags.DEFINE_float(
    "attack_eps",
    None,
    "Radius of the L-infinity ball of the defence, in [0, 1] pixel units.",
    lower_bound=0.0,
)
flags.DEFINE_integer("attack_steps", 10, "PGD steps; replays of free.", lower_bound=1)
flags.DEFINE_float("attack_step_size", None, "Length of a step; default: 2.5 * eps / steps.")
flags.DEFINE_string(
    "attack_objective", None, "What the attack maximises; default: the defence's own."
)
flags.DEFINE_integer("eps_ramp", 0, "Epochs over which eps rises to --attack_eps.", lower_bound=0)
flags.DEFINE_float("beta", None, "Weight of the divergence of trades and mart.")
flags.DEFINE_float("mail_slope", None, "Slope of the sample weights of mail_*.")
flags.DEFINE_float("mail_bias", None, "Margin at which the weight of mail_* is one half.")
flags.DEFINE_integer("mail_burn_in", 0, "Epochs before the weights of mail_* apply.")
flags.DEFINE_enum(
    "regularizer",
    "none",
    ["none", "emr", "input_gradient", "awp"],
    "Effective margin, input gradient of the loss, or adversarial weight perturbation.",
)
flags.DEFINE_float(
    "regularizer_weight",
    None,
    "Weight of emr (default 3) and input_gradient (default 0.1), gamma of awp (default 0.01).",
)
flags.DEFINE_float("regularizer_temperature", 40.0, "Temperature of emr.")
flags.DEFINE_integer(
    "validation_images", 1000, "Validation images attacked after every epoch of a defence."
)


def apply_recipe():
    """Set the flags of --recipe that were not given, and print all of them."""
    if FLAGS.recipe is None:
        return
    for name, value in RECIPES[FLAGS.recipe].items():
        if FLAGS[name].using_default_value:
            FLAGS[name].value = value
    settings = {name: FLAGS[name].value for name in RECIPES[FLAGS.recipe]}
    print(f"Recipe {FLAGS.recipe}: " + ", ".join(f"{k}={v}" for k, v in settings.items()))


def build_defense():
    """The defence of the flags, `None` for plain training without a regularizer.

    Raises:
        ValueError: if a defence that attacks comes without --attack_eps.
    """
    name = FLAGS.defense
    if name in ("none", "cot"):
        return defenses.StandardTraining() if name == "none" else defenses.ComplementTraining()
    if not FLAGS.attack_eps:
        raise ValueError(f"--defense={name} needs --attack_eps > 0, such as 0.3 for MNIST.")
    if name == "free":
        return defenses.FreeAdversarialTraining(
            FLAGS.attack_eps, FLAGS.attack_steps, FLAGS.attack_step_size
        )
    options = {"eps_schedule": _eps_schedule()}
    if FLAGS.attack_objective is not None:
        options["objective"] = FLAGS.attack_objective
    if name == "fast":
        return defenses.FastAdversarialTraining(FLAGS.attack_eps, FLAGS.attack_step_size, **options)
    attack = attacks.PGD(
        FLAGS.attack_eps, steps=FLAGS.attack_steps, step_size=FLAGS.attack_step_size
    )
    kind = name.removeprefix("mail_")
    if kind == "at":
        defense = defenses.AdversarialTraining(attack, **options)
    else:
        beta = _BETA[name] if FLAGS.beta is None else FLAGS.beta
        make = {"trades": defenses.TRADES, "mart": defenses.MART}[kind]
        defense = make(attack, beta=beta, **options)
    if name == kind:
        return defense
    return defenses.MAIL(defense, FLAGS.mail_slope, FLAGS.mail_bias, FLAGS.mail_burn_in)


def _eps_schedule():
    if FLAGS.eps_ramp < 2:
        return None
    rise = FLAGS.attack_eps / FLAGS.eps_ramp
    return keras.optimizers.schedules.PolynomialDecay(rise, FLAGS.eps_ramp - 1, FLAGS.attack_eps)


def steps_per_batch():
    """Optimizer steps on each batch: free training replays it."""
    return FLAGS.attack_steps if FLAGS.defense == "free" else 1


def build_regularizer(loss):
    """The regularizer of the flags, or `None`; `loss` is what the input gradient is taken of."""
    weight = FLAGS.regularizer_weight
    if weight is None:
        weight = _WEIGHTS.get(FLAGS.regularizer)
    if FLAGS.regularizer == "emr":
        return regularizers.EffectiveMarginRegularizer(weight, FLAGS.regularizer_temperature)
    if FLAGS.regularizer == "input_gradient":
        return regularizers.InputGradientPenalty(weight, loss)
    if FLAGS.regularizer == "awp":
        return regularizers.AdversarialWeightPerturbation(weight)
    return None


def build_callbacks(directory):
    """Callbacks of a defended run: the most robust epoch is kept in best.keras."""
    callbacks = []
    if FLAGS.defense not in ("none", "cot"):
        callbacks.append(training.BestRobustCheckpoint(directory / "best.keras"))
    if FLAGS.defense == "fast":
        callbacks.append(training.StopOnCatastrophicOverfitting())
    if FLAGS.regularizer in ("emr", "input_gradient") and FLAGS.schedule == "drops":
        callbacks.append(training.DecayRegularizer())
    return callbacks

"""Every attack, loss, defense and regularizer on a small network, with and without XLA."""

import functools
import inspect
import itertools

import keras
import networks
import numpy as np
import tensorflow as tf
from cleverhans.tf2.attacks.fast_gradient_method import fast_gradient_method

import keras_mmc
from keras_mmc import attacks, defenses, losses, regularizers

RADIUS = 0.05
IMAGES, LABELS = np.random.default_rng(0).random((8, 10, 10, 1), "float32"), np.arange(8) % 4


def concrete(module, base):
    """The classes of a kind that a module offers; base classes are not registered with Keras."""
    named = [getattr(module, name) for name in module.__all__]
    registered = list(keras.saving.get_custom_objects().values())
    return [c for c in named if c in registered and isinstance(c, type) and issubclass(c, base)]


def made(cls, norm="linf"):
    """An attack, defense or regularizer, with short values for the parameters that it has."""
    names = inspect.signature(cls).parameters
    attack = attacks.PGD(RADIUS, steps=2, norm=norm)
    values = {"eps": RADIUS, "norm": norm, "steps": 3, "restarts": 2, "num_targets": 2}
    values |= {"binary_search_steps": 2, "queries": 20, "samples": 8, "num_angles": 3}
    values |= {"sigma": 0.1, "replays": 2, "weight": 1.0, "temperature": 10.0}
    values |= {"attack": attack, "version": (attack,), "function": fast_gradient_method}
    values["defense"] = defenses.AdversarialTraining(attack)
    values = {name: value for name, value in values.items() if name in names}
    values |= {"substitute": networks.small()} if "substitute" in names else {}
    values |= {"eps": RADIUS, "norm": np.inf} if "function" in names else {}
    return cls(**values)


def check_attack(cls, view, norm="linf"):
    """The search of an attack, or its training view in a graph or under XLA."""
    model, attack, x = networks.small(), made(cls, norm), IMAGES

    @functools.partial(tf.function, jit_compile=view == "XLA", autograph=False)
    def generate(x, y):
        return attack.generate(attacks.score_function(model), x, y, 0)

    if view == "search":
        found = attack(model, x)
    elif not attack.trains:
        return "ok: it has no training view"
    else:
        y = tf.argmax(model(x, training=False), -1, tf.int32)
        found = generate(tf.constant(x), y).numpy()
    ball = attack.ball or attacks.Ball(1e30, box=attack.box)
    inside = found.shape == x.shape and ball.holds(found, x).all()
    return "ok" if inside else "the images are outside of the ball or the box"


def head_for(loss, classes):
    """The head that gives the scores a loss needs; `None` for a dense layer."""
    if not loss.needs_distances:
        return None
    fixed = loss.needs_fixed_centers
    return (keras_mmc.MaxMahalanobisCenters if fixed else keras_mmc.LearnedCenters)(classes)


def loss_for(defense):
    """A loss and a number of classes that a defense admits."""
    for classes, loss in itertools.product((4, 2), (losses.MMCLoss(), losses.DifferentialLoss())):
        try:
            defense.check(loss, classes)
        except ValueError:
            continue
        return loss, classes
    raise ValueError(f"{defense!r} admits none of the losses tried.")


def check_step(cls, policy, xla):
    """One batch of `fit` with a loss, a defense or a regularizer."""
    loss, classes, defense, regularizer = losses.MMCLoss(), 4, None, None
    if issubclass(cls, keras.losses.Loss):
        loss = cls()
    elif issubclass(cls, defenses.Defense):
        defense = made(cls)
        loss, classes = loss_for(defense)
    else:
        regularizer = made(cls)
    model = networks.compiled(
        lambda: networks.small(head_for(loss, classes), classes),
        policy,
        defense,
        loss,
        xla,
        regularizer,
    )
    value = model.fit(IMAGES, LABELS % classes, verbose=0).history["loss"][0]
    return "ok" if np.isfinite(value) else f"the loss is {value}"


def check_audit():
    """An audit of the small network."""
    model = networks.small()
    labels = model.predict(IMAGES, verbose=0).argmax(axis=1)
    report = keras_mmc.audit(model, IMAGES, labels, RADIUS, "quick", verbose=0)
    return "ok" if report.clean_accuracy == 1 else "scores of one network differ"


def pieces(folder):
    """The functions of this part by name: all of float32 first."""
    del folder
    bind, named = functools.partial, {"audit": check_audit}
    searched = concrete(attacks, attacks.Attack)
    stepped = concrete(losses, losses.ScoreLoss) + concrete(defenses, defenses.Defense)
    stepped += concrete(regularizers, regularizers.Regularizer)
    for cls in searched:
        named[f"{cls.__name__}, search"] = bind(check_attack, cls, "search")
    for policy, view in itertools.product(("float32", "mixed_float16"), ("graph", "XLA")):
        for cls in searched if policy == "float32" else ():
            named[f"{cls.__name__}, {view}"] = bind(check_attack, cls, view)
        for cls in stepped:
            name = f"{cls.__name__}, {policy}, {view}"
            named[name] = bind(check_step, cls, policy, view == "XLA")
    for cls in searched:
        if "norm" in inspect.signature(cls).parameters:
            named[f"{cls.__name__} l2, search"] = bind(check_attack, cls, "search", "l2")
    return named

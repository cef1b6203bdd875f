"""Every loss with every defense, with and without effective margin regularization, on digits."""

import re

import keras
import numpy as np
import pytest
from cleverhans.tf2.attacks.fast_gradient_method import fast_gradient_method

import keras_mmc
from keras_mmc import AdversarialModel, attacks, defenses

PGD = attacks.PGD(0.1, steps=2)
AT = defenses.AdversarialTraining(PGD)
DEFENSES = {
    "standard": defenses.StandardTraining(),
    "at": AT,
    "at, training loss": defenses.AdversarialTraining(PGD, objective="training_loss"),
    "fast": defenses.FastAdversarialTraining(0.1),
    "free": defenses.FreeAdversarialTraining(0.1, replays=2),
    "trades": defenses.TRADES(PGD),
    "mart": defenses.MART(PGD),
    "mail at": defenses.MAIL(AT),
    "mail trades": defenses.MAIL(defenses.TRADES(PGD)),
    "mail mart": defenses.MAIL(defenses.MART(PGD)),
    "complement": defenses.ComplementTraining(),
    "complement, one step": defenses.ComplementTraining(single_step=True),
    "differential": defenses.DifferentialTraining(PGD),
    "cleverhans": defenses.CleverHansTraining(fast_gradient_method, eps=0.1, norm=np.inf),
    "binary trades": defenses.BinaryTRADES(PGD),
}
LOSSES = {
    "softmax": (keras.losses.SparseCategoricalCrossentropy(from_logits=True), "dense"),
    "mmc": (keras_mmc.MMCLoss(), "centers"),
    "elastic_mmc": (keras_mmc.ElasticMMCLoss(), "elastic"),
    "shell_mmc": (keras_mmc.ShellMMCLoss(), "centers"),
    "mm_lda": (keras_mmc.MMLDALoss(), "centers"),
    "center": (keras_mmc.CenterLoss(), "dense with centers"),
    "lgm": (keras_mmc.LGMLoss(), "learned"),
    "gce": (keras_mmc.GuidedComplementEntropy(), "dense"),
    "differential": (keras_mmc.DifferentialLoss(), "dense"),
    "complement": (keras_mmc.ComplementEntropy(), "dense"),
}
HEADS = {
    "dense": lambda: keras.layers.Dense(10),
    "centers": lambda: keras_mmc.MaxMahalanobisCenters(10),
    "elastic": lambda: keras_mmc.ElasticCenters(10),
    "learned": lambda: keras_mmc.LearnedCenters(10),
    "dense with centers": lambda: keras_mmc.DenseWithCenters(10),
}


def illegal(defense, loss):
    """Why a pair is refused, as the start of a sentence of the error; `None` if it is legal."""
    if defense == "differential":
        return None if loss == "differential" else "DifferentialTraining trains with"
    if loss == "complement":
        return "ComplementEntropy alone"
    if defense == "binary trades":
        return "is for 2 classes"
    if loss == "differential" and ("mart" in defense or "mail" in defense):
        return "needs the loss of single samples"
    return None


PAIRS = [(defense, loss) for defense in DEFENSES for loss in LOSSES]


def build(defense, loss, regularizer=None):
    loss, head = LOSSES[loss]
    layers = [keras.layers.Flatten(), keras.layers.Dense(16, "relu"), keras.layers.Dense(12)]
    model = keras.Sequential([keras.Input((8, 8, 1)), *layers, HEADS[head]()])
    robust = AdversarialModel(model, DEFENSES[defense], regularizer)
    # Eagerly: nothing is run often enough here to be worth a graph.
    robust.compile(keras.optimizers.Adam(1e-3), loss, metrics=["accuracy"], run_eagerly=True)
    return robust


@pytest.mark.parametrize(("defense", "loss"), [pair for pair in PAIRS if illegal(*pair)])
def test_illegal_pairs_are_refused(defense, loss):
    """Fails if a pair that cannot be trained is accepted, or refused without its reason."""
    with pytest.raises(ValueError, match=re.escape(illegal(defense, loss))):
        build(defense, loss)


LEGAL = [(*pair, None) for pair in PAIRS if not illegal(*pair)]
# A regularizer with every defense and with every loss.
LEGAL += [
    (defense, loss, keras_mmc.EffectiveMarginRegularizer(1.0, 40.0))
    for defense, loss, _ in LEGAL
    if "mmc" in (defense, loss) or defense == "trades"
]


@pytest.mark.parametrize(("defense", "loss", "regularizer"), LEGAL)
def test_legal_pairs_train(defense, loss, regularizer, digits):
    """Fails if a pair gives a loss or weights that are not finite, or does not move."""
    robust = build(defense, loss, regularizer)
    before = [weight.numpy() for weight in robust.model.trainable_variables]
    x, y = digits[0][:48], digits[1][:48]
    history = robust.fit(x, y, batch_size=24, epochs=1, verbose=0).history
    assert np.isfinite(history["loss"]).all()
    after = [weight.numpy() for weight in robust.model.trainable_variables]
    assert all(np.isfinite(weight).all() for weight in after)
    assert max(np.abs(a - b).max() for a, b in zip(after, before, strict=True)) > 1e-4

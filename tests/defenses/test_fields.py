"""What defenses refuse, and the constants that they choose."""

import dataclasses

import keras
import numpy as np
import pytest
from cleverhans.tf2.attacks.fast_gradient_method import fast_gradient_method
from cleverhans.tf2.attacks.momentum_iterative_method import momentum_iterative_method
from cleverhans.tf2.attacks.projected_gradient_descent import projected_gradient_descent

import keras_mmc
from keras_mmc import AdversarialModel, attacks, defenses

from .test_matrix import DEFENSES

PGD = attacks.PGD(0.1)
PLAIN = defenses.AdversarialTraining(PGD)
MODEL = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
SCHEDULE = keras.optimizers.schedules.PolynomialDecay(0.0, 5, 0.1)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: defenses.AdversarialTraining(None), "`attack` must be an attack"),
        (lambda: defenses.AdversarialTraining(attacks.PGD(0.0)), "eps=0.0 perturbs nothing"),
        (
            lambda: defenses.AdversarialTraining(PGD, 1.0),
            "`clean_fraction` must be .* < 1",
        ),
        (lambda: defenses.AdversarialTraining(PGD, start_epoch=-1), "`start_epoch` must be"),
        (lambda: defenses.AdversarialTraining(PGD, eps_schedule=0.1), "function of the epoch"),
        (
            lambda: defenses.AdversarialTraining(PGD, eps_schedule=lambda epoch: [0.1][epoch + 1]),
            "called with 0 it says: list index out of range",
        ),
        (
            lambda: defenses.AdversarialTraining(PGD, eps_schedule=lambda epoch: -0.1),
            "finite numbers >= 0; for epoch 0 it returns -0.1",
        ),
        (
            lambda: defenses.AdversarialTraining(PGD, eps_schedule=lambda epoch: 8),
            "radius eps=8 is larger than the whole box",
        ),
        (
            lambda: defenses.AdversarialTraining(attacks.FGSM(0.1), steps_schedule=SCHEDULE),
            "the `steps` of the attack one that can change",
        ),
        (
            lambda: defenses.AdversarialTraining(attacks.Square(0.1), objective="margin"),
            "has no objective to replace",
        ),
        (
            lambda: defenses.AdversarialTraining(
                attacks.PGD(0.1, targeted=True), objective="training_loss"
            ),
            "has no target",
        ),
        (lambda: defenses.TRADES(PGD, beta=0.0), "`beta` must be a finite number > 0"),
        (lambda: defenses.TRADES(PGD, temperature=-1.0), "`temperature` must be"),
        (lambda: defenses.MART(PGD, beta=float("nan")), "`beta` must be"),
        (lambda: defenses.MAIL(defenses.StandardTraining()), "`defense` must be"),
        (
            lambda: defenses.MAIL(DEFENSES["at"], bias=2.0),
            "`bias` must be .* >= -1 and <= 1",
        ),
        (lambda: defenses.TRADES(PGD, uniform_start=1), "`uniform_start` must be True or False"),
        (lambda: defenses.TRADES(PGD, divergence="l2"), "`divergence` must be 'kl' or"),
        (
            lambda: defenses.MAIL(DEFENSES["at"], burn_in_defense=DEFENSES["at"]),
            "`burn_in` must be",
        ),
        (
            lambda: defenses.MAIL(PLAIN, burn_in=1, burn_in_defense=defenses.ComplementTraining()),
            "`burn_in_defense` must be a defense with one optimizer",
        ),
        (
            lambda: defenses.MAIL(
                PLAIN,
                burn_in=1,
                burn_in_defense=defenses.FastAdversarialTraining(0.1, box=(-1.0, 1.0)),
            ),
            r"one box; `burn_in_defense` has \(-1.0, 1.0\)",
        ),
        (lambda: defenses.MAIL(DEFENSES["at"], normalization="sum"), "`normalization` must be"),
        (lambda: defenses.FastAdversarialTraining(0.0), "`eps` must be"),
        (lambda: defenses.FreeAdversarialTraining(0.0), "`eps` must be"),
        (lambda: defenses.FreeAdversarialTraining(0.1, replays=0), "`replays` must be"),
        (lambda: defenses.ComplementTraining(gamma=0), "`gamma` must be"),
        (lambda: defenses.DifferentialTraining("pgd"), "`attack` must be an attack, such"),
        (lambda: defenses.DifferentialTraining(attacks.FGSM(0.0)), "eps=0.0 perturbs nothing"),
        (
            lambda: defenses.AdversarialTraining(attacks.Transfer(attacks.PGD(0.0), MODEL)),
            "eps=0.0 perturbs nothing",
        ),
        (
            lambda: defenses.AdversarialTraining(
                attacks.CleverHans(momentum_iterative_method, eps=0.1, norm=np.inf),
                objective="training_loss",
            ),
            "has no objective to replace|takes no loss",
        ),
        (lambda: defenses.MAIL(DEFENSES["mail at"]), "`defense` must be"),
        (lambda: defenses.MAIL(defenses.BinaryTRADES(PGD)), "`defense` must be"),
        (
            lambda: defenses.CleverHansTraining(fast_gradient_method, eps=0.0, norm=np.inf),
            "eps=0.0 perturbs nothing",
        ),
        (lambda: defenses.TRADES(attacks.Square(0.1)), "climbs an objective of its own"),
        (lambda: defenses.TRADES(attacks.PGD(0.1, targeted=True)), "climbs an objective of its"),
        (lambda: defenses.TRADES(attacks.FGSM(0.1)), "FGSM starts there"),
        (lambda: defenses.TRADES(attacks.PGD(0.1, random_start=False)), "PGD starts there"),
        (
            lambda: defenses.AdversarialTraining(attacks.AutoAttack(0.1)),
            "AutoAttack has no fixed number of steps",
        ),
        (
            lambda: defenses.DifferentialTraining(attacks.AutoAttack(0.1)),
            "AutoAttack has no fixed number of steps",
        ),
        (
            lambda: defenses.AdversarialTraining(attacks.APGD(0.1), steps_schedule=SCHEDULE),
            "the `steps` of the attack one that can change",
        ),
        (
            lambda: defenses.CleverHansTraining(
                momentum_iterative_method, eps=0.1, eps_iter=0.02, nb_iter=5, norm=np.inf
            ),
            "takes no loss, so the objective must be None",
        ),
        (
            lambda: defenses.CleverHansTraining(projected_gradient_descent, eps=0.1),
            "do not fit cleverhans' projected_gradient_descent",
        ),
    ],
)
def test_refusals(make, message):
    """Fails if a field that cannot work is accepted, or the message does not name it."""
    with pytest.raises(ValueError, match=message):
        make()


def test_two_classes_have_no_complement():
    """Fails if complement training of two classes starts, or is refused only in the first step."""
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    robust = AdversarialModel(model, defenses.ComplementTraining())
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    with pytest.raises(ValueError, match="needs at least 3 classes"):
        robust.compile("sgd", loss)
    robust = AdversarialModel(model, defenses.AdversarialTraining(PGD))
    with pytest.raises(ValueError, match="needs at least 3 classes"):
        robust.compile("sgd", keras_mmc.GuidedComplementEntropy())


def test_constants_of_mail_follow_the_defense():
    """Fails if MAIL-TRADES weighs samples as MAIL-AT, or a constant that was given is replaced."""
    at, trades = (DEFENSES[name] for name in ("at", "trades"))
    constants = [
        defense.slope_and_bias
        for defense in (
            defenses.MAIL(at),
            defenses.MAIL(DEFENSES["mart"]),
            defenses.MAIL(trades),
            defenses.MAIL(trades, slope=7.0, bias=-0.5),
            dataclasses.replace(defenses.MAIL(at), defense=trades),
        )
    ]
    assert constants == [(10.0, -0.5), (10.0, -0.5), (2.0, 0.0), (7.0, -0.5), (2.0, 0.0)]


def test_batches_of_one_class_are_skipped(digits):
    """Fails if differential training learns from, or is spoiled by, a batch without pairs."""
    x = digits[0][:96]
    y = np.where(np.arange(96) < 32, 3, digits[1][:96])  # the first batch has one class
    model = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten()])
    model.add(keras.layers.Dense(10))
    robust = AdversarialModel(model, defenses.DifferentialTraining())
    robust.compile("sgd", keras_mmc.DifferentialLoss())
    start = model.get_weights()
    with pytest.warns(UserWarning, match="32 images were not trained on"):
        robust.fit(x, y, batch_size=32, shuffle=False, verbose=0)
    after = model.get_weights()
    model.set_weights(start)
    reference = AdversarialModel(model, defenses.DifferentialTraining())
    reference.compile("sgd", keras_mmc.DifferentialLoss())
    reference.fit(x[32:], y[32:], batch_size=32, shuffle=False, verbose=0)
    for found, expected in zip(after, model.get_weights(), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-6)

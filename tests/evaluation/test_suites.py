"""Which attacks a suite runs: budgets, order, and what is kept apart."""

import keras
import numpy as np
import pytest

from keras_mmc.attacks import (
    BIM,
    FGSM,
    JSMA,
    MIM,
    PGD,
    SPSA,
    AutoAttack,
    Ball,
    CarliniWagner,
    GaussianNoise,
    MultiTargeted,
    NearestWrongCenter,
    Rotation,
    Transfer,
)
from keras_mmc.evaluation.suites import NAIVE, SUITES, TRANSFER, make_suite

EPS, BOX = 8 / 255, (0.0, 1.0)


def made(suite, norm="linf", shape=(8, 8, 1), num_classes=10, box=BOX, substitute=None):
    return make_suite(suite, Ball(EPS, norm, box), shape, num_classes, substitute)


@pytest.fixture(scope="module")
def network():
    return keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(3)])


@pytest.mark.parametrize("suite", SUITES)
def test_every_suite_starts_with_the_naive_control(suite):
    """Fails if the number that must not be believed is missing or comes after a strong attack."""
    attacks = made(suite).attacks
    assert next(iter(attacks)) == NAIVE
    assert attacks[NAIVE] == PGD(EPS, steps=20, objective="cross_entropy")


def test_standard_is_autoattack_and_adaptive_adds_to_it():
    """Fails if an attack of AutoAttack is dropped or an adaptive attack is weakened."""
    standard, adaptive = (list(made(name).attacks.items()) for name in ("standard", "adaptive"))
    assert standard[1:] == list(AutoAttack(EPS).attacks(10)[0].items())
    assert adaptive[:-2] == standard
    nearest = NearestWrongCenter(EPS, steps=600, step_size=EPS / 16)
    assert [attack for _, attack in adaptive[-2:]] == [nearest, MultiTargeted(EPS, steps=50)]
    assert not made("adaptive").extras


def test_paper_inside_the_ball():
    """Fails if an attack of the papers, its objective, its steps or the order differ."""
    step = 2 / 255
    expected = [
        PGD(EPS, steps=20, objective="cross_entropy"),
        FGSM(EPS, objective="cross_entropy"),
        BIM(EPS, steps=10, objective="cross_entropy"),
        PGD(EPS, steps=40, step_size=EPS / 30, objective="cross_entropy"),
        MIM(EPS, steps=40, step_size=EPS / 30, objective="cross_entropy"),
    ]
    for objective, targeted in (("distance", False), ("targeted_distance", True)):
        goal = {"objective": objective, "targeted": targeted, "step_size": step}
        expected += [kind(EPS, steps=n, **goal) for n in (10, 50) for kind in (PGD, MIM)]
    expected.append(SPSA(EPS, steps=10, learning_rate=0.01, delta=0.01, samples=128))
    assert list(made("paper").attacks.values()) == expected
    assert made("paper").limits["spsa (margin)"] == 1000


def test_paper_outside_the_ball():
    """Fails if C&W, JSMA, rotation or noise count inside the ball, or run with another budget."""
    suite = made("paper", box=(-1.0, 1.0))
    box = {"box": (-1.0, 1.0)}
    assert list(suite.extras.values()) == [
        CarliniWagner(steps=1000, learning_rate=0.01, **box),
        JSMA(theta=2.0, gamma=0.25, **box),
        Rotation(30.0, **box),
        GaussianNoise(0.1, **box),
    ]
    assert [suite.limits.get(name) for name in suite.extras] == [500, 100, None, None]
    assert not set(suite.extras) & set(suite.attacks)


@pytest.mark.parametrize(
    ("options", "absent", "words"),
    [
        ({"norm": "l2"}, SPSA, "SPSA searches an L-infinity ball"),
        ({"shape": (33, 32, 1)}, JSMA, "here are 1056"),
        ({"shape": (64,)}, Rotation, None),
    ],
)
def test_paper_leaves_out_what_does_not_apply_and_says_so(options, absent, words):
    """Fails if an attack that cannot run is tried, or left out in silence."""
    suite, full = made("paper", **options), made("paper")
    kinds = {type(attack) for attack in (*suite.attacks.values(), *suite.extras.values())}
    everything = {type(attack) for attack in (*full.attacks.values(), *full.extras.values())}
    assert everything - kinds == {absent}
    if words:
        assert any(words in note for note in suite.notes)
    assert any("weaker than 'standard'" in note for note in suite.notes)


def test_every_attack_searches_the_ball_asked_for():
    """Fails if a suite attacks with another eps, norm or box than it reports."""
    box = (-1.0, 2.0)
    for name in SUITES:
        for attack in list(made(name, norm="l2", box=box).attacks.values()):
            assert (attack.eps, attack.norm, attack.box) == (EPS, "l2", box)


@pytest.mark.parametrize("suite", ["adaptive", "paper"])
def test_a_substitute_adds_a_transfer_at_the_end(suite, network):
    """Fails if a second model is taken and not used, or its attack is another."""
    attacks = made(suite, substitute=network).attacks
    assert list(attacks)[-1] == TRANSFER
    assert list(attacks)[:-1] == list(made(suite).attacks)
    transfer = attacks[TRANSFER]
    assert isinstance(transfer, Transfer)
    assert transfer.substitute is network
    assert transfer.attack == MIM(EPS, steps=10)


@pytest.mark.parametrize("suite", ["quick", "standard"])
def test_a_substitute_that_is_not_used_is_refused(suite, network):
    """Fails if a user believes that a transfer was tried."""
    with pytest.raises(ValueError, match=f"{suite}.*does not use a substitute.*adaptive.*paper"):
        made(suite, substitute=network)


def test_unknown_suite():
    """Fails if a misspelt suite runs something else."""
    with pytest.raises(ValueError, match=r"quick.*standard.*adaptive.*paper.*received 'Paper'"):
        made("Paper")


@pytest.mark.parametrize(("num_classes", "objective"), [(2, "margin"), (3, "targeted_margin")])
def test_few_classes_are_noted(num_classes, objective):
    """Fails if DLR, undefined for few classes, is replaced in silence."""
    suite = made("standard", num_classes=num_classes)
    assert suite.attacks["apgd-t"].objective == objective
    assert np.sum(["not defined" in note for note in suite.notes]) == 1

"""Which attacks a suite runs: budgets, order, and what is kept apart."""

import keras
import numpy as np
import pytest

from keras_mmc.attacks import (
    FGSM,
    MIM,
    PGD,
    AutoAttack,
    Ball,
    GaussianNoise,
    MultiTargeted,
    NearestWrongCenter,
    Transfer,
)
from keras_mmc.evaluation.protocols import PROTOCOLS, make_protocol
from keras_mmc.evaluation.suites import NAIVE, SUITES, TRANSFER, custom_suite, make_suite

EPS, BOX = 8 / 255, (0.0, 1.0)


def made(suite, norm="linf", shape=(8, 8, 1), num_classes=10, box=BOX, substitute=None):
    return make_suite(suite, Ball(EPS, norm, box), shape, num_classes, substitute)


@pytest.fixture(scope="module")
def network():
    return keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(3)])


@pytest.mark.parametrize("suite", [name for name in SUITES if name != "black_box"])
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
    assert not made("adaptive").trials


@pytest.mark.parametrize("suite", ["standard", "black_box"])
@pytest.mark.parametrize(
    ("shape", "words"),
    [((28,), "was left out"), ((3, 32, 32), r"(3, 32, 32) for (C, H, W)"), ((32, 32, 3), None)],
)
def test_the_report_says_what_square_takes_for_squares(suite, shape, words):
    """Fails if Square runs where there are no squares, or guesses an order of axes in silence."""
    found = made(suite, shape=shape)
    assert ("square" in found.attacks) == (len(shape) == 3)
    said = [note for note in found.notes if note.startswith("Square")]
    assert len(said) == (words is not None) and all(words in note for note in said)


@pytest.mark.parametrize("paper", PROTOCOLS)
def test_a_paper_comes_before_standard(paper):
    """Fails if figures of a paper's kind can be read without those of the strong attacks."""
    suite, standard = made(paper), made("standard")
    protocol = make_protocol(paper, Ball(EPS, "linf", BOX), (8, 8, 1))
    assert suite.attacks == standard.attacks
    assert suite.trials == protocol.trials
    assert suite.notes == (*protocol.notes, *standard.notes)


def test_every_attack_searches_the_ball_asked_for():
    """Fails if a suite attacks with another eps, norm or box than it reports."""
    box = (-1.0, 2.0)
    for name in ("quick", "standard", "adaptive"):
        for attack in list(made(name, norm="l2", box=box).attacks.values()):
            assert (attack.eps, attack.norm, attack.box) == (EPS, "l2", box)


def test_a_substitute_adds_a_transfer_at_the_end(network):
    """Fails if a second model is taken and not used, or its attack is another."""
    attacks = made("adaptive", substitute=network).attacks
    assert list(attacks)[-1] == TRANSFER
    assert list(attacks)[:-1] == list(made("adaptive").attacks)
    transfer = attacks[TRANSFER]
    assert isinstance(transfer, Transfer)
    assert transfer.substitute is network
    assert transfer.attack == MIM(EPS, steps=10)


@pytest.mark.parametrize("suite", ["quick", "standard", "gce", "differential", "emr"])
def test_a_substitute_that_is_not_used_is_refused(suite, network):
    """Fails if a user believes that a transfer was tried."""
    with pytest.raises(ValueError, match=f"{suite}.*does not use a substitute.*adaptive.*mmc"):
        made(suite, substitute=network)


def test_unknown_suite():
    """Fails if a misspelt suite runs something else."""
    with pytest.raises(ValueError, match=r"quick.*standard.*adaptive.*gce.*emr.*received 'paper'"):
        made("paper")


@pytest.mark.parametrize(("num_classes", "objective"), [(2, "margin"), (3, "targeted_margin")])
def test_few_classes_are_noted(num_classes, objective):
    """Fails if DLR, undefined for few classes, is replaced in silence."""
    suite = made("standard", num_classes=num_classes)
    assert suite.attacks["apgd-t"].objective == objective
    assert np.sum(["not defined" in note for note in suite.notes]) == 1


WITHIN = Ball(EPS, "linf", BOX)
CONTROL = PGD(EPS, steps=20, objective="cross_entropy")


def test_a_list_is_named_by_classes_and_runs_once():
    """Fails if an attack runs twice, two share a name, or the naive control does not come first."""
    few, many = PGD(EPS, steps=2), PGD(EPS, steps=9)
    suite = custom_suite([many, FGSM(EPS), few, many, CONTROL], WITHIN)
    expected = {NAIVE: CONTROL, "pgd-1": many, "fgsm": FGSM(EPS), "pgd-2": few}
    assert list(suite.attacks.items()) == list(expected.items())
    assert (suite.name, suite.trials) == ("custom", {})


def test_a_dict_keeps_its_names_and_order():
    """Fails if names are made up where they were given."""
    attacks = {"strong": PGD(EPS, steps=9), "one step": FGSM(EPS)}
    assert list(custom_suite(attacks, WITHIN).attacks.items()) == [
        (NAIVE, CONTROL),
        *attacks.items(),
    ]


@pytest.mark.parametrize(
    ("attacks", "message"),
    [
        ([], r"hold attacks.*received \[\]"),
        ({}, r"hold attacks.*received \{\}"),
        (5, "hold attacks.*received 5"),
        ([PGD(EPS), "fgsm"], r"as \[PGD\(8 / 255\)\].*received 'fgsm'"),
        ([PGD], "hold attacks.*received <class"),
        ([PGD(2 * EPS)], "must search the ball.*same values.*attack_table"),
        ([PGD(EPS, norm="l2")], "must search the ball"),
        ([GaussianNoise(0.1)], r"must search the ball.*received GaussianNoise"),
        ({"clean": PGD(EPS)}, "must differ.*from 'clean'"),
        ({NAIVE: FGSM(EPS)}, "which runs first by itself"),
        ({"a b": PGD(EPS), "A-B": FGSM(EPS)}, r"must differ.*received \['a b', 'A-B'\]"),
    ],
)
def test_what_is_no_list_of_attacks(attacks, message):
    """Fails if something is audited that says nothing about the ball, or overwrites another."""
    with pytest.raises(ValueError, match=message):
        custom_suite(attacks, WITHIN)

"""The attacks of the papers: settings, boxes, and what is left out."""

import keras
import pytest

from keras_mmc.attacks import (
    BIM,
    EAD,
    FGSM,
    JSMA,
    MIM,
    PGD,
    SPSA,
    Ball,
    CarliniWagner,
    DeepFool,
    GaussianNoise,
    RandomRotation,
    Transfer,
)
from keras_mmc.evaluation.protocols import PROTOCOLS, make_protocol

BOXES = [(0.0, 1.0), (-1.0, 1.0), (0.0, 255.0)]


def made(paper, eps=0.1, box=(0.0, 1.0), shape=(8, 8, 1), **options):
    return make_protocol(paper, Ball(eps, "linf", box), shape, **options)


@pytest.mark.parametrize("box", BOXES)
@pytest.mark.parametrize("eps", [0.1, 0.3])
def test_gce(eps, box):
    """Fails if a setting is not the published one, or a step grows with eps."""
    width = box[1] - box[0]
    ball = {"eps": eps * width, "box": box, "objective": "cross_entropy"}
    protocol = made("gce", eps * width, box)
    assert [trial.attack for trial in protocol.trials.values()] == [
        FGSM(**ball),
        BIM(**ball, steps=10, step_size=0.05 * width),
        PGD(**ball, steps=40, step_size=0.01 * width),
        MIM(**ball, steps=40, step_size=0.01 * width),
        CarliniWagner(1000, 0.01, 9, 1e-3 * width**2, box=box),
        JSMA(theta=width, gamma=0.25, box=box),
        JSMA(theta=width, gamma=0.5, box=box),
    ]
    assert [trial.limit for trial in protocol.trials.values()] == [None] * 4 + [500, 100, 100]
    assert [trial.early_stop for trial in protocol.trials.values()] == [False] * 4 + [True] * 3


@pytest.mark.parametrize("box", BOXES)
def test_mmc(box):
    """Fails if a setting is not the published one, or an objective of the paper is missing."""
    width = box[1] - box[0]
    ball, step = {"eps": 8 / 256 * width, "box": box}, 2 / 256 * width
    expected = []
    for goal in ({"objective": "distance"}, {"objective": "targeted_distance", "targeted": True}):
        expected.append(FGSM(**ball, **goal))
        expected += [
            kind(**ball, **goal, steps=n, step_size=step) for n in (10, 50) for kind in (PGD, MIM)
        ]
    fifty = ball | {"steps": 50, "step_size": step}
    expected += [
        PGD(**fifty, objective="margin"),
        PGD(**fifty, objective="targeted_margin", targeted=True),
        PGD(**fifty, objective="nearest_wrong"),
    ]
    for targeted in (False, True):
        rates = {"learning_rate": 0.01 * width, "delta": 0.01 * width}
        expected.append(SPSA(**ball, steps=10, **rates, samples=128, targeted=targeted))
        expected.append(CarliniWagner(1000, 0.005, 9, 0.01 * width**2, targeted=targeted, box=box))
    expected += [
        EAD(1000, 0.01, 1, width**2, 0.1, beta=0.01 * width, box=box),
        DeepFool(steps=10, num_candidates=2, box=box),
        JSMA(theta=width, gamma=0.1, box=box),
        RandomRotation(30.0, box),
        GaussianNoise(0.05 * width, box),
    ]
    trials = list(made("mmc", 8 / 256 * width, box).trials.values())
    assert [trial.attack for trial in trials] == expected
    assert [trial.limit for trial in trials[13:]] == [1000, 500] * 2 + [1000] * 2 + [
        100,
        None,
        None,
    ]
    assert all(trial.limit is None for trial in trials[:13])


def test_differential_and_emr():
    """Fails if the attack differs, or a reader is not told what the paper's result is."""
    (trial,), notes = made("differential").trials.values(), made("differential").notes
    assert trial.attack == PGD(0.1, steps=100, objective="margin")
    assert "minimal_perturbations" in notes[0]
    (trial,), notes = made("emr").trials.values(), made("emr").notes
    assert trial.attack == PGD(0.1, steps=10, step_size=2 / 255, objective="cross_entropy")
    assert "AutoAttack" in notes[0]


@pytest.mark.parametrize("paper", PROTOCOLS)
def test_every_trial_names_its_source_and_its_box(paper):
    """Fails if a figure could pass for a paper's, or an attack lives in another box."""
    names = {"gce": "Chen", "mmc": "Pang|criticism", "differential": "Nar", "emr": "Liu & Chan"}
    for trial in made(paper, 0.1, (-1.0, 3.0)).trials.values():
        assert any(name in trial.source for name in names[paper].split("|"))
        assert trial.attack.box == (-1.0, 3.0)
        assert trial.attack.ball is None or trial.attack.ball.eps == 0.1


@pytest.mark.parametrize("pixels", [7, 1056])
def test_what_does_not_apply_is_left_out_and_noted(pixels):
    """Fails if an attack that cannot run is tried, or left out in silence."""
    full = made("mmc").trials
    vectors = made("mmc", shape=(pixels,))
    assert set(full) - set(vectors.trials) == {
        "jsma (10 % of the pixels)",
        "rotation, random within 30 degrees",
    }
    assert any(f"here are {pixels}" in note for note in vectors.notes)


def test_transfer_takes_the_objectives_of_the_paper():
    """Fails if the transfer climbs the margin, or a substitute is not used."""
    model = keras.Sequential(
        [keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(3)]
    )
    plain, more = made("mmc").trials, made("mmc", substitute=model).trials
    added = [trial.attack for name, trial in more.items() if name not in plain]
    assert all(isinstance(attack, Transfer) and attack.substitute is model for attack in added)
    assert [(attack.attack.objective, attack.attack.steps) for attack in added] == [
        ("distance", 10),
        ("distance", 50),
        ("targeted_distance", 10),
        ("targeted_distance", 50),
    ]


def test_refusals():
    """Fails if an unknown paper or another norm gives figures."""
    with pytest.raises(ValueError, match=r"gce.*mmc.*differential.*emr.*received 'trades'"):
        made("trades")
    with pytest.raises(ValueError, match="L-infinity balls; received norm 'l2'"):
        make_protocol("gce", Ball(0.1, "l2", (0.0, 1.0)), (8, 8, 1))

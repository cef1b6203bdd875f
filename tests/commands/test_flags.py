"""The flags of training: each sets what it says, and recipes set them as published."""

import json
import re

import numpy as np
import pytest
from cleverhans.tf2.attacks.fast_gradient_method import fast_gradient_method

from keras_mmc import defenses, regularizers
from keras_mmc.attacks import PGD
from keras_mmc.recipes import RECIPES

BUILD = """
import json, sys
from absl import flags
from keras_mmc.commands import defense_flags, train

for given in json.loads(sys.argv[1]):
    for name in flags.FLAGS:
        flags.FLAGS[name].unparse()
    flags.FLAGS(["train.py", "--output_dir=none", *given])
    defense_flags.apply_recipe()
    defense = defense_flags.build_defense()
    schedule = getattr(defense, "eps_schedule", None)
    rising = schedule and [round(float(schedule(epoch)), 6) for epoch in range(4)]
    print("built", defense, defense_flags.build_regularizer("margin"), rising, sep="|")
"""


@pytest.fixture(scope="module")
def built(run_python):
    """Defense, regularizer and rising eps, as printed, that lists of flags make."""

    def build(*given):
        lines = run_python(BUILD, json.dumps(given)).splitlines()
        return [line.split("|")[1:] for line in lines if line.startswith("built")]

    return build


def test_flags_of_defenses(built):
    """Fails if a flag of a defense or regularizer is lost, or takes the place of another."""
    flags = ["--attack_eps=0.3", "--attack_steps=5", "--attack_step_size=0.1"]
    attack = PGD(0.3, steps=5, step_size=0.1)
    trades = defenses.TRADES(attack, beta=5.0)
    mart = defenses.MART(attack, beta=7.0, objective="training_loss")
    cases = [
        (["none"], defenses.StandardTraining(), None),
        (["cot"], defenses.ComplementTraining(), None),
        (
            ["at", "--attack_objective=margin"],
            defenses.AdversarialTraining(attack, objective="margin"),
            None,
        ),
        (["fast"], defenses.FastAdversarialTraining(0.3, 0.1), None),
        (["free"], defenses.FreeAdversarialTraining(0.3, 5, 0.1), None),
        (
            ["trades", "--regularizer=emr", "--regularizer_temperature=2"],
            defenses.TRADES(attack, beta=6.0),
            regularizers.EffectiveMarginRegularizer(3.0, 2.0),
        ),
        (
            ["mart", "--regularizer=awp"],
            defenses.MART(attack, beta=5.0),
            regularizers.AdversarialWeightPerturbation(0.01),
        ),
        (
            ["mail_trades", "--regularizer=input_gradient"],
            defenses.MAIL(trades),
            regularizers.InputGradientPenalty(0.1, "margin"),
        ),
        (
            [
                *("mail_mart", "--beta=7", "--mail_slope=3", "--mail_bias=0.2"),
                *("--mail_burn_in=4", "--attack_objective=training_loss"),
            ],
            defenses.MAIL(mart, slope=3.0, bias=0.2, burn_in=4),
            None,
        ),
    ]
    burn_in = defenses.AdversarialTraining(attack, objective="training_loss")
    uniform = defenses.TRADES(attack, beta=5.0, uniform_start=True)
    fgsm = defenses.CleverHansTraining(
        fast_gradient_method, attack_objective="margin", eps=0.3, norm=np.inf
    )
    targeted = PGD(0.3, steps=5, step_size=0.1, targeted=True)
    cases += [
        (["trades", "--beta=5", "--attack_start=ball"], uniform, None),
        (["at", "--attack_targeted"], defenses.AdversarialTraining(targeted), None),
        (["differential"], defenses.DifferentialTraining(attack), None),
        (["cleverhans", "--cleverhans_attack=fast_gradient_method"], fgsm, None),
        (
            ["mail_trades", "--attack_start=ball", "--mail_burn_in=4", "--mail_burn_in_defense=at"],
            defenses.MAIL(uniform, burn_in=4, burn_in_defense=burn_in),
            None,
        ),
    ]
    assert defenses.MAIL(trades).slope_and_bias == (2.0, 0.0)
    given = ([f"--defense={name}", *flags, *more] for (name, *more), _, _ in cases)
    expected = [[repr(first), repr(then), "None"] for _, first, then in cases]
    places = re.compile(r" at 0x\w+")  # of functions in memory
    assert places.sub("", str(built(*given))) == places.sub("", str(expected))


def test_flags_of_losses_and_centers(run_python, tmp_path):
    """Fails if a parameter of a loss, or of its centers, cannot be set from the command line."""
    path = tmp_path / "centers.npy"
    np.save(path, np.eye(10, 256))
    code = """
import json, sys
import numpy as np
from absl import flags
from keras_mmc.commands import loss_flags, network_flags, train, training

flags.FLAGS(["train.py", *json.loads(sys.argv[1])])
for name in loss_flags.LOSSES:
    loss = loss_flags.LOSSES[name]()
    print("made", json.dumps([name, {k: v for k, v in loss.get_config().items()}]))
print("runs", json.dumps([[run.name, run.head, run.scale] for run in training.chosen_runs()]))
chosen = network_flags.choose_head("softmax", "quadratic")
print("g-sce", type(network_flags.HEADS[chosen](10, 1.0)).__name__)
for given in ("optimal", "random", sys.argv[2]):
    flags.FLAGS.centers = given
    head = network_flags.HEADS["centers"](10, 3.0)
    head.build((None, 256))
    centers = np.asarray(head.centers)
    print("centers", np.linalg.norm(centers, axis=1).round(4).max(), (centers @ centers.T)[0, 1])
"""
    given = ["--gce_alpha=0.2", "--gce_guard=released", "--sigma=3", "--label_smoothing=0.1"]
    given += ["--margin=0.4", "--lgm_weight=0.5", "--center_weight=0.6", "--radius=0.7"]
    given += ["--loss=mmc,gce", "--scale=10,100", "--gce_normalizer=classes"]
    lines = run_python(code, json.dumps(given), path).splitlines()
    made = dict(json.loads(line[5:]) for line in lines if line.startswith("made "))
    expected = {
        "gce": {"alpha": 0.2, "guard": "released", "normalizer": "classes"},
        "mm_lda": {"sigma": 3.0, "label_smoothing": 0.1},
        "lgm": {"margin": 0.4, "weight": 0.5},
        "center": {"weight": 0.6},
        "shell_mmc": {"radius": 0.7},
    }
    for name, parameters in expected.items():
        assert made[name].items() >= parameters.items()
    [runs] = [json.loads(line[5:]) for line in lines if line.startswith("runs ")]
    assert runs[:2] == [["mmc_10", "centers", 10.0], ["mmc_100", "centers", 100.0]]
    assert runs[2:] == [["gce", "dense", 10.0], ["softmax", "dense", 1.0]]
    assert "g-sce QuadraticHead" in lines
    centers = [list(map(float, line.split()[1:])) for line in lines if line.startswith("centers ")]
    assert [norm for norm, _ in centers] == [3.0] * 3
    assert centers[0][1] == pytest.approx(-1, rel=1e-5)  # -C^2 / (K - 1)
    assert centers[2][1] == 0 != centers[1][1]


def test_eps_rises_over_the_ramp(built):
    """Fails if the radius of an epoch is not its fraction of the ramp, full in the last."""
    [[_, _, rising]] = built(["--defense=at", "--attack_eps=0.3", "--eps_ramp=3"])
    assert rising == "[0.1, 0.2, 0.3, 0.3]"


def test_recipes_build(built):
    """Fails if a recipe names a flag that is unknown, or builds another defense than published."""
    attack = PGD(8 / 255, steps=10, step_size=2 / 255)
    at = defenses.AdversarialTraining(attack, objective="training_loss")
    on_cross_entropy = defenses.TRADES(
        attack, beta=12.0, objective="cross_entropy", uniform_start=True
    )
    mail_trades = defenses.MAIL(
        defenses.TRADES(attack, beta=5.0), 5.0, 0.05, 74, burn_in_defense=at
    )
    trades = defenses.TRADES(PGD(0.3, steps=40, step_size=0.01), beta=1.0)
    emr = regularizers.EffectiveMarginRegularizer
    expected = {
        "mmc_mnist": (defenses.StandardTraining(), None),
        "mmc_cifar10": (defenses.StandardTraining(), None),
        "mmc_cifar100": (defenses.StandardTraining(), None),
        "mmc_at_cifar10": (at, None),
        "trades_mnist": (trades, None),
        "at_emr_cifar10": (at, emr(3.0, 40.0)),
        "trades_emr_cifar10": (on_cross_entropy, emr(1.0, 1.0)),
        "mail_at_emr_cifar10": (defenses.MAIL(at, 30.0, -0.07, 74), emr(1.0, 0.1)),
        "mail_trades_emr_cifar10": (mail_trades, emr(1.0, 0.1)),
        "mart_cifar10": (defenses.MART(attack, 5.0, objective="training_loss"), None),
        "gce_mnist": (defenses.StandardTraining(), None),
    }
    assert expected.keys() == RECIPES.keys()
    found = built(*([f"--recipe={name}"] for name in expected))
    assert found == [[repr(first), repr(then), "None"] for first, then in expected.values()]

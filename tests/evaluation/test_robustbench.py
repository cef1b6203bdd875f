"""Records of RobustBench: keys, units, and what is claimed."""

import dataclasses
import json

import numpy as np
import pytest

from keras_mmc.attacks import AutoAttack
from keras_mmc.evaluation import AttackRow


def test_a_record_of_robustbench(report_of):
    """Fails if a key, a unit or a claim of AutoAttack is not what RobustBench holds."""
    record = report_of(eps=8 / 255).to_robustbench(name="A paper", dataset="cifar10")
    assert json.loads(json.dumps(record)) == record
    # Of the six images one is misclassified as it is and two stand.
    measured = {"clean_acc": "83.33", "reported": "33.33", "eps": "8/255", "threat_model": "Linf"}
    assert measured.items() <= record.items()
    assert (record["name"], record["dataset"], record["authors"]) == ("A paper", "cifar10", None)
    assert record["unreliable"] is True and "6 images" in record["footnote"]
    assert "autoattack_acc" not in record
    assert report_of().to_robustbench(reported="62.5")["reported"] == "62.5"
    with pytest.raises(ValueError, match=r"knows no \['clean_acc', 'titel'\]"):
        report_of().to_robustbench(titel="A paper", clean_acc="99")


@pytest.mark.parametrize(
    ("eps", "box", "norm", "text"),
    [
        (8 / 255, (0.0, 1.0), "linf", "8/255"),
        (8.0, (0.0, 255.0), "linf", "8/255"),
        (float(np.float32(4 / 255)), (0.0, 1.0), "linf", "4/255"),
        (0.2, (0.0, 1.0), "linf", "0.2"),  # which is 51/255
        (0.5, (0.0, 1.0), "l2", "0.5"),
    ],
)
def test_radii_as_people_write_them(eps, box, norm, text, report_of):
    """Fails if a leaderboard shows 0.03137 or a radius in other units."""
    record = report_of(eps=eps, box=box, norm=norm).to_robustbench()
    assert record["eps"] == text
    assert record["threat_model"] == {"linf": "Linf", "l2": "L2"}[norm]


def test_autoattack_is_claimed_only_where_it_ran(report_of):
    """Fails if a weaker suite, or one with an attack that failed, is reported as AutoAttack."""
    report = report_of()
    published = AutoAttack(0.1).attacks(10)[0]
    rows = [AttackRow(name, repr(attack), 0.25, 1.0, 2) for name, attack in published.items()]
    whole = dataclasses.replace(report, rows=(report.rows[0], *rows))
    assert whole.to_robustbench()["autoattack_acc"] == "25.00"
    three_classes = AutoAttack(0.1).attacks(3)[0]
    other = dataclasses.replace(rows[1], parameters=repr(three_classes["apgd-t"]))
    failed = dataclasses.replace(rows[3], error="ValueError: no images")
    for changed in (rows[:3], [rows[0], other, *rows[2:]], [*rows[:3], failed]):
        short = dataclasses.replace(report, rows=(report.rows[0], *changed))
        assert "autoattack_acc" not in short.to_robustbench()

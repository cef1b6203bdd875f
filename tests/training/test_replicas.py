"""A batch divided among devices is trained on as one batch."""

import json

import pytest


@pytest.fixture(scope="module")
def lines(run_python):
    """What `two_devices.py` prints, a dict for each training."""
    printed = run_python("from tests.training import two_devices; two_devices.main()")
    return [json.loads(line) for line in printed.splitlines()]


def test_every_remainder_and_every_mean_over_the_batch(lines):
    """Fails if parts of unequal or no size weigh wrong, or a term sees its replica's part alone.

    With a remainder of 1 one device has no image in the last batch, in training and validation.
    """
    remainders = [line["images"] % 8 for line in lines if line["case"] == "adversarial training"]
    assert remainders == list(range(8))
    assert len({line["case"] for line in lines}) == 5
    for line in lines:
        assert line["moved"] > 0.01, line
        assert line["weights"] < 1e-5, line
        assert line["figures"] < 1e-5, line
        assert line["reported"][0] == line["reported"][1], line


def test_warnings_are_those_of_one_device(lines):
    """Fails if replicas count images twice, lose a part of a batch, or count a stand-in."""
    for line in lines:
        expected, found = line["warnings"]
        assert found == expected, line
        if line["case"] != "pairs":
            assert "1 had a sample weight that is not finite" in found[0], line
            assert "1 had a pixel" in found[0] and "1 had a label" in found[0], line
        if line["case"] == "adversarial training":
            assert "8 had a gradient that is not finite" in found[0], line

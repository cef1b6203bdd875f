"""Reports of parts become one: figures by hand, and what does not belong together."""

import dataclasses
import re

import numpy as np
import pytest

import keras_mmc
from keras_mmc.attacks import PGD
from keras_mmc.evaluation import Diagnostic, TrialRow, merge


@pytest.fixture
def parts(report_of):
    """Six images, and two more of another part; attacks broke 3 and 1 of them."""
    second = report_of(
        labels=(1, 0),
        predictions=(1, 2),
        broken_by=(None, "naive"),
        offset=0.5,
        trials=(TrialRow("fgsm", "FGSM(0.1)", "a paper", 2, 2, 0.5, 0.5, 0.5, 1.0),),
        date="2030-02-02T03:04:05+00:00",
        notes=("Another.", "A third."),
    )
    return report_of(), second


def test_figures_by_hand(parts):
    """Fails if a figure is a mean of those of the parts instead of that of all images."""
    merged = merge(parts)
    assert merged.num_images == 8 and merged.broken_by == parts[0].broken_by + parts[1].broken_by
    assert merged.clean_accuracy == 7 / 8
    # One image of each part is broken by the naive control, then two by the other attack.
    assert [row.accuracy for row in merged.rows] == [5 / 8, 3 / 8]
    assert [row.attacked for row in merged.rows] == [5 + 2, 4 + 1]
    assert [row.seconds for row in merged.rows] == [3.0, 3.0]
    assert (merged.naive_accuracy, merged.robust_accuracy) == (5 / 8, 3 / 8)
    (trial,) = merged.trials
    # 3 of 6 and 1 of 2 images; 1 of 4 and 1 of 2 attacked ones, of sizes 0.125 and 0.5.
    assert (trial.num_images, trial.attacked, trial.seconds) == (8, 6, 3.5)
    assert (trial.accuracy, trial.success_rate, trial.mean_l2) == (4 / 8, 2 / 6, 0.625 / 2)
    for name in ("x", "labels", "x_adv", "predictions"):
        whole = np.concatenate([getattr(part, name) for part in parts])
        np.testing.assert_array_equal(getattr(merged, name), whole)
    assert merged.date == parts[1].date and merged.command == parts[0].command
    assert merged.notes[1:] == ("A note.", "Another.", "A third.")
    assert "2 audits of parts of 6, 2 images" in merged.notes[0]


def test_diagnostics_say_what_they_were_measured_on(parts):
    """Fails if a figure of a part passes as one of the whole, or a grade is lost."""
    first = dataclasses.replace(
        parts[0],
        diagnostics={
            "nan_scores": Diagnostic({"images": 0}),
            "naive_minus_best": Diagnostic({"naive": 0.5}),
            "black_box: pgd": Diagnostic({"fraction_broken": 0.0, "images": 0}),
            "zero_gradients": Diagnostic({"fraction": 1.0}, "Zero.", "masked gradients"),
        },
    )
    second = dataclasses.replace(parts[1], predictions=np.array([1, -1]))
    found = merge([first, second]).diagnostics
    assert found["nan_scores"].figures == {"images": 1} and found["nan_scores"].fired
    assert found["naive_minus_best"].figures == {"naive": 5 / 8, "best": 3 / 8, "difference": 1 / 4}
    assert "is masked" in found["naive_minus_best"].finding  # since a part shows it
    # Two of the five images that the naive control left, in eighths of all.
    assert found["black_box: pgd"].figures == {"fraction_broken": 2 / 8, "images": 2}
    assert found["part 1: zero_gradients"] == first.diagnostics["zero_gradients"]
    assert list(found)[-1] == "part 2: accuracy_against_eps"
    assert "zero_gradients" not in found


def test_an_attack_that_failed_in_one_part(parts):
    """Fails if a figure over some of the images passes as one over all."""
    broken = TrialRow("fgsm", "FGSM(0.1)", "a paper", 2, 2, None, None, None, 1.0, "no gradient")
    row = dataclasses.replace(parts[1].rows[1], error="OSError: full")
    second = dataclasses.replace(parts[1], trials=(broken,), rows=(parts[1].rows[0], row))
    merged = merge([parts[0], second])
    assert merged.trials[0].error == "part 2 of 2: no gradient"
    assert merged.trials[0].accuracy is merged.trials[0].mean_l2 is None
    assert [row.error for row in merged.rows] == [None, "part 2 of 2: OSError: full"]


def test_what_does_not_belong_together(parts):
    """Fails if audits of other models or settings, or of the same images, become one figure."""
    first, second = parts
    other = second.digests | {"model": "n"}
    for changes, said in (
        ({"digests": other}, "the weights of the model"),
        ({"eps": 0.2, "seed": 4}, "eps, seed"),
        ({"versions": {}}, "versions"),
        ({"suite": "quick"}, "suite"),
        ({"rows": second.rows[:1]}, "attacks"),
        ({"x": np.zeros((2, 3))}, "the shape of images"),
    ):
        with pytest.raises(ValueError, match=f"Report 2 .* differ in {said}.*`compare`"):
            merge([first, dataclasses.replace(second, **changes)])
    with pytest.raises(ValueError, match="Report 3 is of the same images as report 1"):
        merge([first, second, first])
    for few in ([first], [], [first, "report"]):
        with pytest.raises(ValueError, match="two audits or more"):
            merge(few)
    shared = dataclasses.replace(second, x=first.x[:2])
    assert "2 images occur in more than one part" in merge([first, shared]).notes[0]


def test_parts_that_were_saved_have_the_digests_of_the_whole(mmc_model, held_out, tmp_path):
    """Fails if the merged report names other images than one audit of all, or cannot be saved."""
    attacks = {"pgd": PGD(0.1, steps=3, random_start=False)}
    x, y = (part[:30] for part in held_out)
    whole, *parts = (
        keras_mmc.audit(mmc_model, x[rows], y[rows], 0.1, attacks, verbose=0)
        for rows in (slice(None), slice(20), slice(20, None))
    )
    again = [keras_mmc.evaluation.AuditReport.load(p.save(tmp_path / p.date)) for p in parts[:1]]
    merged = merge([*again, *parts[1:]])
    assert merged.digests == whole.digests
    assert merged.clean_accuracy == whole.clean_accuracy
    assert (merged.labels == whole.labels).all() and (merged.x == whole.x).all()
    path = merged.save(tmp_path / "whole")
    assert keras_mmc.evaluation.AuditReport.load(path) == merged
    page = (path / "report.html").read_text(encoding="utf-8")
    assert "of part 1." in " ".join(re.sub("<.*?>", "", page).split())

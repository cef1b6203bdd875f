"""The page of an audit: complete, self-contained, escaped, and drawn."""

import re

import numpy as np

from keras_mmc.plotting import audit_page, audit_summary
from tests.plotting.conftest import STYLE, Reader, text_of


def test_everything_is_on_the_page(facts, example):
    """Fails if a figure, a finding, a note or a version is missing."""
    text = text_of(audit_page(facts, [example]))
    for part in (
        *("suite 'mmc'", "L-infinity", "0.1", "123 images", "seed 7", "90.00 %", "80.00 %"),
        *("1.23 %", "0.45 %", "6.78 %", "naive", "strong", "PGD(0.1)", "1.5 s", "2.5 s"),
        *(
            "c&w",
            "98.76 %",
            "1.24 %",
            "0.567",
            "45",
            "none",
            "Pang et al.",
            "Masked.",
            "A note.",
            "keras 3.99",
        ),
        *("difference 0.7877", "Masked gradients.", "masked gradients", "passed"),
        *("image 17", "class 3 becomes class 8", "by strong"),
        *("net, weights abcdef012345", "6 \u00d7 5 \u00d7 1", "values from 0 to 1, 9876543210fe"),
        *("2030-01-02 03:04:05 UTC", "audit.py --eps=0.1", "abcdef0123456789" * 4),
        *("cat 61 75.00 % 25.00 % dog (7)", "dog 62 0.00 % 0.00 % none"),
    ):
        assert part in text, part


def test_nothing_is_loaded_from_elsewhere(facts, example):
    """Fails if the page needs a file, a script or the network."""
    page = audit_page(facts, [example])
    reader = Reader(page)
    assert len(reader.addresses) == 3
    assert all(address.startswith("data:image/") for address in reader.addresses)
    assert "default-src 'none'" in page
    for word in ("<script", "<link", "http:", "https:", "@import", "url("):
        assert word not in page


def test_texts_cannot_become_markup(facts, example):
    """Fails if a name or a note is written into the page as HTML."""
    evil = "<script>alert('&\"')</script>"
    facts["suite"] = facts["norm"] = evil
    for row in (*facts["rows"], *facts["trials"]):
        row["name"] = row["parameters"] = evil
    facts["notes"], facts["versions"] = [evil], {evil: evil}
    facts["diagnostics"] = {
        evil: {"figures": {evil: 1.0}, "fired": True, "finding": evil, "grade": evil},
    }
    facts |= {"model_name": evil, "command": evil, "class_names": (evil,) * 9, "date": evil}
    facts["per_class"] = [row | {"name": evil, "broken_into": evil} for row in facts["per_class"]]
    page = audit_page(facts, [example | {"broken_by": evil}])
    assert "<script" not in page
    # Title and heading 2, norm, 3 of the model, 9 names, 2 + 2 attacks by name, parameters and
    # summary, and 2 bars, 4 of classes, check with figure, grade and finding with grade, note,
    # version twice, caption with two names.
    expected = 2 + 1 + 3 + 9 + 4 * 3 + 2 + 4 + 3 + 2 + 1 + 2 + 3
    assert "".join(Reader(page).texts).count(evil) == expected
    summary = audit_summary(facts)
    assert "<script" not in summary and evil in "".join(Reader(summary).texts)


def test_a_page_without_findings_trials_or_examples(facts):
    """Fails if empty parts leave a heading, or an audit without findings does not say so."""
    facts |= {"trials": [], "notes": [], "diagnostics": {}, "per_class": []}
    facts |= dict.fromkeys(("model_name", "command", "date"))
    text = text_of(audit_page(facts))
    assert "found nothing that contradicts" in text
    for heading in (
        "attacks of the paper",
        "Adversarial examples",
        "Notes",
        "Classes",
        "Model",
        "Command",
        "Date",
    ):
        assert heading not in text


def test_attacks_that_failed_or_met_no_image_say_so(facts):
    """Fails if an attack that did nothing looks like one that broke nothing."""
    facts["rows"][1] |= {"attacked": 0}
    facts["trials"][0] |= {"error": "ValueError: no gradient", "accuracy": None, "mean_l2": None}
    facts["trials"][0] |= {"success_rate": None}
    facts["trials"][1] |= {"attacked": 0, "accuracy": 0.0, "success_rate": None}
    text = text_of(audit_page(facts))
    assert "1.23 % (no image was left)" in text
    assert "c&w none 45 none none" in text and "failed: ValueError: no gradient" in text
    assert "noise 0.00 % 0 none none" in text
    facts["rows"][1] |= {"error": "OSError: full"}
    assert "failed: OSError: full" in text_of(audit_page(facts))


def test_only_pictures_are_shown_as_pictures(facts, example):
    """Fails if vectors, or images of other than 1 or 3 channels, break the page."""
    vector = example | {"clean": np.zeros(4), "adversarial": np.ones(4)}
    two = example | {"clean": np.zeros((4, 4, 2)), "adversarial": np.ones((4, 4, 2))}
    assert "<figure>" not in audit_page(facts, [vector, two])
    black = np.zeros((4, 4, 3))
    nan = example | {"prediction": -1, "clean": black, "adversarial": black}
    page = audit_page(facts, [vector, nan])
    assert page.count("<figure>") == 1
    assert "becomes NaN scores" in page


def test_bars_are_as_long_as_the_accuracies(facts):
    """Fails if a bar shows another figure than its row, or the naive one looks like the others."""
    reader = Reader(audit_page(facts))
    assert [a["class"] for a in reader.of("div", "bar")] == ["bar clean", "bar naive", "bar attack"]
    widths = [float(a["width"].removesuffix("%")) for a in reader.of("rect", "value")]
    np.testing.assert_allclose(widths, [90, 80, 1.23])
    fills = re.findall(r"\.(attack|naive|clean) \.value { fill: var\(--(.+?)\)", STYLE)
    assert fills == [(kind, kind) for kind in ("attack", "naive", "clean")]


def test_the_curve_by_hand(facts):
    """Fails if a point lies elsewhere, or the audit is marked where it is none of the radii."""
    reader = Reader(audit_page(facts))
    points = [(float(a["cx"].removesuffix("%")), float(a["cy"])) for a in reader.of("circle")]
    # A radius a step from 12 to 92 percent; 184 pixels down is 0, 24 is all.
    np.testing.assert_allclose(points, [(12, 184 - 144), (52, 184 - 8), (92, 184)])
    assert [a["x1"] for a in reader.of("line", "here")] == ["52.0%"]
    assert len(reader.of("line", "path")) == 2
    (curve,) = reader.of("svg", "curve")
    assert "90.00 % at radius 0, 5.00 % at radius 0.1, 0.00 % at radius 1." in curve["aria-label"]
    facts["eps"] = 0.2
    assert not Reader(audit_page(facts)).of("line", "here")


def test_the_curve_says_on_which_images(facts):
    """Fails if a figure of some images, or of a part, passes as one of all."""
    curve = facts["diagnostics"]["accuracy_against_eps"]
    assert "Measured on 88 of the 123 images of this audit, drawn with seed 7." in text_of(
        audit_page(facts)
    )
    curve["figures"]["images"] = 123
    assert "Measured on all 123 images of this audit." in text_of(audit_page(facts))
    facts["diagnostics"] = {f"part {i}: accuracy_against_eps": curve for i in (1, 2)}
    text = text_of(audit_page(facts))
    assert "Measured on 123 images of part 1." in text and "of part 2." in text


def test_classes_go_by_their_names(facts, example):
    """Fails if a number is shown where the data know a name."""
    names = tuple("abcdefghij")
    text = text_of(audit_page(facts | {"class_names": names}, [example]))
    assert "Classes a, b, c, d" in text and "d becomes i, by strong" in text
    nan = audit_page(facts | {"class_names": names}, [example | {"prediction": -1}])
    assert "d becomes NaN scores" in text_of(nan)


def test_parameters_are_folded(facts):
    """Fails if parameters push the figures off a phone, or a fold cannot be told from another."""
    reader = Reader(audit_page(facts))
    folded = [a for a in reader.of("details") if "open" not in a]
    assert len(folded) == 2 + 2 + 1 and len(reader.of("summary")) == len(folded) + 1
    assert "Parameters of strong" in text_of(audit_page(facts))
    many = facts | {"per_class": facts["per_class"] * 11}
    assert not [a for a in Reader(audit_page(many)).of("details") if "open" in a]


def test_the_summary_of_a_notebook(facts):
    """Fails if a notebook does not show the figures, the findings or the notes."""
    text = text_of(audit_summary(facts))
    for part in ("suite 'mmc' of net: 123 images", "clean accuracy 90.00 %", "strong 1.23 %"):
        assert part in text
    assert "Robust accuracy 1.23 %, 95 % interval 0.45 % to 6.78 %" in text
    assert "Masked gradients. Masked. Note: A note." in text
    facts["rows"][1] |= {"error": "OSError: full"}
    assert "1.23 % (failed: OSError: full)" in text_of(audit_summary(facts))


def test_the_same_report_gives_the_same_page(facts, example):
    """Fails if a date or a random name makes two pages of one report differ."""
    assert audit_page(facts, [example]) == audit_page(facts, [example])

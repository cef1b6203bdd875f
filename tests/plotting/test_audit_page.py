"""The page of an audit: complete, self-contained, escaped, and drawn."""

import base64
import html.parser
import io
import re
import xml.etree.ElementTree as ElementTree

import matplotlib.image
import numpy as np
import pytest

from keras_mmc.plotting import audit_page
from keras_mmc.plotting.audit_pictures import accuracy_bars, accuracy_curve, image_data

VOID = {"meta", "img", "br"}


@pytest.fixture
def facts():
    ran = {"attacked": 100, "error": None}
    return {
        "suite": "mmc",
        "eps": 0.1,
        "norm": "linf",
        "box": [0.0, 1.0],
        "seed": 7,
        "num_images": 123,
        "clean_accuracy": 0.9,
        "naive_accuracy": 0.8,
        "robust_accuracy": 0.0123,
        "interval": [0.0045, 0.0678],
        "rows": [
            {"name": "naive", "parameters": "PGD(0.1)", "accuracy": 0.8, "seconds": 1.5} | ran,
            {"name": "strong", "parameters": "APGD(0.1)", "accuracy": 0.0123, "seconds": 2.5} | ran,
        ],
        "trials": [
            {
                "name": "c&w",
                "parameters": "CarliniWagner()",
                "source": "Pang et al.",
                "num_images": 50,
                "attacked": 45,
                "accuracy": 0.0124,
                "error": None,
                "success_rate": 0.9876,
                "mean_l2": 0.567,
                "seconds": 3.5,
            },
            {
                "name": "noise",
                "parameters": "GaussianNoise(0.0)",
                "source": "Pang et al.",
                "num_images": 50,
                "attacked": 45,
                "accuracy": 0.9,
                "error": None,
                "success_rate": 0.0,
                "mean_l2": None,
                "seconds": 0.5,
            },
        ],
        "diagnostics": {
            "naive_minus_best": {
                "figures": {"difference": 0.7877},
                "fired": True,
                "finding": "Masked.",
                "grade": "masked gradients",
            },
            "accuracy_against_eps": {
                "figures": {"eps": [0.0, 0.1, 1.0], "accuracy": [0.9, 0.05, 0.0]},
                "fired": False,
                "finding": None,
                "grade": None,
            },
        },
        "notes": ["A note."],
        "versions": {"keras": "3.99"},
    }


@pytest.fixture
def example(rng):
    return {
        "row": 17,
        "clean": rng.uniform(size=(6, 5, 1)).astype("float32"),
        "adversarial": rng.uniform(size=(6, 5, 1)).astype("float32"),
        "label": 3,
        "prediction": 8,
        "broken_by": "strong",
    }


class Reader(html.parser.HTMLParser):
    """Checks nesting and collects texts and addresses."""

    def __init__(self, page):
        super().__init__()
        self.open, self.texts, self.addresses = [], [], []
        self.feed(page)
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.addresses += [value for name, value in attributes if name in ("src", "href")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.texts.append(data)


def svg(address):
    return ElementTree.fromstring(decoded(address, "image/svg+xml"))


def decoded(address, kind):
    prefix = f"data:{kind};base64,"
    assert address.startswith(prefix)
    return base64.b64decode(address[len(prefix) :])


def paths_of_color(picture, color):
    return sum(color in element.get("style", "") for element in picture.iter())


def test_everything_is_on_the_page(facts, example):
    """Fails if a figure, a finding, a note or a version is missing."""
    text = " ".join(Reader(audit_page(facts, [example])).texts)
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
    ):
        assert part in text, part


def test_nothing_is_loaded_from_elsewhere(facts, example):
    """Fails if the page needs a file, a script or the network."""
    page = audit_page(facts, [example])
    reader = Reader(page)
    assert len(reader.addresses) == 5
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
    page = audit_page(facts, [example | {"broken_by": evil}])
    assert "<script" not in page
    # Title and heading 2, norm, 2 rows and 2 trials twice, check with figure and grade, finding
    # with grade, note, version twice, caption; the chart holds it in SVG of its own.
    assert "".join(Reader(page).texts).count(evil) == 2 + 1 + 8 + 3 + 2 + 1 + 2 + 1


def test_a_page_without_findings_trials_or_examples(facts):
    """Fails if empty parts leave a heading, or an audit without findings does not say so."""
    facts |= {"trials": [], "notes": [], "diagnostics": {}}
    text = " ".join(Reader(audit_page(facts)).texts)
    assert "found nothing that contradicts" in text
    for heading in ("attacks of the paper", "Adversarial examples", "Notes"):
        assert heading not in text


def test_attacks_that_failed_or_met_no_image_say_so(facts):
    """Fails if an attack that did nothing looks like one that broke nothing."""
    facts["rows"][1] |= {"attacked": 0}
    facts["trials"][0] |= {"error": "ValueError: no gradient", "accuracy": None, "mean_l2": None}
    facts["trials"][0] |= {"success_rate": None}
    facts["trials"][1] |= {"attacked": 0, "accuracy": 0.0, "success_rate": None}
    text = " ".join(Reader(audit_page(facts)).texts)
    assert "1.23 % (no image was left)" in text
    assert "c&w none 45 none none" in text and "ValueError: no gradient" in text
    assert "noise 0.00 % 0 none none" in text
    facts["rows"][1] |= {"error": "OSError: full"}
    assert "APGD(0.1) failed: OSError: full" in " ".join(Reader(audit_page(facts)).texts)


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


def test_images_are_drawn_to_the_pixel():
    """Fails if the box is mapped to other gray values, or rows and columns are swapped."""
    image = np.array([[[-1.0], [0.0], [1.0]], [[0.5], [-0.5], [2.0]]])
    content = decoded(image_data(image, (-1.0, 1.0)), "image/png")
    pixels = matplotlib.image.imread(io.BytesIO(content))[..., :3]
    expected = np.array([[0, 0.5, 1], [0.75, 0.25, 1]])
    assert pixels.shape == (2, 3, 3)
    np.testing.assert_allclose(pixels, expected[..., None] * np.ones(3), atol=1 / 255)


def test_colors_are_kept():
    """Fails if red, green and blue change places."""
    image = np.array([[[1.0, 0.5, 0.0]]])
    content = decoded(image_data(image, (0.0, 1.0)), "image/png")
    pixel = matplotlib.image.imread(io.BytesIO(content))[0, 0, :3]
    np.testing.assert_allclose(pixel, [1, 0.5, 0], atol=1 / 255)


def test_the_naive_bar_stands_out():
    """Fails if the number that must not be believed looks like the others."""
    picture = svg(accuracy_bars(["clean", "naive", "a", "b"], [0.9, 0.8, 0.5, 0.1], "naive"))
    assert paths_of_color(picture, "#c05a00") == 1
    assert paths_of_color(picture, "#1f4e79") == 2
    assert paths_of_color(picture, "#8c959f") == 1


def test_bars_are_as_long_as_the_accuracies():
    """Fails if a bar shows another figure than its row."""
    picture = svg(accuracy_bars(["naive", "a", "b"], [0.8, 0.4, 0.2], "naive"))
    lengths = []
    for element in picture.iter():
        if re.search("#c05a00|#1f4e79", element.get("style", "")):
            points = re.findall(r"[-\d.]+", element.get("d"))
            xs = [float(x) for x in points[::2]]
            lengths.append(max(xs) - min(xs))
    np.testing.assert_allclose(np.array(lengths) / lengths[0], [1, 0.5, 0.25], rtol=1e-3)


def test_the_curve_marks_the_audit():
    """Fails if the radius of the audit is marked where there is none, or not marked."""
    radii, accuracies = [0.0, 0.1, 1.0], [0.9, 0.5, 0.0]
    marked = svg(accuracy_curve(radii, accuracies, 0.1))
    assert paths_of_color(marked, "#c05a00") == 1
    assert paths_of_color(svg(accuracy_curve(radii, accuracies, 0.2)), "#c05a00") == 0


def test_the_same_report_gives_the_same_page(facts, example):
    """Fails if a date or a random name makes two pages of one report differ."""
    assert audit_page(facts, [example]) == audit_page(facts, [example])

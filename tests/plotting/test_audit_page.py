"""The page of an audit: complete, self-contained, escaped, and drawn."""

import base64
import html.parser
import io
import re

import matplotlib.image
import numpy as np
import pytest

from keras_mmc.plotting import audit_page, audit_summary
from keras_mmc.plotting._templates import unbroken
from keras_mmc.plotting.image_data import image_data
from tests.conftest import ROOT

VOID = {"meta", "img", "br"}
STYLE = (ROOT / "keras_mmc/plotting/templates/audit_page.css").read_text(encoding="utf-8")


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
        "image_shape": [6, 5, 1],
        "class_names": None,
        "model_name": "net",
        "date": "2030-01-02T03:04:05+00:00",
        "command": "audit.py --eps=0.1",
        "digests": {"model": "abcdef0123456789" * 4, "images": "9876543210fedcba" * 4},
        "per_class": [
            {"label": 0, "name": "cat", "count": 61, "clean_accuracy": 0.75}
            | {"robust_accuracy": 0.25, "broken_into": "dog", "broken_into_count": 7},
            {"label": 1, "name": "dog", "count": 62, "clean_accuracy": 0.0}
            | {"robust_accuracy": 0.0, "broken_into": None, "broken_into_count": 0},
        ],
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
                "figures": {"eps": [0.0, 0.1, 1.0], "accuracy": [0.9, 0.05, 0.0], "images": 88},
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
    """Checks nesting and collects elements, texts and addresses."""

    def __init__(self, page):
        super().__init__()
        self.open, self.texts, self.addresses, self.elements = [], [], [], []
        self.feed(page)
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.addresses += [value for name, value in attributes if name in ("src", "href")]
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def of(self, tag, kind=None):
        """Attributes of the elements of a tag, and of a class."""
        found = [attributes for name, attributes in self.elements if name == tag]
        return [a for a in found if kind is None or kind in (a.get("class") or "").split()]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag
        if tag in ("td", "th", "dt", "dd"):
            self.texts.append(" ")

    def handle_data(self, data):
        if "style" not in self.open:
            self.texts.append(data)


def text_of(page):
    """The words of a page with single spaces."""
    return " ".join("".join(Reader(page).texts).split())


def decoded(address):
    prefix = "data:image/png;base64,"
    assert address.startswith(prefix)
    return base64.b64decode(address[len(prefix) :])


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


def test_images_are_drawn_to_the_pixel():
    """Fails if the box is mapped to other gray values, or rows and columns are swapped."""
    image = np.array([[[-1.0], [0.0], [1.0]], [[0.5], [-0.5], [2.0]]])
    content = decoded(image_data(image, (-1.0, 1.0)))
    pixels = matplotlib.image.imread(io.BytesIO(content))[..., :3]
    expected = np.array([[0, 0.5, 1], [0.75, 0.25, 1]])
    assert pixels.shape == (2, 3, 3)
    np.testing.assert_allclose(pixels, expected[..., None] * np.ones(3), atol=1 / 255)


def test_colors_are_kept():
    """Fails if red, green and blue change places."""
    image = np.array([[[1.0, 0.5, 0.0]]])
    content = decoded(image_data(image, (0.0, 1.0)))
    pixel = matplotlib.image.imread(io.BytesIO(content))[0, 0, :3]
    np.testing.assert_allclose(pixel, [1, 0.5, 0], atol=1 / 255)


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


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("from 12.5 % to 1e-05, at 8 / 255", ["12.5 %", "1e-05", "8 / 255"]),
        ("PGD(eps=0.0313, steps=50)", ["0.0313", "50"]),
        ("took 3.5 s so far, 1,000 images, -0.5", ["3.5 s", "1,000", "-0.5"]),
        ("<b> & no number", []),
    ],
)
def test_no_line_ends_inside_a_number(text, numbers):
    """Fails if a number may be broken, or wrapping it changes the text."""
    made = str(unbroken(text))
    assert re.findall('<span class="n">(.*?)</span>', made) == numbers
    assert "".join(Reader(made).texts) == text
    assert ".n { white-space: nowrap;" in STYLE


def luminance(color):
    """Relative luminance of `#rrggbb`, as WCAG 2 defines it."""
    parts = np.array([int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return linear @ [0.2126, 0.7152, 0.0722]


def contrast(one, other):
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_contrast_in_both_schemes():
    """Fails if a color of text falls below 4.5 to 1, or one of a bar or outline below 3 to 1."""
    assert contrast("#ffffff", "#000000") == pytest.approx(21)
    light, dark = (
        dict(re.findall(r"--(\w+): (#\w{6})", part))
        for part in re.findall(r":root {(.*?)}", STYLE, re.S)
    )
    assert light.keys() == dark.keys() and "prefers-color-scheme: dark" in STYLE
    for colors in (light, dark):
        for name in ("text", "muted", "naive"):
            assert contrast(colors[name], colors["paper"]) >= 4.5, name
        assert contrast(colors["text"], colors["finding"]) >= 4.5
        for name in ("attack", "naive", "clean"):
            assert contrast(colors[name], colors["track"]) >= 3, name
        assert contrast(colors["focus"], colors["paper"]) >= 3
    rest = STYLE[STYLE.index("body {") :]
    assert not re.search(r"#[0-9a-f]{3,6}\b", rest)  # every color is one of these


def test_text_is_large_enough_and_nothing_has_a_fixed_width():
    """Fails if text of a chart is below 11 px, or a width in pixels may overflow a phone."""
    sizes = re.findall(r"font-size: ([\d.]+)(px|rem)", STYLE)
    assert min(float(size) * {"px": 1, "rem": 16}[unit] for size, unit in sizes) >= 11
    widths = re.findall(r"[^-]width: ([^;}]+)", STYLE)
    assert set(widths) <= {"1px", "100%", "32%", "fit-content"}
    assert ":focus-visible { outline:" in STYLE


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

"""The facts of an audit, and a reader of pages."""

import html.parser

import pytest

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
        "detections": [],
        "correct_or_rejected": None,
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

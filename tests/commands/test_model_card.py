"""Cards: audits go between their marks, and into no card that is about another file."""

import json
from types import SimpleNamespace

import pytest

from keras_mmc._digests import digest_of_files
from keras_mmc.commands import model_card


def report(robust=0.25, eps=0.1, suite="quick", masked=False):
    """What a card takes of an audit."""
    return SimpleNamespace(
        norm="linf",
        eps=eps,
        box=(0.0, 1.0),
        suite=suite,
        num_images=40,
        clean_accuracy=0.75,
        naive_accuracy=0.5,
        robust_accuracy=robust,
        interval=(0.125, 0.375),
        masked=masked,
        date="2021-03-04T05:06:07+00:00",
        model_name="small_cnn",
        to_robustbench=lambda **given: {"reported": f"{100 * robust:.2f}", **given},
    )


@pytest.fixture
def file(tmp_path, write_card):
    """A file that stands for a network, with its card."""
    path = tmp_path / "model.keras"
    path.write_bytes(b"weights")
    write_card(path)
    return path


def added(card, report, file="model.keras"):
    model_card.add_audit(card, file, report, "photos", "the first 40 images of photos")
    return [line for line in card.read_text().splitlines() if "](robustbench/" in line]


def test_what_is_not_known_is_said(file):
    """Fails if held-out images pass as test images, or a cell can end a table or begin markup."""
    card = file.with_name("model_card.md").read_text()
    assert "| 80, 10, 10 (the validation images serve as test images) |" in card
    assert "| data set | photos&#124;&lt;b&gt; |" in card
    assert "| 10 validation images under the attack of the defense, last epoch | 12.35 % |" in card
    assert "There were no test images" in card and "one training run, with seed 3." in card
    assert "TEST_IMAGES are images that the network was not trained on." in card


def test_an_audit_replaces_its_own_row_alone(file):
    """Fails if an earlier audit is lost or counted twice, or what a user wrote is overwritten."""
    card = model_card.card_of(file)
    card.write_text(card.read_text() + "\n## Intended use\n\nNone.\n")
    [row] = added(card, report())
    assert row == (
        "| model.keras | linf, eps 0.1 in [0, 1] | quick | the first 40 images of photos | "
        "75.00 % | 50.00 % | 25.00 % (12.50 to 37.50) | no evidence of masking | 2021-03-04 | "
        "[JSON](robustbench/model-linf-0.1-quick-photos-40.json) |"
    )
    before = added(card, report(suite="standard", masked=True))
    assert before[0] == row and "| masked |" in before[1]
    added(card, report(eps=0.2))
    after = added(card, report(robust=0.125))
    assert len(after) == 3 and "| 12.50 % (12.50 to 37.50) |" in after[-1]
    text = card.read_text()
    assert text.endswith("\n## Intended use\n\nNone.\n") and "Not audited" not in text
    assert text.count("| threat model |") == 1
    records = {path.name: json.loads(path.read_text()) for path in card.parent.glob("*/*.json")}
    assert len(records) == 3 and not list(card.parent.rglob("*.partial"))
    record = records["model-linf-0.1-quick-photos-40.json"]
    assert record == {"reported": "12.50", "architecture": "small_cnn", "dataset": "photos"}


def test_cards_of_others_are_left_alone(file):
    """Fails if an audit of other weights, or a card by hand, is changed."""
    assert model_card.card_of(file) == file.with_name("model_card.md")
    assert model_card.card_of(file.with_name("none.keras")) is None
    file.with_name("other.keras").write_bytes(b"weights")
    assert model_card.card_of(file.with_name("other.keras")) is None
    file.write_bytes(b"weights of a later training")
    assert model_card.card_of(file) is None
    line = f"| model.keras | {digest_of_files(file)} |"
    file.with_name("model_card.md").write_text(f"# By hand\n\n{line}\n")
    assert model_card.card_of(file) is None


def test_a_card_without_marks_is_refused(file):
    """Fails if an audit is written somewhere into a card whose part for it is gone."""
    card = model_card.card_of(file)
    text = card.read_text().replace("<!-- audits end -->", "")
    card.write_text(text)
    with pytest.raises(ValueError, match="has lost the lines"):
        added(card, report())
    assert card.read_text() == text and not (card.parent / "robustbench").exists()

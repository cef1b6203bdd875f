"""Audits of black boxes: the rows of the white box, honest words, and what was asked."""

import dataclasses
import json

import numpy as np
import pytest

import keras_mmc
from keras_mmc.adapters import BlackBox, BlackBoxError, from_saved_model
from keras_mmc.attacks import MIM, PGD, Ball, RayS, Runner, Square, Transfer
from keras_mmc.evaluation import Suite, _substitute, make_suite
from keras_mmc.evaluation._black_box import TRANSFER
from keras_mmc.evaluation._substitute import distill, new_substitute

EPS, QUERIES = 0.15, 40
CHECKS = {"nan_scores", "random_at_inference", "depends_on_batch", "confirmed_once_more"}
CHECKS |= {"broken_weights", "tiny_ball", "near_chance", "predict_disagrees", "evaluate_disagrees"}


@pytest.fixture(scope="module")
def images(held_out):
    return held_out[0][:60], held_out[1][:60]


@pytest.fixture(autouse=True)
def few_steps(monkeypatch):
    """A substitute of few steps and dense layers; what it is worth has a test of its own."""
    monkeypatch.setattr(_substitute, "STEPS", 5)
    monkeypatch.setattr(_substitute, "_LEAST_SIDE", 100)


@pytest.fixture(scope="module")
def saved(mmc_model, tmp_path_factory):
    return keras_mmc.export_saved_model(mmc_model, tmp_path_factory.mktemp("saved") / "1")


def audit(model, images, **options):
    options = {"eps": EPS, "suite": "black_box", "queries": QUERIES} | options
    return keras_mmc.audit(model, *images, verbose=0, **options)


def test_an_export_gives_the_row_of_the_white_box(mmc_model, saved, images):
    """Fails if Square on a served export breaks other images than Square on the model."""
    suite = Suite("square", {"square": Square(EPS, QUERIES)})
    expected = audit(mmc_model, images, suite=suite, queries=None, seed=5)
    report = audit(from_saved_model(saved), images, seed=5)
    assert report.rows[0].name == "square"
    assert report.rows[0].accuracy == expected.rows[0].accuracy < report.clean_accuracy
    broken = np.array([name in ("square", "clean") for name in report.broken_by])
    np.testing.assert_array_equal(report.x_adv[broken], expected.x_adv[broken])
    np.testing.assert_array_equal(broken, np.array(expected.broken_by) != None)  # noqa: E711


def test_attacks_of_ones_own(mmc_model, images):
    """Fails if a list of attacks cannot be asked of a black box, or one with gradients runs."""

    def predict(x):
        return mmc_model(x).numpy()

    own = {"suite": [Square(EPS, QUERIES)], "queries": None}
    report = audit(predict, images, **own)
    assert [row.name for row in report.rows] == ["square"] and report.naive_accuracy is None
    suite = Suite("square", {"square": Square(EPS, QUERIES)})
    white = audit(mmc_model, images, suite=suite, queries=None)
    assert report.rows[0].accuracy == white.rows[0].accuracy
    with pytest.raises(ValueError, match="takes gradients of a Keras model"):
        audit(predict, images, suite=[PGD(EPS)], queries=None)


def test_every_query_is_in_the_report(mmc_model, images):
    """Fails if a query is missed, counted twice, or its share of an image is wrong."""
    asked = []

    def predict(x):
        asked.append(len(x))
        return mmc_model(x).numpy()

    box = BlackBox(predict)
    report = audit(box, images)
    assert (box.queries, box.calls) == (sum(asked), len(asked))
    # Beside its attacks the audit asks for the clean images, 4 copies of each, and makes 3 checks.
    attacks = sum(row.queries for row in report.rows)
    assert sum(asked) == attacks + (1 + 4 + 3) * 60
    most = {row.name: row.most_queries for row in report.rows}
    assert most == {"square": QUERIES + 2, "rays": QUERIES + 1, TRANSFER: 2}
    mean = attacks / 60 + 4
    expected = f"Queries per image: {mean:.1f} on average, at most {4 + sum(most.values())}, 4 of"
    assert any(note.startswith(expected) for note in report.notes)
    square = report.rows[0]
    share = f"({square.queries / square.attacked:.1f} queries per attacked image, at most 42)"
    assert share in str(report)


def test_what_a_report_says_and_leaves_out(mmc_model, images, tmp_path):
    """Fails if the figure passes for more than it is, or a gradient's check is invented."""
    report = audit(lambda x: mmc_model(x).numpy(), images)
    assert report.naive_accuracy is None and report.digests["model"] is None
    assert set(report.diagnostics) == CHECKS and not report.findings
    assert "upper bound" in report.notes[0] and "Note: A black box" in str(report)
    page = (report.save(tmp_path / "report") / "report.html").read_text()
    assert "upper bound" in page and "cross-entropy" not in page and "Orange" not in page
    facts = json.loads((tmp_path / "report" / "report.json").read_text())
    assert facts["naive_accuracy"] is None and facts["rows"][0]["queries"] > 60


def test_labels_only(mmc_model, images):
    """Fails if Square runs blind, in silence, or labels tell RayS less than scores do."""
    report = audit(BlackBox(lambda x: mmc_model(x).numpy().argmax(axis=1), 10), images)
    assert [row.name for row in report.rows] == ["rays", TRANSFER]
    assert any("Square needs scores and was left out" in note for note in report.notes)
    suite = Suite("rays", {"rays": RayS(EPS, QUERIES)})
    expected = audit(mmc_model, images, suite=suite, queries=None)
    assert report.rows[0].accuracy == expected.rows[0].accuracy < report.clean_accuracy


def test_probabilities(mmc_model, images):
    """Fails if probabilities are refused or lead to a much weaker attack than scores."""

    def predict(x):
        scores = mmc_model(x).numpy().astype("float64") / 100
        powers = np.exp(scores - scores.max(axis=1, keepdims=True))
        return powers / powers.sum(axis=1, keepdims=True)

    report, expected = audit(predict, images), audit(mmc_model, images)
    assert abs(report.rows[0].accuracy - expected.rows[0].accuracy) <= 2 / 60


def test_a_keras_model_may_be_treated_as_a_black_box(mmc_model, images):
    """Fails if gradients of a model are taken where the user forbade it, or weights lose a hash."""
    report = audit(mmc_model, images)
    assert report.naive_accuracy is None and set(report.diagnostics) == CHECKS
    suite = Suite("square", {"square": Square(EPS, QUERIES)})
    white = audit(mmc_model, images, suite=suite, queries=None)
    assert report.digests["model"] == white.digests["model"] is not None


def test_the_digest_of_an_export_is_in_the_report(saved, images):
    """Fails if a report does not say which files it is about."""
    box = from_saved_model(saved)
    assert audit(box, images).digests["model"] == box.digest


def test_a_substitute_that_is_given_is_used(mmc_model, images):
    """Fails if queries are spent on a substitute although there is one, or it is not attacked."""
    report = audit(lambda x: mmc_model(x).numpy(), images, substitute=mmc_model)
    transfer = report.rows[-1]
    assert transfer.name == TRANSFER and transfer.accuracy < report.rows[-2].accuracy
    assert "substitute" not in report.notes[-1] and report.digests["substitute"]


def test_a_distilled_substitute_predicts_what_it_was_told(mmc_model, images, monkeypatch):
    """Fails if it learns other classes, does not transfer, or depends on more than the seed."""
    monkeypatch.setattr(_substitute, "_LEAST_SIDE", 4)
    monkeypatch.setattr(_substitute, "STEPS", 150)
    runner, ball = Runner(BlackBox(lambda x: mmc_model(x).numpy()), seed=3), Ball(EPS)
    x, y = images
    scores, found = runner.scores(x), []
    for _ in range(2):
        substitute = new_substitute(x.shape[1:], 10, ball.box, seed=3)
        assert distill(substitute, runner, ball, x, scores) == 4 * 60
        found.append(substitute.predict(x, verbose=0))
    np.testing.assert_array_equal(*found)
    assert (found[0].argmax(axis=1) == scores.argmax(axis=1)).mean() > 0.9
    standing = np.flatnonzero(scores.argmax(axis=1) == y)
    broken = runner.run(Transfer(MIM(EPS), substitute), x, y, standing).rows
    assert len(broken) > 0.15 * len(standing)


@pytest.mark.parametrize("shape", [(12,), (2, 9, 1), (4, 4, 3)])
def test_a_substitute_of_every_shape(shape):
    """Fails if inputs that are no images, or are too small for the network, end an audit."""
    x = np.random.default_rng(0).uniform(0, 255, (3, *shape)).astype("float32")
    first, again = (new_substitute(shape, 4, (0.0, 255.0), seed=1)(x).numpy() for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert first.shape == (3, 4) and 0.01 < np.abs(first).max() < 100


def without_times(report):
    rows = tuple(dataclasses.replace(row, seconds=0.0) for row in report.rows)
    return rows, report.broken_by, report.notes, report.x_adv.tobytes()


def test_an_audit_goes_on_where_the_service_failed(mmc_model, images, tmp_path):
    """Fails if a failure becomes a row, a finished batch is asked again, or the report differs."""
    limit, answered, options = [600], [0], {"batch_size": 25}

    def predict(x):
        answered[0] += len(x)
        if answered[0] > limit[0]:
            raise ConnectionError("quota exceeded")
        return mmc_model(x).numpy()

    options["state_directory"] = tmp_path / "state"
    with pytest.raises(BlackBoxError, match=r"Call \d+ .*ConnectionError: quota exceeded"):
        audit(predict, images, **options)
    # 60 clean images and 240 copies leave 300: enough for no batch of Square.
    limit[0] = 10_000
    resumed = audit(predict, images, **options)
    undisturbed = audit(predict, images, batch_size=25)
    assert without_times(resumed) == without_times(undisturbed)
    answered[0] = 0
    again = audit(predict, images, **options)
    assert without_times(again) == without_times(resumed)
    assert answered[0] == (1 + 3) * 60  # clean images and checks
    with pytest.raises(ValueError, match="audit of another model"):
        audit(lambda x: -predict(x), images, **options)


@pytest.mark.parametrize("suite", ["standard", "quick", Suite("own", {"pgd": PGD(EPS)})])
@pytest.mark.parametrize("wrap", [lambda fn: fn, BlackBox])
def test_other_suites_are_refused(suite, wrap, mmc_model, images):
    """Fails if a function meets an attack with gradients instead of a word on what to pass."""
    with pytest.raises(ValueError, match=r"takes gradients of a Keras model.*suite='black_box'"):
        audit(wrap(lambda x: mmc_model(x).numpy()), images, suite=suite, queries=None)


def test_queries_belong_to_the_suite(mmc_model, images):
    """Fails if a budget is taken and not kept to."""
    with pytest.raises(ValueError, match=r"budget of the suite 'black_box'; received 40"):
        audit(mmc_model, images, suite="quick")
    with pytest.raises(ValueError, match="budget of suite='black_box'"):
        audit(mmc_model, images, suite=Suite("own", {"square": Square(EPS)}))


def test_what_the_suite_runs(mmc_model):
    """Fails if a budget, ball or box of an attack is another than asked for."""

    def made(ball, shape=(8, 8, 1), **options):
        return make_suite("black_box", ball, shape, 10, **options)

    box = (-1.0, 2.0)
    default = made(Ball(EPS, "linf", box), substitute=mmc_model).attacks
    assert default == {
        "square": Square(EPS, 5000, "linf", box),
        "rays": RayS(EPS, 5000, box),
        TRANSFER: Transfer(MIM(EPS, steps=10, box=box), mmc_model),
    }
    l2 = made(Ball(1.0, "l2"), queries=7)
    assert l2.attacks == {"square": Square(1.0, 7, "l2"), "rays": RayS(1 / 8, 7)}
    assert any("inside the L2 ball" in note for note in l2.notes)
    flat = made(Ball(EPS), shape=(64,))
    assert list(flat.attacks) == ["rays"] and any("was left out" in note for note in flat.notes)

"""The audit: honest numbers, findings that fire where they should, and refusals."""

import datetime
import json
import pathlib
import sys
import traceback

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_mmc
from keras_mmc.attacks import PGD, CarliniWagner, GaussianNoise, Runner, score_function
from keras_mmc.evaluation.protocols import PROTOCOLS, Trial
from keras_mmc.evaluation.suites import NAIVE, Suite

# The package exports a function of the name of its module.
audit_module = sys.modules[keras_mmc.audit.__module__]
EPS = 0.2


@pytest.fixture(scope="module")
def report(mmc_model, held_out):
    return keras_mmc.audit(mmc_model, *held_out, eps=EPS, suite="adaptive", verbose=0)


@pytest.fixture
def no_probes(monkeypatch):
    """Leaves out the diagnostics, which take most of the time of a small audit."""
    monkeypatch.setattr(audit_module, "diagnose", lambda *_, **__: {})


def scaled(model, factor):
    """The model with its scores multiplied."""
    return keras.Model(model.input, keras.layers.Rescaling(factor)(model.output))


def test_the_naive_number_is_exposed(report):
    """Fails if an MMC network without defense passes as robust: more than 30 points of masking."""
    assert report.naive_accuracy - report.robust_accuracy > 0.3
    assert report.robust_accuracy <= 0.01
    assert any("naive number is masked" in text for text in report.findings)


def test_every_broken_image_is_misclassified_inside_ball_and_box(report, mmc_model, held_out):
    """Fails if the report counts an image that is no adversarial example."""
    x, y = held_out
    predictions = mmc_model.predict(report.x_adv, verbose=0).argmax(axis=1)
    broken = np.array([name is not None for name in report.broken_by])
    np.testing.assert_array_equal(predictions != y, broken)
    assert np.abs(report.x_adv - x).max() <= EPS + 1e-6
    assert report.x_adv.min() >= 0
    assert report.x_adv.max() <= 1


def test_rows_are_the_images_that_stand(report):
    """Fails if a line of the table does not follow from which attack broke which image."""
    left = 200 - report.broken_by.count("clean")
    assert report.clean_accuracy == left / 200
    for row in report.rows:
        left -= report.broken_by.count(row.name)
        assert row.accuracy == pytest.approx(left / 200)
    assert report.robust_accuracy == pytest.approx(report.broken_by.count(None) / 200)


def test_same_seed_same_report(report, mmc_model, held_out):
    """Fails if an attack draws unseeded numbers."""
    again = keras_mmc.audit(mmc_model, *held_out, eps=EPS, suite="adaptive", verbose=0)
    assert again.broken_by == report.broken_by
    np.testing.assert_array_equal(again.x_adv, report.x_adv)
    assert again.diagnostics == report.diagnostics


def test_large_scores_do_not_help(mmc_model, held_out, report):
    """Fails if scores times 200 look more robust, or vanished gradients go unnoticed."""
    inflated = keras_mmc.audit(scaled(mmc_model, 200.0), *held_out, EPS, "quick", verbose=0)
    assert inflated.robust_accuracy <= report.robust_accuracy
    assert inflated.naive_accuracy > 0.8 * inflated.clean_accuracy
    assert any("exactly 0 on" in text for text in inflated.findings)


def test_a_small_scale_is_not_called_masked(mmc_model, held_out):
    """Fails if the diagnostics cry wolf: with soft scores naive and margin attacks agree."""
    honest = keras_mmc.audit(scaled(mmc_model, 0.001), *held_out, eps=EPS, suite="quick", verbose=0)
    assert honest.naive_accuracy - honest.robust_accuracy < 0.05
    assert not any("naive number is masked" in text for text in honest.findings)
    assert not any("exactly 0" in text for text in honest.findings)


def test_data_set_equals_arrays(mmc_model, held_out, no_probes):
    """Fails if a data set of batches is read in another order or incompletely."""
    x, y = held_out
    batches = tf.data.Dataset.from_tensor_slices((x[:50], y[:50])).batch(20)
    from_batches = keras_mmc.audit(mmc_model, batches, None, EPS, "quick", verbose=0)
    from_arrays = keras_mmc.audit(mmc_model, x[:50], y[:50], EPS, "quick", verbose=0)
    assert from_batches.broken_by == from_arrays.broken_by


@keras.saving.register_keras_serializable("audit_tests")
class Noise(keras.layers.Layer):
    """Adds unseeded noise, at inference too."""

    def call(self, x):
        return x + 200 * tf.random.normal(tf.shape(x))


@keras.saving.register_keras_serializable("audit_tests")
class BreaksOnGray(keras.layers.Layer):
    """Gives NaN scores as soon as a dark corner pixel is not exactly 0."""

    def call(self, inputs):
        images, scores = inputs
        return tf.where(images[:, 0, 0] == 0, scores, scores * float("nan"))


def test_a_random_model_is_flagged(mmc_model, held_out):
    """Fails if randomness at inference goes unnoticed."""
    noisy = keras.Model(mmc_model.input, Noise()(mmc_model.output))
    result = keras_mmc.audit(
        noisy, held_out[0][:40], held_out[1][:40], EPS, two_attacks(EPS), verbose=0
    )
    assert "random at inference" in result.findings[0]
    assert result.diagnostics["random_at_inference"].figures["largest_difference"] > 0
    # Noise classifies some broken images correctly again: that is said, and no error.
    assert result.diagnostics["confirmed_once_more"].fired


def test_nan_under_attack_counts_as_broken(mmc_model, held_out):
    """Fails if NaN scores on an attacked image pass as robust."""
    images, scores = mmc_model.input, mmc_model.output
    fragile = keras.Model(images, BreaksOnGray()([images, scores]))
    x, y = held_out[0][:40], held_out[1][:40]
    result = keras_mmc.audit(fragile, x, y, 0.05, two_attacks(0.05), verbose=0)
    assert "NaN scores" in result.findings[0]
    assert (
        result.diagnostics["nan_scores"].figures["images"] == np.sum(result.predictions == -1) > 0
    )
    broken = np.isnan(score_function(fragile)(tf.constant(result.x_adv)).numpy()).any(axis=1)
    assert np.all([result.broken_by[i] is not None for i in np.flatnonzero(broken)])
    assert broken.any()


def protocol(eps):
    """The protocol of a paper with an attack that fails, and short attacks after it."""
    short = {"steps": 40, "binary_search_steps": 4, "learning_rate": 0.1}
    one = {"pgd": Trial(PGD(eps, 3, objective="cross_entropy"), "the paper")}
    one |= {"targeted": Trial(PGD(eps, 5, targeted=True), "the paper")}
    one |= {"leaving": Trial(Leaving(eps), "the paper")}
    one |= {"c&w": Trial(CarliniWagner(**short), "the code", 10, True)}
    one |= {"nothing": Trial(GaussianNoise(0.0), "the code")}
    return Suite("a paper", two_attacks(eps).attacks, one)


@pytest.fixture(scope="module")
def paper_report(mmc_model, held_out):
    """A short protocol of a paper: 30 images, of which the first is misclassified as it is."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(audit_module, "diagnose", lambda *_, **__: {})
        x, y = held_out[0][:30], mmc_model.predict(held_out[0][:30], verbose=0).argmax(axis=1)
        y[0] = (y[0] + 1) % 10
        return keras_mmc.audit(mmc_model, x, y, 0.1, protocol(0.1), batch_size=16, verbose=0)


def test_trials_run_alone_and_do_not_count(paper_report, mmc_model):
    """Fails if a figure is not over the images it should be, or lowers the robust accuracy."""
    rows, x, y = {row.name: row for row in paper_report.trials}, paper_report.x, paper_report.labels
    assert list(rows) == ["pgd", "targeted", "leaving", "c&w", "nothing"]
    assert [row.attacked for row in rows.values()] == [29, 29, 29, 9, 29]
    assert [row.num_images for row in rows.values()] == [30, 30, 30, 10, 30]
    for name, attack in (
        ("pgd", PGD(0.1, 3, objective="cross_entropy")),
        ("targeted", PGD(0.1, 5, targeted=True)),
    ):
        # Where the iterations end, on the true label.
        found = Runner(mmc_model).generate(attack, x, y)
        right = mmc_model.predict(found, verbose=0).argmax(axis=1) == y
        assert rows[name].accuracy == pytest.approx(np.mean(right & (np.arange(30) > 0)))
    found = CarliniWagner(40, 0.1, 4)(mmc_model, x[1:10], y[1:10])
    fooled = mmc_model.predict(found, verbose=0).argmax(axis=1) != y[1:10]
    sizes = np.linalg.norm((found - x[1:10]).reshape(9, -1), axis=1)[fooled]
    assert rows["c&w"].success_rate == fooled.mean() > 0.9
    assert rows["c&w"].accuracy == pytest.approx((~fooled).sum() / 10)
    assert rows["c&w"].mean_l2 == pytest.approx(sizes.mean(), rel=1e-5)
    assert set(paper_report.broken_by) <= {None, "clean", *(row.name for row in paper_report.rows)}
    assert paper_report.robust_accuracy > 0.2


def test_a_trial_that_breaks_nothing_or_fails_loses_nothing(paper_report):
    """Fails if an attack without a success, or one that cannot run, ends the audit or hides it."""
    rows = {row.name: row for row in paper_report.trials}
    nothing, leaving = rows["nothing"], rows["leaving"]
    assert (nothing.accuracy, nothing.success_rate) == (29 / 30, 0.0)
    assert nothing.mean_l2 is None and nothing.error is None
    assert "This is a defect of the attack" in leaving.error
    assert leaving.accuracy is leaving.success_rate is leaving.mean_l2 is None
    lines = str(paper_report).splitlines()
    (line,) = [line for line in lines if line.startswith("  leaving")]
    assert "FAILED: ValueError" in line and " %" not in line
    (line,) = [line for line in lines if line.startswith("  c&w")]
    size = f"broken, mean L2 {rows['c&w'].mean_l2:.3g}"
    assert f"{100 * rows['c&w'].success_rate:.2f} % of 9 attacked images {size}" in line


@pytest.mark.parametrize("suite", PROTOCOLS)
def test_where_no_image_is_left_the_report_says_so(suite, mmc_model, held_out):
    """Fails if an attack that met no image ends the audit, or prints 0.00 % as its success."""
    x = held_out[0][:6]
    y = (mmc_model.predict(x, verbose=0).argmax(axis=1) + 1) % 10
    report = keras_mmc.audit(mmc_model, x, y, 0.1, suite, verbose=0)
    assert report.trials and all(row.attacked == 0 for row in (*report.trials, *report.rows))
    lines = str(report).splitlines()
    for row in report.trials:
        (line,) = [line for line in lines if line.startswith(f"  {row.name} ")]
        assert "attacked no image" in line and " %" not in line.removeprefix(f"  {row.name}")
    assert sum("(no image was left to attack)" in line for line in lines) == len(report.rows)


def two_attacks(eps):
    """A suite of two short attacks."""
    naive = PGD(eps, 3, objective="cross_entropy")
    return Suite("two", {NAIVE: naive, "pgd": PGD(eps, steps=20)})


def test_a_list_of_attacks(mmc_model, held_out, no_probes):
    """Fails if attacks of a list are not those of the rows, or a substitute is passed over."""
    x, y, attack = held_out[0][:20], held_out[1][:20], PGD(0.1, steps=5)
    report = keras_mmc.audit(mmc_model, x, y, 0.1, [attack], verbose=0)
    assert [(row.name, row.parameters) for row in report.rows[1:]] == [("pgd", repr(attack))]
    assert report.rows[0].name == NAIVE and report.suite == "custom"
    alone = Runner(mmc_model).robust_accuracy(attack, x, y)
    assert report.robust_accuracy <= alone
    with pytest.raises(ValueError, match=r"put Transfer\(attack, substitute\) into it"):
        keras_mmc.audit(mmc_model, x, y, 0.1, [attack], substitute=mmc_model, verbose=0)


def test_a_report_says_what_it_is_about(mmc_model, held_out, no_probes, monkeypatch):
    """Fails if model, date or command line are not those of the audit, or a notebook gets one."""
    x, y = held_out[0][:4], held_out[1][:4]
    monkeypatch.setattr(sys, "argv", ["audit.py", "--model=my model.keras"])
    monkeypatch.setattr(sys.modules["__main__"], "__file__", "audit.py", raising=False)
    report = keras_mmc.audit(mmc_model, x, y, 0.1, two_attacks(0.1), verbose=0)
    assert report.model_name == mmc_model.name
    assert report.command == "audit.py '--model=my model.keras'"
    age = datetime.datetime.now(datetime.timezone.utc) - datetime.datetime.fromisoformat(
        report.date
    )
    assert datetime.timedelta(0) <= age < datetime.timedelta(hours=1)
    monkeypatch.delattr(sys.modules["__main__"], "__file__", raising=False)
    assert keras_mmc.audit(mmc_model, x, y, 0.1, two_attacks(0.1), verbose=0).command is None


def test_progress_names_each_attack_and_what_is_left(mmc_model, held_out, capsys, no_probes):
    """Fails if a user cannot see which attack runs, on how many images, and how far it is."""
    x, y = held_out[0][:10], held_out[1][:10]
    result = keras_mmc.audit(mmc_model, x, y, 0.05, "quick", verbose=1)
    printed = capsys.readouterr().out
    standing = [result.clean_accuracy, *(row.accuracy for row in result.rows)]
    for row, before in zip(result.rows, standing, strict=False):
        count = round(10 * before)
        assert f"{row.name}: {count} of 10 images left" in printed
        assert f"{count}/{count}" in printed


def test_saved_report(report, tmp_path):
    """Fails if the files do not hold what was printed, or an older report is replaced silently."""
    path = report.save(tmp_path / "report")
    stored = json.loads((path / "report.json").read_text(encoding="utf-8"))
    assert stored["robust_accuracy"] == report.robust_accuracy
    assert stored["findings"] == list(report.findings)
    assert [row["name"] for row in stored["rows"]] == [row.name for row in report.rows]
    np.testing.assert_array_equal(np.load(path / "adversarial.npz")["x_adv"], report.x_adv)
    with pytest.raises(FileExistsError, match="overwrite=True"):
        report.save(path)
    report.save(path, overwrite=True)
    assert stored["batch_size"] == 128
    assert len(stored["digests"]["model"]) == 64
    assert [item.name for item in tmp_path.iterdir()] == ["report"]
    page = (path / "report.html").read_text(encoding="utf-8")
    assert f"{100 * report.robust_accuracy:.2f} %" in page
    assert page.count("<figure>") == min(9, sum(name != "clean" for name in report.broken_by))


def test_only_reports_are_replaced(report, tmp_path):
    """Fails if overwrite=True deletes a folder that holds a model, or a file."""
    (tmp_path / "run").mkdir()
    model = tmp_path / "run" / "model.keras"
    model.write_bytes(b"weights")
    with pytest.raises(FileExistsError, match=r"such as 'model\.keras'"):
        report.save(tmp_path / "run", overwrite=True)
    with pytest.raises(FileExistsError, match="no folder"):
        report.save(model, overwrite=True)
    assert model.read_bytes() == b"weights"


def test_a_place_for_the_report_is_kept_from_the_start(report, tmp_path):
    """Fails if a long audit can end without a place for its report."""
    state = tmp_path / "run" / "state"
    for directory, held in ((tmp_path / "run", state), (state, tmp_path / "run")):
        with pytest.raises(ValueError, match="must lie apart"):
            report.check_directory(directory, state_directory=held)
    with report.reserve(tmp_path / "run", state_directory=tmp_path / "state") as directory:
        with pytest.raises(BlockingIOError, match="in use"):
            report.save(tmp_path / "run")
        report.write(directory)
    names = {item.name for item in (tmp_path / "run").iterdir()}
    assert names == {"report.json", "report.html", "adversarial.npz"}


def test_printed_report_names_everything(report):
    """Fails if a line, the interval or a finding is missing from the text."""
    text = str(report)
    low, high = report.interval
    for part in (f"{100 * low:.2f} to {100 * high:.2f}", "200 images", "seed 0", "linf eps 0.2"):
        assert part in text
    for part in (*report.findings, *(row.name for row in report.rows)):
        assert part in text


def test_stored_diagnostics_hold_their_figures(report):
    """Fails if a check cannot be read back from report.json, fired or not."""
    stored = json.loads(json.dumps(report.to_dict()))["diagnostics"]
    assert list(stored) == list(report.diagnostics)
    for name, check in report.diagnostics.items():
        assert stored[name]["fired"] == check.fired
        assert stored[name]["finding"] == check.finding
        assert stored[name]["figures"].keys() == check.figures.keys()
    assert stored["naive_minus_best"]["figures"]["best"] == report.robust_accuracy


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"eps": 0.0}, "eps > 0.*received 0.0"),
        ({"eps": float("nan")}, "finite eps"),
        ({"eps": -0.1}, "eps > 0.*received -0.1"),
        ({"eps": True}, "finite eps > 0.*received True"),
        ({"eps": 8}, "larger than the whole box.*8 / 255, not 8"),
        ({"batch_size": 0}, "batch_size"),
        ({"model": print}, "Keras model"),
        ({"suite": "fast"}, r"quick.*standard.*adaptive.*gce.*received 'fast'"),
        ({"x": np.zeros((2, 8, 8, 1), "uint8")}, "dtype uint8"),
        ({"x": np.full((2, 8, 8, 1), np.nan, "float32")}, "NaN"),
        ({"x": np.full((2, 8, 8, 1), 2.0, "float32")}, r"box \[0, 1\]"),
        ({"x": np.zeros((0, 8, 8, 1), "float32"), "y": np.zeros(0, int)}, "At least one image"),
        ({"y": np.array([0, 10])}, r"\[0, 10\)"),
        ({"y": None}, "needed with their labels"),
    ],
)
def test_refusals(change, message, mmc_model):
    """Fails if a wrong argument is audited all the same."""
    good = {
        "model": mmc_model,
        "x": np.zeros((2, 8, 8, 1), "float32"),
        "y": np.array([0, 1]),
        "eps": EPS,
    }
    with pytest.raises(ValueError, match=message):
        keras_mmc.audit(**{**good, **change}, verbose=0)


def test_a_softmax_is_taken_off(mmc_model, held_out, no_probes):
    """Fails unless the audit is that of the network without softmax, image by image."""
    softmax = keras.Model(mmc_model.input, keras.layers.Softmax()(mmc_model.output))
    reports = [
        keras_mmc.audit(model, *held_out, EPS, two_attacks(EPS), verbose=0)
        for model in (mmc_model, softmax)
    ]
    np.testing.assert_array_equal(reports[1].x_adv, reports[0].x_adv)
    assert reports[1].broken_by == reports[0].broken_by
    assert reports[1].digests == reports[0].digests
    added = set(reports[1].notes) - set(reports[0].notes)
    assert added == {"The model ends in a softmax; it is attacked without it."}


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_a_softmax_in_16_bits_is_taken_off(policy, mmc_model, held_out, no_probes):
    """Fails if a softmax whose rows do not sum to 1 exactly is taken for scores."""
    scaled = keras.layers.Rescaling(0.05)(mmc_model.output)
    softmax = keras.layers.Softmax(dtype=policy.removeprefix("mixed_"))
    reports = [
        keras_mmc.audit(
            keras.Model(mmc_model.input, output), *held_out, EPS, two_attacks(EPS), verbose=0
        )
        for output in (scaled, softmax(scaled))
    ]
    assert "ends in a softmax" in str(reports[1].notes)
    assert reports[1].robust_accuracy == reports[0].robust_accuracy


def test_numpy_radius(mmc_model, held_out, no_probes):
    """Fails if a radius computed with NumPy is refused, or cannot be written as JSON."""
    x, y = held_out[0][:10], held_out[1][:10]
    result = keras_mmc.audit(mmc_model, x, y, np.float32(0.1), two_attacks(0.1), verbose=0)
    assert json.dumps(result.to_dict()["eps"]) == str(float(np.float32(0.1)))


def in_pairs(x, y):
    return tf.data.Dataset.from_tensor_slices((x, y))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (in_pairs, r"must be batches.*dataset\.batch"),
        (lambda x, y: in_pairs(x, y).batch(4).repeat(), "never ends"),
        (lambda x, y: in_pairs(x, y).batch(4).take(0), "data set is empty"),
        (lambda x, y: tf.data.Dataset.from_tensor_slices(x).batch(4), "elements are a ndarray"),
        (lambda x, y: in_pairs(x, y).map(lambda x, y: {"a": x, "y": y}).batch(4), r"\['a', 'y'\]"),
    ],
)
def test_data_sets_that_do_not_fit(make, message, mmc_model, held_out):
    """Fails if a data set without labeled batches dies with words of NumPy, or never ends."""
    with pytest.raises(ValueError, match=message):
        keras_mmc.audit(mmc_model, make(*held_out), None, EPS, verbose=0)


@keras.saving.register_keras_serializable("audit_tests")
class MeanOfBatch(keras.layers.Layer):
    """Subtracts the mean of the batch, at inference too."""

    def call(self, x):
        return x - tf.reduce_mean(x, axis=0)


def test_a_model_that_looks_at_its_batch_is_flagged(mmc_model, held_out):
    """Fails if scores that depend on the other images go unnoticed."""
    peeking = keras.Model(mmc_model.input, MeanOfBatch()(mmc_model.output))
    x, y = held_out[0][:40], held_out[1][:40]
    result = keras_mmc.audit(peeking, x, y, EPS, two_attacks(EPS), batch_size=16, verbose=0)
    assert result.diagnostics["depends_on_batch"].fired
    assert not result.diagnostics["random_at_inference"].fired


def test_vectors_leave_square_out(held_out, no_probes):
    """Fails if inputs that are no images end the audit, or what was left out is not noted."""
    x, y = held_out[0][:12].reshape(12, 64), held_out[1][:12]
    model = keras.Sequential([keras.Input((64,)), keras.layers.Dense(10)])
    result = keras_mmc.audit(model, x, y, 0.01, "standard", verbose=0)
    assert [row.name for row in result.rows] == [NAIVE, "apgd-ce", "apgd-t", "fab-t"]
    assert "Square" in result.notes[-1]


def test_a_substitute_that_does_not_fit_is_refused(mmc_model, held_out):
    """Fails if a model with other outputs is tried, or hours pass before the error."""
    three = keras.Sequential(
        [keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(3)]
    )
    ten, nan = keras.models.clone_model(mmc_model), keras.models.clone_model(mmc_model)
    nan.set_weights([np.full_like(weight, np.nan) for weight in nan.get_weights()])
    for substitute, suite, message in (
        (three, "adaptive", "audited model, 10; it returns scores of 3"),
        (nan, "mmc", "substitute does not fit.*NaN"),
        (ten, "quick", "does not use a substitute"),
        ("model.keras", "mmc", "must be a Keras model"),
    ):
        with pytest.raises(ValueError, match=message):
            keras_mmc.audit(mmc_model, *held_out, EPS, suite, substitute=substitute, verbose=0)


class Leaving(PGD):
    """Returns images twice as far away as allowed."""

    def run(self, score_fn, x, y, seed, targets, early_stop, eps, steps):
        return x + 2 * eps


def test_points_outside_are_not_reported(mmc_model, held_out, no_probes):
    """Fails if a defect of an attack passes as an adversarial example, or costs other results."""
    suite = Suite("own", {NAIVE: PGD(0.01, steps=1), "x": Leaving(1.0)})
    report = keras_mmc.audit(mmc_model, *held_out, 1.0, suite, verbose=0)
    assert "This is a defect of the attack" in report.rows[1].error
    assert report.rows[1].accuracy == report.rows[0].accuracy == report.robust_accuracy
    assert any("x failed" in note and "upper bound" in note for note in report.notes)
    assert "FAILED: ValueError" in str(report)
    with pytest.raises(ValueError, match="This is a defect of the attack"):
        keras_mmc.audit(mmc_model, *held_out, 1.0, Suite("own", {NAIVE: Leaving(1.0)}), verbose=0)


def test_two_classes(held_out, no_probes):
    """Fails if a binary classifier, for which DLR is undefined, is not audited or not noted."""
    model = keras.Sequential(
        [keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(2)]
    )
    x, y = held_out[0][:20], held_out[1][:20] % 2
    result = keras_mmc.audit(model, x, y, 1.0, verbose=0)
    assert result.robust_accuracy == 0
    assert any("not defined for 2 classes" in note for note in result.notes)


def test_the_way_of_an_image_is_short(held_out, no_probes):
    """Fails if an image passes more than 6 files of the package from the audit to a step."""
    ways, package = [], pathlib.Path(keras_mmc.__file__).parent

    class Step(keras.layers.Layer):
        def call(self, x):
            files = [pathlib.Path(frame.filename) for frame in traceback.extract_stack()]
            way = [path for path in files if package in path.parents]
            below = [path.name == "_gradients.py" for path in way]
            if any(below):  # a step of an attack asks for a gradient
                ways.append(set(way[: below.index(True)]))
            return x

    model = keras.Sequential(
        [keras.Input((8, 8, 1)), Step(), keras.layers.Flatten(), keras.layers.Dense(10)]
    )
    x = held_out[0][:20]
    y = model.predict(x, verbose=0).argmax(axis=1)
    keras_mmc.audit(model, x, y, 0.02, "standard", verbose=0)
    assert len(ways) >= 4
    assert max(len(way) for way in ways) <= 6

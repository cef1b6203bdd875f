"""The experiments of MMC beyond training and attacks: centers, features, depth, old records."""

import keras
import numpy as np
import pytest

from keras_mmc.datasets import load_arrays
from keras_mmc.experiments import (
    features,
    jobs,
    mmc,
    mmc_depth,
    pages,
    training,
)
from keras_mmc.experiments import features_over_training as following
from keras_mmc.experiments import transfer_and_detection as detection

TRAINED = {"validation_accuracy": [0.5, 0.75], "loss": [2.0, 1.0], "cpu_seconds": 3.0}


def attacked(method, robust=0.25, **more):
    """A record of a network as its job leaves it."""
    row = {"name": "pgd-10 (distance)", "eps": 0.1, "accuracy": 0.5}
    standard = [{"eps": 0.1, "suite": "standard", "naive": 0.5, "robust": robust}]
    record = {"method": method, "seed": 0, "clean_acc": 0.75, "num_images": 100} | more
    return record | {"training": TRAINED, "protocol": [row], "standard": standard}


def across(**more):
    """A record of the job that needs all networks."""
    matrix = [[0.5, 0.25], [0.75, 1.0]]
    record = {"networks": ["SCE", "MMC-10"], "num_images": 100, "eps": 0.1}
    record |= {"transfer": {"distance": matrix}, "detection_auc": {"SCE": 0.5, "MMC-10": 0.625}}
    return record | more


def cells(tables, title):
    """The rows of the one table with a title, by their first cell."""
    [table] = [table for table in tables if table.title == title]
    assert all(len(row) == len(table.header) for row in table.rows)
    return {row[0]: row[1:] for row in table.rows}


def test_distances_by_hand():
    """Fails if a distance is to another center, or in units of another gap."""
    centers = np.array([[0.0, 0.0], [4.0, 0.0], [0.0, 20.0]])  # the smallest gap is 4
    z, y = np.array([[0.0, 1.0], [3.0, 0.0], [0.0, 17.0], [1.0, 0.0]]), np.array([0, 1, 2, 1])
    np.testing.assert_allclose(features.own_over_half_gap(z, y, centers), [0.5, 0.5, 1.5, 1.5])
    ratios = features.own_over_nearest_other(z, y, centers)
    np.testing.assert_allclose(ratios, [1 / 17**0.5, 1 / 3, 3 / 17, 3.0])
    same = np.zeros((3, 2), "float32")  # as a network with constant features has them
    for distances in (features.own_over_half_gap, features.own_over_nearest_other):
        assert np.isfinite(distances(z.astype("float32"), y, same)).all()


def test_density_near_the_centers(tmp_path):
    """Fails if a fraction or a quantile is in another column, or the picture is not drawn."""
    found = detection.near_centers(np.linspace(0, 2, 201))  # the quantile at p % is p / 50
    np.testing.assert_allclose(found["quantiles"], np.array(detection.PERCENT) / 50)
    np.testing.assert_allclose(found["fraction_within"], np.array([10, 25, 50, 100]) / 201)
    about = {
        "num_images": 201,
        "percent": detection.PERCENT,
        "radii": detection.RADII,
    }
    record = across(center_density=about | {"networks": {"SCE": found}})
    rows = cells(detection.tables(record), "Density near the centers")
    assert rows["SCE"][:5] == ("5.0", "12.4", "24.9", "49.8", "0.02")
    assert rows["SCE"][-1] == "1.98"
    detection.pictures(record, tmp_path)
    assert (tmp_path / "density.png").stat().st_size


def test_features_are_followed_and_kept(tmp_path):
    """Fails if a ratio or picture is missing, or lost when a job goes on after an interruption."""
    assert following.shown_epochs(1) == (1,) and following.shown_epochs(200) == (1, 100, 200)
    setting = training.Setting("digits", training.tiny, 16, 3, 128, jobs.adam, 1e-3)
    plan = jobs.Plan(setting, None, (0,), ())
    methods = {"MMC-10": mmc.METHODS["MMC-10"]}
    place = tmp_path / following.NAME
    place.mkdir()
    record = following.job(methods, plan, place)
    [ratios] = record["distance_ratio"].values()
    assert len(ratios) == 3 and ratios[0] > ratios[-1]  # it learns, so features move to centers
    pictures = {path.name for path in tmp_path.glob("*.png")}
    assert pictures == {f"{following.NAME}-MMC-10-0-epoch-{epoch}.png" for epoch in (1, 2, 3)}
    model = keras.models.load_model(place / "MMC-10-0.keras")
    x, y = load_arrays("digits", "test")
    values = features.features_of(model, x)
    expected = features.own_over_nearest_other(values, y, features.centers_of(model, values, y))
    assert ratios[-1] == pytest.approx(expected.mean(), rel=1e-5)
    assert following.job(methods, plan, place) == record  # of the network that is there
    assert cells([following.table(record)], "Features over training")["MMC-10"][2] == (
        f"{ratios[2]:.3f}"
    )


def test_facts_of_training_are_those_of_before(tmp_path):
    """Fails if records of networks that nobody follows get other keys."""
    setting = training.Setting("digits", training.tiny, 16, 1, 512, jobs.adam, 1e-3)
    _, facts = training.train(training.Method(), setting, 0, tmp_path / "model.keras")
    assert set(facts) == {"cpu_seconds", "validation_accuracy", "loss"}


@pytest.mark.parametrize("name", ["mmc_mnist", "mmc_cifar10", "mmc_at_cifar10"])
def test_records_made_before_give_a_page(name, tmp_path):
    """Fails if a record without density, or no record over epochs, breaks the page."""
    records = {f"{method}-0": attacked(method) for method in ("SCE", "MMC-10")}
    records["transfer-and-detection"] = across()
    tables = pages.write(mmc.EXPERIMENTS[name], records, tmp_path)
    titles = [table.title for table in tables]
    assert "Detection" in titles and "Density near the centers" not in titles
    assert ("Published elsewhere" in titles) == name.endswith("cifar10")
    if name.endswith("cifar10"):
        found = cells(tables, "Published elsewhere")
        assert found["MMC"][0] == "90.18" and found["MMC"][2] == "0.00"
        assert found["MMC with adversarial training"][::2][:2] == ("80.89", "43.48")
    followed = "features-over-training" in mmc.EXPERIMENTS[name].jobs("full")
    assert followed == ("_at_" not in name)


def test_depth_by_hand(tmp_path):
    """Fails if a depth, method or attack is in another cell of the table."""
    [experiment] = mmc_depth.EXPERIMENTS.values()
    records = {
        "a": attacked("SCE", 0.25, depth=8),
        "b": attacked("MMC-10", 0.125, depth=8),
        "c": attacked("SCE", 0.5, depth=14),
    }
    [table] = experiment.tables(records)
    assert table.header[1:4] == ("SCE: clean", "SCE: PGD-20", "SCE: robust")
    assert table.rows == (
        ("8", "75.00", "50.00", "25.00", "75.00", "50.00", "12.50"),
        ("14", "75.00", "50.00", "50.00", "-", "-", "-"),
    )
    assert "at depth 8 SCE 25.00 %, MMC-10 12.50 %; at depth 14 SCE 50.00 %" in (
        experiment.conclusion(records)
    )
    experiment.pictures(records, tmp_path)
    assert (tmp_path / "depth.png").stat().st_size


@pytest.mark.parametrize("budget", ["cpu", "full"])
def test_depths_of_a_budget(budget):
    """Fails if a job trains a network of another depth, or two share a directory."""
    plan, _, depths = mmc_depth._PLANS[budget]
    [experiment] = mmc_depth.EXPERIMENTS.values()
    jobs = experiment.jobs(budget)
    assert len(jobs) == 2 * len(depths) * len(plan.seeds)
    for name, job in jobs.items():
        method, depth, its_plan, seed = job.args
        assert name == f"{method}-depth-{depth}-{seed}"
        assert its_plan.setting.network.keywords == {"depth": depth}
    name, _, its_plan, _ = next(iter(jobs.values())).args
    model = training.build(mmc_depth.METHODS[name], its_plan.setting)
    assert model.name.startswith(f"resnet{depths[0]}_v")

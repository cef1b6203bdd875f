"""Centers on disk: round trips, the reference's format, and files that hold something else."""

import os

import numpy as np
import pytest
from scipy.io import loadmat, savemat

from keras_mmc.centers import io as centers_io
from keras_mmc.centers import load_centers, max_mahalanobis_centers, save_centers


@pytest.mark.parametrize("name", ["centers.npy", "centers.mat"])
def test_round_trip(tmp_path, rng, name):
    """Fails if a bit is lost or a temporary file stays behind."""
    centers = rng.normal(size=(7, 3))
    save_centers(tmp_path / name, centers)
    loaded = load_centers(str(tmp_path / name))
    assert loaded.dtype == np.float64
    np.testing.assert_array_equal(loaded, centers)
    assert os.listdir(tmp_path) == [name]


def test_mat_files_hold_the_key_of_the_reference(tmp_path):
    """Fails if the reference implementation could not read our file."""
    save_centers(tmp_path / "c.mat", [[1.0, 0.0, 0.0], [-1.0, 0.0, 0.0]])
    stored = loadmat(tmp_path / "c.mat")["mean_logits"]
    np.testing.assert_array_equal(stored, [[1.0, 0.0, 0.0], [-1.0, 0.0, 0.0]])


def test_reference_file_is_rescaled(tmp_path):
    """Fails if unit rows, stored as float32 with rounding, do not get exactly the norm."""
    unit = max_mahalanobis_centers(10, 256, scale=1.0)
    savemat(tmp_path / "ref.mat", {"mean_logits": unit.astype("float32")})
    centers = load_centers(tmp_path / "ref.mat", scale=10.0)
    np.testing.assert_allclose(np.linalg.norm(centers, axis=1), 10.0, rtol=1e-12)
    np.testing.assert_allclose(centers, 10 * unit, atol=1e-5)


def test_scale_is_the_norm_and_not_a_factor(tmp_path):
    """Fails if rows of other norms are multiplied by `scale` instead of rescaled to it."""
    save_centers(tmp_path / "c.npy", [[3.0, 4.0], [0.0, -2.0]])
    centers = load_centers(tmp_path / "c.npy", scale=10.0)
    np.testing.assert_allclose(centers, [[6.0, 8.0], [0.0, -10.0]])


def test_failed_write_keeps_the_old_file(tmp_path, monkeypatch):
    """Fails if a crash in the middle of writing damages the file or leaves a partial one."""
    save_centers(tmp_path / "c.npy", np.eye(2))

    def break_off(file, centers):
        file.write(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(centers_io.np, "save", break_off)
    with pytest.raises(OSError, match="disk full"):
        save_centers(tmp_path / "c.npy", 2 * np.eye(2))
    np.testing.assert_array_equal(load_centers(tmp_path / "c.npy"), np.eye(2))
    assert os.listdir(tmp_path) == ["c.npy"]


@pytest.mark.parametrize("name", ["centers.npz", "centers"])
def test_wrong_suffix(tmp_path, name):
    """Fails if a file is written or read in a format nobody named."""
    with pytest.raises(ValueError, match=rf"stored in .npy or .mat files; received .*{name}"):
        save_centers(tmp_path / name, np.eye(2))
    with pytest.raises(ValueError, match=rf"stored in .npy or .mat files; received .*{name}"):
        load_centers(tmp_path / name)


def test_missing_key(tmp_path):
    """Fails if another array of a .mat file is taken for the centers."""
    savemat(tmp_path / "c.mat", {"means": np.eye(2)})
    with pytest.raises(ValueError, match=r"c.mat: expected the key 'mean_logits', found \['means'"):
        load_centers(tmp_path / "c.mat")


@pytest.mark.parametrize(
    ("stored", "message"),
    [
        (np.zeros(3), r"received shape \(3,\)"),
        (np.array([[1.0], [np.nan]]), "in 1 of 2 rows"),
        (np.array([{}, {}]), "allow_pickle"),
    ],
)
def test_content_that_is_not_centers(tmp_path, stored, message):
    """Fails if a wrong array is returned, pickled objects run, or the error omits the file."""
    np.save(tmp_path / "c.npy", stored)
    with pytest.raises(ValueError, match=rf"Cannot read centers from .*c.npy: .*{message}"):
        load_centers(tmp_path / "c.npy")


def test_centers_that_cannot_be_saved(tmp_path):
    """Fails if NaN reaches the disk."""
    with pytest.raises(ValueError, match="must be finite"):
        save_centers(tmp_path / "c.npy", [[0.0], [np.nan]])
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("scale", [0.0, float("inf"), "10"])
def test_bad_scale(tmp_path, scale):
    """Fails if rows are rescaled to a norm that is none."""
    save_centers(tmp_path / "c.npy", np.eye(2))
    with pytest.raises(ValueError, match=r"`scale`.*positive finite"):
        load_centers(tmp_path / "c.npy", scale=scale)


def test_zero_row_cannot_be_rescaled(tmp_path):
    """Fails if a row of zeros becomes NaN."""
    save_centers(tmp_path / "c.npy", [[1.0, 0.0], [0.0, 0.0]])
    with pytest.raises(ValueError, match="Center 1 lies at the origin"):
        load_centers(tmp_path / "c.npy", scale=10.0)

"""Centers on disk: round trips, the reference's format, and files that hold something else."""

import os

import numpy as np
import pytest
from scipy.io import loadmat, savemat

from keras_mmc.centers import io as centers_io
from keras_mmc.centers import load_centers, max_mahalanobis_centers, save_centers
from keras_mmc.centers import mat as centers_mat


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
        (np.array([{}, {}]), "never unpickled"),
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


def damaged(content, step=1):
    """Every beginning of a file, and the file with each of its bits but some turned."""
    yield from (content[:length] for length in range(0, len(content), step))
    for bit in range(0, 8 * len(content), step):
        turned = bytearray(content)
        turned[bit // 8] ^= 1 << bit % 8
        yield bytes(turned)


def test_damaged_npy_files(tmp_path):
    """Fails if a damaged file ends in another error than one that names it, or lacks a value."""
    path = tmp_path / "c.npy"
    save_centers(path, [[1.0, 2.0, 3.0], [-1.0, -2.0, -3.0]])
    content, refused = path.read_bytes(), 0
    for case, stored in enumerate(damaged(content, step=3)):
        path.write_bytes(stored)
        try:
            assert load_centers(path).shape == (2, 3)
            assert 3 * case >= len(content)  # a part of a file is never taken for the whole
        except ValueError as error:
            assert str(error).startswith(f"Cannot read centers from {path}: ")
            refused += 1
    assert refused > 200


@pytest.mark.parametrize(
    ("shape", "message"),
    [("(4000000000, 4000000000)", "promises 128000000000000000000 bytes"), ("(-1, 3)", "damaged")],
)
def test_header_that_asks_for_memory(tmp_path, shape, message):
    """Fails if memory is taken for what the header says before the file is measured."""
    header = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    path = tmp_path / "c.npy"
    path.write_bytes(b"\x93NUMPY\x01\x00\x76\x00" + header.encode() + bytes(48))
    with pytest.raises(ValueError, match=rf"Cannot read centers from .*c.npy: .*{message}"):
        load_centers(path)


@pytest.mark.parametrize("kept", [0, 100, 150, 200])
def test_damaged_mat_files(tmp_path, kept):
    """Fails if an error of SciPy's reader comes through as it is."""
    path = tmp_path / "c.mat"
    save_centers(path, np.eye(3))
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(ValueError, match=r"Cannot read centers from .*c.mat: \S+"):
        load_centers(path)


@pytest.mark.parametrize(
    ("program", "message"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "reader crashed"),
        ("import time; time.sleep(60)", "not read in 1 seconds"),
        ("raise SystemExit('SciPy says no')", "SciPy says no"),
        ("print('no array')", "damaged"),
    ],
)
def test_reader_that_dies(tmp_path, monkeypatch, program, message):
    """Fails if a crash, a hang or an odd answer of the reader is more than one error here."""
    (tmp_path / "program.py").write_text(program)
    monkeypatch.setattr(centers_mat, "_PROGRAM", tmp_path / "program.py")
    monkeypatch.setattr(centers_mat, "_SECONDS", 1)
    (tmp_path / "c.mat").write_bytes(b"any")
    with pytest.raises(ValueError, match=rf"Cannot read centers from .*c.mat: .*{message}"):
        load_centers(tmp_path / "c.mat")


def test_mat_file_that_wants_all_memory(tmp_path, monkeypatch):
    """Fails if a small file may make the reader take any amount of memory."""
    pytest.importorskip("resource")
    program, reads = centers_mat._PROGRAM.read_text(encoding="utf-8"), "content = loadmat("
    assert program.count(reads) == 1
    (tmp_path / "program.py").write_text(program.replace(reads, f"bytearray(2**33); {reads}"))
    monkeypatch.setattr(centers_mat, "_PROGRAM", tmp_path / "program.py")
    save_centers(tmp_path / "c.mat", np.eye(2))
    with pytest.raises(ValueError, match=r"Cannot read centers from .*c.mat: .*MemoryError"):
        load_centers(tmp_path / "c.mat")


def test_mat_file_of_objects(tmp_path):
    """Fails if cells are taken for numbers, or pickled on their way."""
    savemat(tmp_path / "c.mat", {"mean_logits": np.array([["a"], [1]], dtype=object)})
    with pytest.raises(ValueError, match=r"c.mat: the key 'mean_logits' holds no numbers"):
        load_centers(tmp_path / "c.mat")


def test_rows_of_one_direction_cannot_be_rescaled(tmp_path):
    """Fails if two classes get one center where rows get one norm."""
    save_centers(tmp_path / "c.npy", [[1.0, 0.0], [2.0, 0.0]])
    with pytest.raises(ValueError, match=r"c.npy: Centers must be distinct"):
        load_centers(tmp_path / "c.npy", scale=10.0)

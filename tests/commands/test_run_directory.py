"""The directory of a run: complete or absent, and nothing foreign is deleted."""

import pytest
from absl import flags

from keras_mmc.commands import run_directory as module


@pytest.fixture
def run_directory():
    """The context manager of the commands."""
    if not flags.FLAGS.is_parsed():
        flags.FLAGS(["test"])
    return module.run_directory


def test_appears_when_complete(run_directory, tmp_path):
    """Fails if a failed run leaves results, or a later one cannot replace them."""
    path = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt), run_directory(path, False):
        raise KeyboardInterrupt
    assert not path.exists()
    for text in ("first", "second"):
        with run_directory(path, overwrite=text == "second") as directory:
            (directory / "comparison.csv").write_text(text)
    assert {item.name for item in path.iterdir()} == {"comparison.csv", "flags.txt"}
    assert (path / "comparison.csv").read_text() == "second"
    assert [item.name for item in tmp_path.iterdir()] == ["run"]


def test_an_unfinished_run_is_kept_for_its_own_flags(run_directory, tmp_path, monkeypatch):
    """Fails if a run with other flags deletes what was trained, or a typing mistake blocks one."""
    path, said = tmp_path / "run", iter(["--epochs=1\n", "--epochs=2\n"] + ["--epochs=3\n"] * 4)
    monkeypatch.setattr(module, "_own_flags", lambda: next(said))
    for _ in range(2):  # nothing was trained
        with pytest.raises(ValueError, match="depth"), run_directory(path, False):
            raise ValueError("depth")
    with pytest.raises(KeyboardInterrupt), run_directory(path, False) as directory:
        (directory / "mmc" / "state").mkdir(parents=True)
        (directory / "mmc" / "state" / "000001-00000000.state.npz").write_bytes(b"weights")
        raise KeyboardInterrupt
    state = "mmc/state/000001-00000000.state.npz"
    with pytest.raises(KeyboardInterrupt), run_directory(path, False) as directory:
        assert (directory / state).read_bytes() == b"weights"
        raise KeyboardInterrupt
    with monkeypatch.context() as patch:
        patch.setattr(module, "_own_flags", lambda: "--epochs=9\n")
        words = r"left of a run with other flags.*--overwrite"
        with pytest.raises(FileExistsError, match=words), run_directory(path, False):
            pass
        assert (tmp_path / "run.partial" / "new" / state).exists()
        with run_directory(path, True) as directory:
            assert [item.name for item in directory.iterdir()] == ["flags.txt"]
    assert path.exists()


def test_flags_of_another_program_are_no_run(run_directory, tmp_path):
    """Fails if any folder with a flags.txt is taken for a run and replaced."""
    (tmp_path / "flags.txt").write_text("--output_dir=thesis")
    words = r"no flags\.txt of an earlier run"
    with pytest.raises(FileExistsError, match=words), run_directory(tmp_path, True):
        pass
    assert (tmp_path / "flags.txt").exists()


def test_a_folder_named_partial_is_kept(run_directory, tmp_path):
    """Fails if `<output_dir>.partial` is removed unasked."""
    (tmp_path / "run.partial").mkdir()
    (tmp_path / "run.partial" / "photo.jpg").write_bytes(b"precious")
    words = r"run\.partial holds other things"
    with pytest.raises(FileExistsError, match=words), run_directory(tmp_path / "run", False):
        pass
    assert (tmp_path / "run.partial" / "photo.jpg").exists()


@pytest.mark.parametrize(("overwrite", "words"), [(False, "--overwrite"), (True, r"no flags\.txt")])
def test_other_folders_are_kept(overwrite, words, run_directory, tmp_path):
    """Fails if a folder that holds no run is replaced."""
    (tmp_path / "thesis.tex").write_text("chapter 1")
    with pytest.raises(FileExistsError, match=words), run_directory(tmp_path, overwrite):
        pass
    assert (tmp_path / "thesis.tex").exists()

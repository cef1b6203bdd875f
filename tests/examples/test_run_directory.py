"""The directory of a run: complete or absent, and nothing foreign is deleted."""

import sys

import pytest
from absl import flags


@pytest.fixture
def run_directory(request, monkeypatch):
    """The context manager of the example scripts."""
    monkeypatch.syspath_prepend(request.config.rootpath / "examples")
    monkeypatch.delitem(sys.modules, "run_directory", raising=False)
    import run_directory

    if not flags.FLAGS.is_parsed():
        flags.FLAGS(["test"])
    return run_directory.run_directory


def test_appears_when_complete(run_directory, tmp_path):
    """Fails if a failed run leaves results, or a later one cannot replace them."""
    path = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt), run_directory(path, False):
        raise KeyboardInterrupt
    assert not path.exists()
    for text in ("first", "second"):
        with run_directory(path, overwrite=text == "second") as directory:
            (directory / "result").write_text(text)
    assert {item.name for item in path.iterdir()} == {"result", "flags.txt"}
    assert (path / "result").read_text() == "second"
    assert [item.name for item in tmp_path.iterdir()] == ["run"]


@pytest.mark.parametrize(("overwrite", "words"), [(False, "--overwrite"), (True, r"no flags\.txt")])
def test_other_folders_are_kept(overwrite, words, run_directory, tmp_path):
    """Fails if a folder that holds no run is replaced."""
    (tmp_path / "thesis.tex").write_text("chapter 1")
    with pytest.raises(FileExistsError, match=words), run_directory(tmp_path, overwrite):
        pass
    assert (tmp_path / "thesis.tex").exists()

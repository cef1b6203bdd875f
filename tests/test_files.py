"""Results on disk: whole or absent, nothing foreign removed, one writer at a time."""

import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from keras_mmc import _files

KIND = _files.Kind("toy", "toy.txt", "signed by toys", ("toy.txt", "part/*.bin"))
WRITE = """
import sys, time
from keras_mmc import _files

kind = _files.Kind("toy", "toy.txt", "signed by toys", ("toy.txt", "part/*.bin"))
with _files.results_directory(sys.argv[1], kind, overwrite=True) as directory:
    (directory / "toy.txt").write_text("signed by toys " + sys.argv[2])
    print("ready", flush=True)
    time.sleep(float(sys.argv[3]))
"""


def write(path, text="first", overwrite=False):
    """Write a complete directory."""
    with _files.results_directory(path, KIND, overwrite) as directory:
        (directory / "toy.txt").write_text(f"signed by toys {text}")
        (directory / "part").mkdir()
        (directory / "part" / "0.bin").write_bytes(b"0")


def contents(folder):
    """Every file below a folder with its bytes."""
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture
def process(request):
    """Start a process that writes to a path; it is killed at the end."""
    started = []

    def start(path, text, seconds):
        arguments = [sys.executable, "-c", WRITE, str(path), text, str(seconds)]
        environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        root = request.config.rootpath
        started.append(subprocess.Popen(arguments, env=environment, cwd=root, **pipes))
        return started[-1]

    yield start
    for each in started:
        each.kill()
        each.communicate()


def test_a_directory_appears_when_complete(tmp_path):
    """Fails if a reader can see a part of the results, or anything is left beside them."""
    path = tmp_path / "new" / "toy"
    with _files.results_directory(path, KIND) as directory:
        assert not path.exists()
        (directory / "toy.txt").write_text("signed by toys")
    assert [item.name for item in path.parent.iterdir()] == ["toy"]
    write(path, "second", overwrite=True)
    assert contents(path)[pathlib.Path("toy.txt")] == b"signed by toys second"
    assert [item.name for item in path.parent.iterdir()] == ["toy"]


def test_a_failure_keeps_the_older_results(tmp_path):
    """Fails if a block that raises removes what was there, or its own part is not replaced."""
    path = tmp_path / "toy"
    write(path)
    before = contents(path)
    with pytest.raises(KeyboardInterrupt), _files.results_directory(path, KIND, True) as directory:
        (directory / "toy.txt").write_text("signed by toys half")
        raise KeyboardInterrupt
    assert contents(path) == before
    assert (tmp_path / "toy.partial" / "new" / "toy.txt").exists()
    write(path, "second", overwrite=True)
    assert [item.name for item in tmp_path.iterdir()] == ["toy"]
    with pytest.raises(ValueError), _files.results_directory(path, KIND, True):
        raise ValueError
    assert [item.name for item in tmp_path.iterdir()] == ["toy"]


@pytest.mark.parametrize("name", ["photo.jpg", "part/photo.jpg", ".hidden", "toy.partial"])
def test_files_of_others_are_kept(name, tmp_path):
    """Fails if results are replaced together with a file that somebody has put beside them."""
    path = tmp_path / "toy"
    write(path)
    (path / name).write_bytes(b"precious")
    before = contents(tmp_path)
    with pytest.raises(FileExistsError, match=rf"such as '{name}'.*left as it is"):
        write(path, overwrite=True)
    assert contents(tmp_path) == before


@pytest.mark.parametrize("text", [None, "signed by others"])
def test_a_marker_is_known_by_its_content(text, tmp_path):
    """Fails if a name alone makes a directory ours."""
    path = tmp_path / "toy"
    (path / "part").mkdir(parents=True)
    (path / "part" / "0.bin").write_bytes(b"precious")
    if text:
        (path / "toy.txt").write_text(text)
    with pytest.raises(FileExistsError, match=r"no toy\.txt of an earlier toy"):
        write(path, overwrite=True)
    assert (path / "part" / "0.bin").read_bytes() == b"precious"


def test_a_link_is_not_followed_into_other_folders(tmp_path):
    """Fails if a link inside results, or the path itself, leads to the removal of other files."""
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "1.jpg").write_bytes(b"precious")
    path = tmp_path / "toy"
    write(path)
    (path / "part" / "more.bin").symlink_to(tmp_path / "photos")
    with pytest.raises(FileExistsError, match=r"such as 'part/more\.bin'"):
        write(path, overwrite=True)
    (tmp_path / "link").symlink_to(tmp_path / "photos")
    with pytest.raises(FileExistsError, match="photos holds other things"):
        write(tmp_path / "link", overwrite=True)
    assert (tmp_path / "photos" / "1.jpg").read_bytes() == b"precious"


def test_a_linked_directory_is_replaced_behind_its_link(tmp_path):
    """Fails if a link to earlier results is replaced by a folder, and the results stay old."""
    write(tmp_path / "toy")
    (tmp_path / "latest").symlink_to(tmp_path / "toy")
    write(tmp_path / "latest", "second", overwrite=True)
    assert (tmp_path / "latest").is_symlink()
    assert (tmp_path / "toy" / "toy.txt").read_text() == "signed by toys second"


@pytest.mark.parametrize("given", [".", "..", "", "sub/..", "../ws/sub/..", "~", "/", "../.."])
def test_places_where_people_live_are_refused(given, tmp_path, monkeypatch):
    """Fails if the working directory, one above it, the home or the root is replaced."""
    here = tmp_path / "ws"
    (here / "sub").mkdir(parents=True)
    monkeypatch.chdir(here)
    home = tmp_path / "home" / "me"
    home.mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    path = home if given == "~" else given
    for overwrite in (False, True):
        with pytest.raises(FileExistsError, match="working directory, your home"):
            write(path, overwrite=overwrite)
    with pytest.raises(FileExistsError, match="working directory, your home"):
        write(home.parent, overwrite=True)
    assert here.exists() and home.exists()


def test_a_path_with_dots_is_the_directory_it_leads_to(tmp_path):
    """Fails if `ws/sub/..` is not recognized as `ws`, which holds other files."""
    (tmp_path / "ws" / "sub").mkdir(parents=True)
    (tmp_path / "ws" / "notes.txt").write_text("precious")
    with pytest.raises(FileExistsError, match=r"ws holds other things, such as 'notes\.txt'"):
        write(tmp_path / "ws" / "sub" / "..", overwrite=True)
    assert (tmp_path / "ws" / "notes.txt").exists()


def test_a_partial_folder_of_somebody_else_is_named_and_kept(tmp_path):
    """Fails if `<path>.partial` is deleted although this package has not written it."""
    other = tmp_path / "toy.partial"
    (other / "new").mkdir(parents=True)
    (other / "new" / "toy.txt").write_text("signed by toys, but no unfinished results")
    with pytest.raises(FileExistsError, match=r"toy\.partial holds no unfinished\.txt"):
        write(tmp_path / "toy")
    (other / "unfinished.txt").write_text(_files._UNFINISHED)
    (other / "photo.jpg").write_bytes(b"precious")
    with pytest.raises(FileExistsError, match=r"toy\.partial holds other things, such as 'photo"):
        write(tmp_path / "toy")
    assert (other / "photo.jpg").exists()


def test_results_that_appear_meanwhile_are_kept(tmp_path):
    """Fails if finished results are lost, or replace what somebody has put in their place."""
    path = tmp_path / "toy"
    with (
        pytest.raises(OSError, match=r"finished toy is left in .*toy\.partial/new.*exists"),
        _files.results_directory(path, KIND) as directory,
    ):
        (directory / "toy.txt").write_text("signed by toys")
        path.mkdir()
        (path / "photo.jpg").write_bytes(b"precious")
    assert (path / "photo.jpg").exists()
    assert (tmp_path / "toy.partial" / "new" / "toy.txt").exists()


def test_results_between_two_renames_are_put_back(tmp_path):
    """Fails if a process killed at the worst moment loses the older results."""
    path, partial = tmp_path / "toy", tmp_path / "toy.partial"
    write(path)
    (partial / "new").mkdir(parents=True)
    (partial / "unfinished.txt").write_text(_files._UNFINISHED)
    path.rename(partial / "old")
    with pytest.raises(FileExistsError, match="exists"):
        write(path, "second")
    assert (path / "toy.txt").read_text() == "signed by toys first"
    write(path, "second", overwrite=True)
    assert [item.name for item in tmp_path.iterdir()] == ["toy"]


def test_a_rename_that_fails_leaves_both(tmp_path, monkeypatch):
    """Fails if the older results are gone when the new ones cannot take their place."""
    path, rename = tmp_path / "toy", pathlib.Path.rename
    write(path)

    def broken(source, target):
        if source.name == "new":
            raise OSError(5, "Input/output error")
        return rename(source, target)

    monkeypatch.setattr(pathlib.Path, "rename", broken)
    with pytest.raises(OSError, match="finished toy is left in"):
        write(path, "second", overwrite=True)
    assert (path / "toy.txt").read_text() == "signed by toys first"
    assert (tmp_path / "toy.partial" / "new" / "toy.txt").read_text() == "signed by toys second"


def test_a_second_process_is_refused(process, tmp_path):
    """Fails if two processes write to one place, or a killed one locks it for ever."""
    path = tmp_path / "toy"
    first = process(path, "killed", 120)
    assert first.stdout.readline() == "ready\n"
    began = time.monotonic()
    second = process(path, "refused", 0)
    _, errors = second.communicate(timeout=60)
    assert second.returncode == 1
    assert f"{path} is in use: another process writes there" in errors.splitlines()[-1]
    assert time.monotonic() - began < 60
    with pytest.raises(BlockingIOError, match="is in use"):
        write(path)
    (tmp_path / "toy.partial" / "new" / "half").write_text("a file that is being written")
    with pytest.raises(BlockingIOError, match="is in use"):
        write(path)
    (tmp_path / "toy.partial" / "new" / "half").unlink()
    first.send_signal(signal.SIGKILL)
    first.wait(timeout=10)
    assert (tmp_path / "toy.partial" / "new" / "toy.txt").exists()
    write(path)
    assert [item.name for item in tmp_path.iterdir()] == ["toy"]
    assert (path / "toy.txt").read_text() == "signed by toys first"


@pytest.mark.parametrize("where", ["file/toy", "file/below/toy"])
def test_a_place_that_cannot_be_written_is_refused_at_once(where, tmp_path):
    """Fails if a missing permission shows only when the work is done."""
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"cannot be written.*can be created and written"):
        _files.check_results_directory(tmp_path / where, KIND)


def test_a_read_only_place_is_refused_at_once(tmp_path, monkeypatch):
    """Fails if writing is believed in, not tried."""

    def refuse(dir):
        raise PermissionError(13, "Permission denied", str(dir))

    monkeypatch.setattr(_files.tempfile, "TemporaryFile", refuse)
    with pytest.raises(OSError, match=r"cannot be written: .*Permission denied"):
        _files.check_results_directory(tmp_path / "toy", KIND)


def test_directories_must_lie_apart(tmp_path, monkeypatch):
    """Fails if a directory inside another one, or the same by another name, passes."""
    monkeypatch.chdir(tmp_path)
    for first, second in (("a", "a/b"), ("a/b", "a"), ("a", "./b/../a")):
        with pytest.raises(ValueError, match="must lie apart"):
            _files.check_apart(first, second)
    _files.check_apart("a", "ab")


def test_a_file_is_replaced_as_a_whole(tmp_path):
    """Fails if a reader can see a part of a file, or a failure touches the older one."""
    path, partial = tmp_path / "file", tmp_path / "file.partial"
    path.write_text("older")
    with pytest.raises(KeyboardInterrupt), _files.replacing(path, partial):
        partial.write_text("half")
        raise KeyboardInterrupt
    assert path.read_text() == "older"
    with _files.replacing(path, partial):
        partial.write_text("newer")
        assert path.read_text() == "older"
    assert contents(tmp_path) == {pathlib.Path("file"): b"newer"}

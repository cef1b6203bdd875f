"""The wheel and the source archive: everything that belongs there, nothing else, one version."""

import email
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile

import pytest

import keras_mmc
from tests.conftest import ROOT

BUILD = "from setuptools import build_meta as b; b.build_wheel('dist'); b.build_sdist('dist')"


@pytest.fixture(scope="module")
def sources():
    """Files of the repository that git does not ignore, as paths from its root."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    try:
        listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    except (FileNotFoundError, subprocess.CalledProcessError):
        pytest.skip("this is no checkout, of which git could list the files")
    return {name for name in listed.stdout.splitlines() if (ROOT / name).is_file()}


@pytest.fixture(scope="module")
def archives(sources, tmp_path_factory):
    """Folder of the two archives, built from a copy by the setuptools that is here."""
    copy = tmp_path_factory.mktemp("copy")
    for name in sources:
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, copy / name)
    environment = {**os.environ, "PYTHONPATH": ""}
    command = [sys.executable, "-c", BUILD]
    subprocess.run(command, cwd=copy, env=environment, check=True, capture_output=True)
    return copy / "dist"


@pytest.fixture(scope="module")
def wheel(archives):
    """The wheel, open."""
    [path] = archives.glob("*.whl")
    with zipfile.ZipFile(path) as opened:
        yield opened


def test_the_wheel_is_the_package(sources, wheel):
    """Fails if a module or template is left out of the wheel, or a test or document is in it."""
    expected = {name for name in sources if name.startswith("keras_mmc/")}
    assert {"keras_mmc/py.typed", "keras_mmc/plotting/templates/audit_page.html"} <= expected
    held = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert held == expected


def test_the_source_archive_is_the_repository(archives, sources):
    """Fails if the tests, documents or build files of a release cannot be had from its source."""
    [path] = archives.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        files = {entry.name.partition("/")[2] for entry in archive if entry.isfile()}
    made = {name for name in files if "egg-info/" in name} | {"PKG-INFO", "setup.cfg"}
    assert files - made == sources - {".gitignore"}


def test_what_the_wheel_says_of_itself(wheel):
    """Fails if the version is not the package's, the license is gone, or the core asks for more."""
    [name] = [name for name in wheel.namelist() if name.endswith("/METADATA")]
    facts = email.message_from_bytes(wheel.read(name))
    assert facts["Version"] == keras_mmc.__version__
    assert any(name.endswith("LICENSE") for name in wheel.namelist())
    [name] = [name for name in wheel.namelist() if name.endswith("/entry_points.txt")]
    assert b"keras-mmc = keras_mmc.commands.line:main" in wheel.read(name)
    heavy = {"matplotlib", "scikit-learn", "tensorboard", "tensorflow-datasets"}
    needed = [text for text in facts.get_all("Requires-Dist") if "extra ==" not in text]
    assert len(needed) >= 10
    assert not {text for text in needed for package in heavy if text.startswith(f"{package}>")}
    assert {"datasets", "plots", "benchmarks"} <= set(facts.get_all("Provides-Extra"))
    links = re.findall(r"\]\(([^)]*)\)", facts.get_payload())
    assert links and all(link.startswith("https://") for link in links)
    assert "[guides" not in facts.get_payload() and "robust" in facts["Keywords"]
    assert "Programming Language :: Python :: 3.13" in facts.get_all("Classifier")

"""Every public function and class with arguments that nobody would pass.

Whatever comes, the answer is a `ValueError`, or finite where it should be: never another exception,
a crash or a silent NaN. Files are fuzzed the same way.

KERAS_MMC_FUZZ_EXAMPLES sets how many examples there are in all; KERAS_MMC_FUZZ_RECORD names a JSON
file for what came of them.
"""

import collections
import json
import os
import pathlib
import types
import warnings

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import keras_mmc
from keras_mmc.centers import load_centers, save_centers
from keras_mmc.evaluation import AuditReport
from tests.evaluation.conftest import make_report
from tests.fuzz_entries import ENTRIES, EXEMPT, ODD, binary, network
from tests.fuzz_found import FOUND

DEFAULT = 700
EXAMPLES = int(os.environ.get("KERAS_MMC_FUZZ_EXAMPLES", DEFAULT))
EACH = max(1, EXAMPLES // (len(ENTRIES) + 16))  # files of three kinds get five times as many
TALLY: dict[str, collections.Counter] = collections.defaultdict(collections.Counter)


def examples(count):
    """Settings of that many examples, the same ones unless more were asked for."""
    return settings(
        max_examples=count,
        derandomize=EXAMPLES == DEFAULT,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )


@pytest.fixture(scope="module", autouse=True)
def tally(request):
    """Says at the end how many examples were tried, and what came of them."""
    network(), binary()  # before examples are drawn: Keras uses the generator of Python
    yield
    total = sum(TALLY.values(), collections.Counter())
    counts = ", ".join(f"{count} {what}" for what, count in sorted(total.items()))
    plugins = request.config.pluginmanager
    reporter, capture = map(plugins.getplugin, ("terminalreporter", "capturemanager"))
    if reporter is not None and capture is not None:
        with capture.global_and_fixture_disabled():
            reporter.ensure_newline()
            reporter.write_line(f"{total.total()} examples of {len(TALLY)} names: {counts}")
    if path := os.environ.get("KERAS_MMC_FUZZ_RECORD"):
        pathlib.Path(path).write_text(json.dumps(TALLY, indent=2, sort_keys=True) + "\n")


def public_names():
    """The names of all modules that `keras_mmc` names, and its own."""
    for part in keras_mmc.__all__:
        module = getattr(keras_mmc, part)
        if not isinstance(module, types.ModuleType):
            continue
        own = [name for name, value in vars(module).items() if callable(value)]
        own = [name for name in own if getattr(module, name).__module__ == module.__name__]
        for name in getattr(module, "__all__", [name for name in own if name[0] != "_"]):
            yield f"{part}.{name}"


def test_every_public_name_has_an_entry():
    """Fails if a new name is not fuzzed, or an old one is still listed."""
    names, exempt = set(public_names()), " ".join(EXEMPT.values()).split()
    assert len(exempt) == len(set(exempt)) and not ENTRIES.keys() & set(exempt)
    assert names == ENTRIES.keys() | set(exempt)
    reachable = {id(getattr(getattr(keras_mmc, n.split(".")[0]), n.split(".")[1])) for n in names}
    own = [getattr(keras_mmc, name) for name in keras_mmc.__all__]
    assert {id(o) for o in own if not isinstance(o, types.ModuleType)} <= reachable


@st.composite
def arguments(draw, entry):
    """Arguments of which some do not fit, and whether all fit."""
    odd = draw(st.sets(st.sampled_from(sorted(entry.fitting.keys() - set(entry.keep)) or [None])))
    given = {n: draw(ODD if n in odd else fitting) for n, fitting in entry.fitting.items()}
    return given, not odd


def finite(answer):
    """Whether all numbers of an answer are finite."""
    if isinstance(answer, (tuple, list)):
        return all(map(finite, answer))
    return (not tf.is_tensor(answer) and answer is None) or np.isfinite(np.asarray(answer)).all()


def tried(name, entry, given, fits):
    """Calls, counts, and judges the answer."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            answer = entry.call(**given)
    except (ValueError, *entry.also):
        TALLY[name]["refused"] += 1
        return
    TALLY[name]["answered"] += 1
    assert not (fits and entry.finite) or finite(answer), answer


@pytest.mark.parametrize("name", ENTRIES)
def test_arguments(name):
    """Fails if arguments end in another error than a refusal, or in a NaN."""
    entry = ENTRIES[name]

    @examples(EACH)
    @given(arguments(entry))
    def run(made):
        tried(name, entry, *made)

    for found in FOUND.get(name, ()):
        run = example((found, False))(run)
    run()


@st.composite
def damaged(draw, content):
    """A file cut off, with bytes replaced, or with a part of it repeated or taken out."""
    start = draw(st.integers(0, len(content)))
    end = draw(st.integers(start, min(len(content), start + 64)))
    new = draw(st.binary(max_size=8) | st.just(content[start:end] * 2) | st.none())
    return content[:start] if new is None else content[:start] + new + content[end:]


@pytest.mark.parametrize(("suffix", "count"), [("npy", 5 * EACH), ("mat", EACH)])
def test_centers_in_damaged_files(suffix, count, tmp_path):
    """Fails if bytes of a file end in more than one kind of error, or in centers that are none."""
    path = tmp_path / f"centers.{suffix}"
    save_centers(path, np.eye(3))
    content = path.read_bytes()

    @examples(count)
    @given(damaged(content))
    def run(stored):
        path.write_bytes(stored)
        try:
            assert np.isfinite(load_centers(path)).all()
            TALLY[f"a .{suffix} file"]["answered"] += 1
        except ValueError as error:
            assert str(path) in str(error)
            TALLY[f"a .{suffix} file"]["refused"] += 1

    run()


@st.composite
def other_facts(draw, facts):
    """The facts of a report with one value replaced, in some depth."""
    facts = json.loads(json.dumps(facts))
    place = facts
    while True:
        keys = sorted(place) if isinstance(place, dict) else range(len(place))
        key = draw(st.sampled_from(list(keys)))
        if not (isinstance(place[key], (dict, list)) and place[key] and draw(st.booleans())):
            break
        place = place[key]
    leaf = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3)
    place[key] = draw(st.recursive(leaf, lambda s: st.lists(s) | st.dictionaries(st.text(), s)))
    return json.dumps(facts).encode()


@pytest.mark.parametrize("kind", ["facts", "arrays"])
def test_damaged_reports(kind, tmp_path):
    """Fails if a report of somebody else is loaded that cannot be used, or not plainly refused."""
    folder = make_report().save(tmp_path / "report")
    path = folder / {"facts": "report.json", "arrays": "adversarial.npz"}[kind]
    content = path.read_bytes()
    facts = json.loads((folder / "report.json").read_text())

    @examples(5 * EACH)
    @given(other_facts(facts) | damaged(content) if kind == "facts" else damaged(content))
    def run(stored):
        path.write_bytes(stored)
        try:
            report = AuditReport.load(folder)
        except ValueError as error:
            assert str(folder) in str(error)
            TALLY[f"the {kind} of a report"]["refused"] += 1
            return
        TALLY[f"the {kind} of a report"]["answered"] += 1
        assert str(report) and json.dumps(report.to_dict()) and report == report

    run()

"""What works without the packages of the extras, and what is said where one is needed."""

import json
from types import SimpleNamespace

import pytest

from keras_mmc._extras import require
from keras_mmc.commands import line
from keras_mmc.evaluation import AuditReport

# A new process, as those who install the package without extras have it.
CORE = """
import importlib.machinery as machinery, json, sys

class Without(machinery.PathFinder):
    "What an environment has where no extra is installed."

    @classmethod
    def find_spec(cls, name, path=None, target=None):
        absent = "matplotlib", "sklearn", "tensorflow_datasets", "tensorboard"
        if name.split(".")[0] not in absent:
            return super().find_spec(name, path, target)

sys.meta_path[:] = [machinery.BuiltinImporter, machinery.FrozenImporter, Without]
import keras, numpy as np
import keras_mmc
from keras_mmc import experiments

rng = np.random.default_rng(0)
y = np.arange(64) % 3
x = np.clip(y[:, None, None, None] / 3 + rng.uniform(0, 0.3, (64, 4, 4, 1)), 0, 1).astype("float32")
layers = [keras.layers.Flatten(), keras.layers.Dense(4), keras_mmc.MaxMahalanobisCenters(3)]
model = keras.Sequential([keras.Input((4, 4, 1)), *layers])
attack = keras_mmc.attacks.PGD(eps=0.05, steps=2)
robust = keras_mmc.AdversarialModel(model, keras_mmc.defenses.AdversarialTraining(attack))
robust.compile("adam", keras_mmc.MMCLoss(), metrics=["accuracy"])
robust.fit(x, y, epochs=1, verbose=0)
report = keras_mmc.audit(model, x[:16], y[:16], eps=0.05, suite="quick", verbose=0)
report.save(sys.argv[1])
assert "Robust accuracy" in str(report) and report._repr_html_()
keras_mmc.evaluation.detection_auc(model, x, x)

asked = {
    "digits": lambda: keras_mmc.datasets.load("digits", "test"),
    "mnist": lambda: keras_mmc.datasets.load_arrays("mnist", "test"),
    "curves": lambda: keras_mmc.plotting.plot_curves("c.png", {"mmc": ([0], [1])}, "eps", "acc"),
    "features": lambda: keras_mmc.plotting.plot_features("f.png", x[:, :, 0, 0], y, np.eye(3, 4)),
    "pictures": lambda: keras_mmc.callbacks.AdversarialImages("logs", x, y, attack),
    "experiment": lambda: experiments.load("gce_mnist"),
}
said = {}
for name, ask in asked.items():
    try:
        said[name] = repr(ask())
    except ImportError as error:
        said[name] = str(error)
print(json.dumps(said))
np.savez(sys.argv[2], x=x, y=y)
from keras_mmc.commands import line
flags = [f"--data={sys.argv[2]}", "--epochs=1", "--nobaseline", f"--output_dir={sys.argv[3]}"]
sys.argv[1:] = ["train", *flags]
line.main()
"""


@pytest.fixture(scope="module")
def core(run_fresh_python, tmp_path_factory):
    """What was printed without extras, and the folder of what was written."""
    folder = tmp_path_factory.mktemp("core")
    places = (folder / name for name in ("report", "images.npz", "run"))
    return run_fresh_python(CORE, *places), folder


def test_an_audit_needs_no_extra(core):
    """Fails if training, an audit or its page needs a package of an extra."""
    _, folder = core
    report = AuditReport.load(folder / "report")
    assert report.num_images == 16
    page = (folder / "report" / "report.html").read_text(encoding="utf-8")
    broken = sum(name not in (None, "clean") for name in report.broken_by)
    assert page.count("data:image/png;base64,") == 3 * min(broken, 9)


def test_what_is_missing_is_named_once(core):
    """Fails if a missing package is a traceback of another module, or its extra is wrong."""
    needed = {
        "digits": ("sklearn", "datasets"),
        "mnist": ("tensorflow_datasets", "datasets"),
        "curves": ("matplotlib", "plots"),
        "features": ("matplotlib", "plots"),
        "pictures": ("tensorboard", "plots"),
        "experiment": ("matplotlib", "plots"),
    }
    said = json.loads(core[0].splitlines()[0])
    assert said.keys() == needed.keys()
    for name, (package, extra) in needed.items():
        assert f" needs {package}, which cannot be imported" in said[name]
        assert said[name].endswith(f"Install it with `pip install 'keras_mmc[{extra}]'`.")


def test_a_command_trains_without_pictures(core):
    """Fails if `train` stops where it cannot draw, or does not say what it leaves out."""
    printed, folder = core
    assert "This run has no pictures and no TensorBoard logs; to get them, `pip install" in printed
    assert (folder / "run" / "mmc" / "model.keras").exists()
    assert not list((folder / "run").rglob("*.png")) and not (folder / "run/mmc/logs").exists()


def test_a_command_names_an_extra_in_one_line(monkeypatch, capsys):
    """Fails if a missing extra is a traceback, as a bug is, or the exit code says all is well."""
    command = SimpleNamespace(main=lambda: require("no_such_module", "plots", "This"))
    assert line._run(command, ["keras-mmc nothing"]) == 2
    [said] = capsys.readouterr().err.splitlines()
    assert said.startswith("keras-mmc nothing: This needs no_such_module")

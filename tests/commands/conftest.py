"""Commands in processes of their own, and networks for them."""

import json

import keras
import pytest

import keras_mmc
from keras_mmc._digests import digest_of_files
from keras_mmc.commands import model_card

REFUSALS = """
import importlib, json, sys
from absl import flags

command = importlib.import_module(f"keras_mmc.commands.{sys.argv[1]}")
for given in json.loads(sys.argv[2]):
    for name in flags.FLAGS:
        flags.FLAGS[name].unparse()
    try:
        flags.FLAGS([sys.argv[1], *given])
        command.main()
        said = "nothing was refused"
    except (Exception, SystemExit) as error:
        said = f"{type(error).__name__}: {error}"
    print("refusal", json.dumps(said), flush=True)
"""


@pytest.fixture(scope="session")
def refusals(run_python):
    """What a command says to several lists of flags, one after the other in a new process."""

    def run(command, *lists):
        lines = run_python(REFUSALS, command, json.dumps(lists)).splitlines()
        said = [json.loads(line.partition(" ")[2]) for line in lines if line.startswith("refusal ")]
        assert len(said) == len(lists)
        return said

    return run


@pytest.fixture(scope="session")
def networks(digits, tmp_path_factory):
    """Two saved networks for digits by name, one of them with a head of this package."""
    folder, found = tmp_path_factory.mktemp("models"), {}
    heads = {
        "mmc": (keras_mmc.MaxMahalanobisCenters(10), keras_mmc.MMCLoss()),
        "softmax": (keras.layers.Dense(10), keras.losses.SparseCategoricalCrossentropy(True)),
    }
    for name, (head, loss) in heads.items():
        keras.utils.set_random_seed(0)
        layers = [keras.layers.Flatten(), keras.layers.Dense(32, "relu"), keras.layers.Dense(16)]
        model = keras.Sequential([keras.Input((8, 8, 1)), *layers, head])
        model.compile(keras.optimizers.Adam(3e-3), loss)
        model.fit(*digits, epochs=5, verbose=0)
        found[name] = folder / f"{name}.keras"
        model.save(found[name])
    return found


CARD = {
    "name": "mmc",
    "network": "small_cnn",
    "files": {},
    "date": "2020-02-20",
    "data": "photos|<b>",
    "data_name": "photos",
    "sizes": [80, 10, 10],
    "has_test": False,
    "tested_on": "images of photos that were held out",
    "image_shape": (4, 4, 3),
    "num_classes": 2,
    "classes": "2: cat, dog",
    "box": (0.0, 255.0),
    "recipe": {"loss": "mmc"},
    "accuracy": 0.7,
    "attacked": 10,
    "robust_validation": 0.123456,
    "audit": "keras-mmc audit",
    "audit_note": "TEST_IMAGES are images that the network was not trained on.",
    "adversarial": True,
    "seed": 3,
}


@pytest.fixture
def write_card():
    """Write the card that `keras-mmc train` leaves beside the file of a network."""

    def write(file):
        facts = {**CARD, "files": {file.name: digest_of_files(file)}}
        file.with_name("model_card.md").write_text(model_card.render(facts), encoding="utf-8")

    return write

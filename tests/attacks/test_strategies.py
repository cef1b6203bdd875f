"""Attacks on models that live on two devices."""

CODE = """
import tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
import keras, numpy as np, keras_mmc
from keras_mmc.attacks import APGD, FAB, PGD, Square

def build():
    keras.utils.set_random_seed(0)
    return keras.Sequential([
        keras.Input((4, 4, 1)),
        keras.layers.Flatten(),
        keras.layers.Dense(8, "tanh"),
        keras.layers.Dense(4),
    ])

x = np.random.default_rng(0).uniform(0.2, 0.8, (20, 4, 4, 1)).astype("float32")
plain = build()
with tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope():
    mirrored = build()
    inside = PGD(0.1, steps=5)(mirrored, x, batch_size=8)
attacks = [PGD(0.1, steps=5), APGD(0.1, steps=5), FAB(0.1, steps=5), Square(0.1, queries=20)]
for attack in attacks:
    found, expected = (attack(model, x, batch_size=8) for model in (mirrored, plain))
    print(type(attack).__name__, np.abs(found - expected).max(), np.abs(found - x).max())
print("inside", np.abs(inside - PGD(0.1, steps=5)(plain, x, batch_size=8)).max(), 1)
"""


def test_mirrored_models_are_attacked_as_plain_ones(run_python):
    """Fails if an attack needs a model without a strategy, or sees other weights than it has."""
    lines = [line.split() for line in run_python(CODE).splitlines()[-5:]]
    assert [line[0] for line in lines] == ["PGD", "APGD", "FAB", "Square", "inside"]
    for _, difference, moved in lines:
        assert float(difference) < 1e-6
        assert float(moved) > 0.01

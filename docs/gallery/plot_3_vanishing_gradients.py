r"""
Gradients that vanish: why weak attacks fail on MMC
===================================================

An attack follows the gradient of an objective. Under fixed centers the scores
:math:`s_k = -\tfrac12 \| z - \mu_k \|^2` of the own class and of the others may differ by more than
a hundred. There softmax is 1 or 0 to the last bit of a float32, and the gradient of the
cross-entropy is not small, but zero. An attack on the cross-entropy then stands still, whatever the
network is worth.
"""

import keras
import matplotlib.pyplot as plt
import numpy as np
import tensorflow as tf

import keras_mmc
from keras_mmc import objectives

# %%
# On the way from one center to the next
# --------------------------------------
# Features walk from the center of class 0 to that of class 1, for K = 10 and norm 10. At each point
# the figure shows the length of the gradient of the objective with respect to the features.

centers = keras_mmc.centers.max_mahalanobis_centers(num_classes=10, dim=9, scale=10.0)
way = np.linspace(0, 1, 201)
features = tf.constant(np.outer(1 - way, centers[0]) + np.outer(way, centers[1]), tf.float32)
mu = tf.constant(centers, tf.float32)
labels = tf.zeros(len(way), tf.int32)


def gradient_length(objective):
    with tf.GradientTape() as tape:
        tape.watch(features)
        scores = -0.5 * tf.reduce_sum((features[:, None] - mu[None]) ** 2, axis=-1)
        value = tf.reduce_sum(objective(scores, labels))
    gradient = tape.gradient(value, features).numpy().astype("float64")
    return np.linalg.norm(gradient, axis=1)


names = {
    "cross-entropy": (objectives.cross_entropy, "-"),
    "distance (the MMC loss)": (objectives.distance, "-."),
    "margin": (objectives.margin, "--"),
    "log-odds": (objectives.log_odds, ":"),
}
lengths = {name: gradient_length(objective) for name, (objective, _) in names.items()}

figure, axes = plt.subplots(figsize=(7.5, 4.2), layout="constrained")
for name, (_, style) in names.items():
    shown = np.where(lengths[name] > 0, lengths[name], np.nan)
    axes.plot(way, shown, style, label=name, linewidth=2)
gone = lengths["cross-entropy"] == 0
axes.axvspan(0, way[gone].max(), color="0.9", zorder=0)
axes.annotate("gray: cross-entropy exactly 0", (0.16, 1e-36), color="0.3")
axes.axvline(0.5, color="0.6", linewidth=1)
axes.annotate("decision boundary", (0.51, 1e-36), color="0.3")
axes.set_yscale("log")
axes.set_ylim(1e-38, 1e3)
axes.set(xlabel="way from the own center (0) to another one (1)")
axes.set_ylabel("length of the gradient in feature space")
axes.legend(loc="lower right", bbox_to_anchor=(1, 0.15))
plt.show()

print(f"exactly 0 on the first {way[gone].max():.0%} of the way")
small = lengths["cross-entropy"] < 1e-8
print(f"below 1e-8 on the first {way[small].max():.0%} of the way")

# %%
# The distance, which is the training loss itself, has no gradient at the center either; that of the
# margin, :math:`\max_{k \ne y} s_k - s_y`, has the same length everywhere. Margin is therefore what
# attacks of this package maximize by default.
#
# On a network
# ------------
# A small network is trained with the MMC loss on clean digits. The same attack, PGD with 20 steps
# and one random start, climbs each objective. The last bar is what AutoAttack leaves, a set of
# attacks of which each runs on the images that those before it did not break.

x_train, y_train = keras_mmc.datasets.load_arrays("digits", "train")
x, y = keras_mmc.datasets.load_arrays("digits", "test")
x, y = x[:100], y[:100]
keras.utils.set_random_seed(0)
layers = [keras.layers.Flatten(), keras.layers.Dense(128, "relu"), keras.layers.Dense(128, "relu")]
layers += [keras.layers.Dense(64), keras_mmc.MaxMahalanobisCenters(10)]
model = keras.Sequential([keras.Input((8, 8, 1)), *layers])
model.compile(keras.optimizers.Adam(0.002), keras_mmc.MMCLoss())
model.fit(x_train, y_train, batch_size=64, epochs=20, verbose=0)

fraction = keras_mmc.evaluation.zero_gradient_fraction(model, x, y)
print(f"the gradient of the cross-entropy is exactly 0 on {fraction:.0%} of the images")


def accuracy(x):
    return np.mean(model.predict(x, verbose=0).argmax(axis=1) == y)


eps, found = 0.15, {"no attack": accuracy(x)}
for objective in ("cross_entropy", "distance", "margin"):
    attack = keras_mmc.attacks.PGD(eps, steps=20, objective=objective)
    found[f"PGD-20, {objective}"] = accuracy(attack(model, x, y))
found["AutoAttack"] = keras_mmc.attacks.AutoAttack(eps).evaluate(model, x, y).robust_accuracy

figure, axes = plt.subplots(figsize=(7.5, 3), layout="constrained")
values = 100 * np.array(list(found.values()))
bars = axes.barh(list(found), values, color=["0.7", "C3", "C0", "C0", "black"])
axes.bar_label(bars, [f"{value:.0f}" for value in values], padding=3)
axes.invert_yaxis()
axes.set(xlim=(0, 108), xlabel=f"accuracy (%) of {len(x)} test images, L-inf eps {eps}, seed 0")
plt.show()

# %%
# An image at which the gradient is exactly 0 counts as robust under the naive attack, though it was
# never attacked. ``keras_mmc.audit`` shows the two figures side by side, and names this cause.

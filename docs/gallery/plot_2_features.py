r"""
Features under softmax and under fixed centers
==============================================

Softmax cross-entropy asks for the right order of the scores and for nothing more: features are free
to spread along the directions of their class. The MMC loss asks for a place,

.. math:: L_\mathrm{MMC} = \tfrac12 \, \| z - \mu_y \|^2 ,

half the squared distance to the fixed center of the class (Pang et al., ICLR 2020, arXiv
1905.10626). The same small network is trained with both, on scikit-learn's 8 x 8 digits.
"""

import keras
import matplotlib.pyplot as plt
import numpy as np

import keras_mmc

x_train, y_train = keras_mmc.datasets.load_arrays("digits", "train")
x, y = keras_mmc.datasets.load_arrays("digits", "test")


def train(head, loss):
    keras.utils.set_random_seed(0)
    options = {"num_classes": 10} if head is None else {"head": head}
    model = keras_mmc.models.small_cnn((8, 8, 1), **options)
    model.compile("adam", loss, metrics=["accuracy"])
    model.fit(x_train, y_train, batch_size=64, epochs=6, verbose=0)
    return model


def features_of(model):
    inner = keras.Model(model.inputs, model.get_layer("features").output)
    return inner.predict(x, verbose=0)


softmax = train(None, keras.losses.SparseCategoricalCrossentropy(from_logits=True))
mmc = train(keras_mmc.MaxMahalanobisCenters(10), keras_mmc.MMCLoss())
for name, model in {"softmax": softmax, "MMC": mmc}.items():
    print(f"{name}: accuracy {model.evaluate(x, y, verbose=0)[1]:.1%} of {len(x)} test images")

# %%
# In the plane
# ------------
# A regular simplex has a plane in which its ten corners form a regular decagon. Softmax has no
# centers: the means of its classes stand for them, in the plane where they come closest to one.


def draw(axes, features, centers, title):
    turns = 2 * np.pi * np.arange(10) / 10
    corners = np.stack([np.cos(turns), np.sin(turns)], axis=-1)
    plane, _ = np.linalg.qr((centers - centers.mean(axis=0)).T @ corners)
    for k in range(10):
        own = features[y == k] @ plane
        axes.scatter(*own.T, s=9, alpha=0.6, color=f"C{k}", linewidths=0)
        at = centers[k] @ plane
        axes.scatter(*at, marker="X", s=80, color=f"C{k}", edgecolors="black", zorder=3)
        axes.annotate(str(k), at, (6, 6), textcoords="offset points", weight="bold")
    axes.set_title(title)
    axes.set_aspect("equal", "datalim")
    axes.set(xlabel="first direction (units of the features)", ylabel="second direction")


softmax_features, mmc_features = features_of(softmax), features_of(mmc)
means = np.stack([softmax_features[y == k].mean(axis=0) for k in range(10)])
fixed = keras.ops.convert_to_numpy(mmc.layers[-1].centers)
figure, (left, right) = plt.subplots(1, 2, figsize=(9.5, 4.6), layout="constrained")
draw(left, softmax_features, means, "softmax: features and class means")
draw(right, mmc_features, fixed, "MMC: features and centers")
plt.show()

# %%
# In all dimensions
# -----------------
# A projection hides most of the 64 dimensions; distances do not. In units of the mean distance
# between two class centers, how far are the test images from the center of their own class, and
# from the nearest other one?


def distances(features, centers):
    found = np.linalg.norm(features[:, None] - centers[None], axis=-1)
    pairs = np.linalg.norm(centers[:, None] - centers[None], axis=-1)
    rows = np.arange(len(y))
    own = found[rows, y]
    found[rows, y] = np.inf
    unit = pairs.sum() / (10 * 9)
    return own / unit, found.min(axis=1) / unit


figure, panels = plt.subplots(1, 2, figsize=(9.5, 3.4), sharex=True, sharey=True)
for axes, title, pair in zip(
    panels,
    ("softmax", "MMC"),
    (distances(softmax_features, means), distances(mmc_features, fixed)),
    strict=True,
):
    bins = np.linspace(0, 1.1, 56)
    axes.hist(pair[0], bins, alpha=0.6, label="own center")
    axes.hist(pair[1], bins, alpha=0.6, label="nearest other center")
    axes.set(title=title, xlabel="distance / mean distance of two centers")
    print(f"{title}: median distance to the own center {np.median(pair[0]):.2f}")
panels[0].set_ylabel("test images")
panels[0].legend()
figure.set_layout_engine("constrained")
plt.show()

# %%
# Compact classes are what the loss is for, and what it achieves. They are **not** robustness: these
# distances are those of clean images, and an adversarial example may cross the gap all the same.
# :ref:`sphx_glr_math_plot_6_accuracy_over_eps.py` measures that.

r"""
Adversarial examples inside the ball
====================================

An adversarial example is an image close to one that a classifier predicts right, and predicted
wrong. "Close" must be said: here within

.. math:: B_\varepsilon(x) = \{ x' \in [0, 1]^d : \| x' - x \|_p \le \varepsilon \} ,

:math:`p = \infty` or :math:`p = 2`. ``eps`` is in the units of the pixels.
"""

import keras
import matplotlib.pyplot as plt
import numpy as np

import keras_mmc

x_train, y_train = keras_mmc.datasets.load_arrays("digits", "train")
x, y = keras_mmc.datasets.load_arrays("digits", "test")
x, y = x[:100], y[:100]
loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def network():
    keras.utils.set_random_seed(0)
    layers = [keras.layers.Flatten(), keras.layers.Dense(128, "relu"), keras.layers.Dense(10)]
    return keras.Sequential([keras.Input((8, 8, 1)), *layers])


plain = network()
plain.compile(keras.optimizers.Adam(0.002), loss, metrics=["accuracy"])
plain.fit(x_train, y_train, batch_size=64, epochs=20, verbose=0)

# %%
# Two balls
# ---------
# The same attack, projected gradient descent (PGD) on the margin with 50 steps, in both norms. An
# L-infinity ball lets every pixel move by ``eps``; an L2 ball is a budget for all together.

attacks = {
    "L-inf, eps 0.1": keras_mmc.attacks.PGD(eps=0.1, steps=50),
    "L2, eps 0.7": keras_mmc.attacks.PGD(eps=0.7, steps=50, norm="l2"),
}
found = {name: attack(plain, x, y) for name, attack in attacks.items()}


def predicted(model, images):
    return model.predict(images, verbose=0).argmax(axis=1)


classes = {name: predicted(plain, images) for name, images in {"clean": x, **found}.items()}
wrong = [classes[name] != y for name in attacks]
shown = np.flatnonzero((classes["clean"] == y) & np.all(wrong, axis=0))[:6]
figure, grid = plt.subplots(5, len(shown), figsize=(8.2, 7.2), layout="constrained")
rows = [("clean", x, "gray_r", (0, 1))]
for name, x_adv in found.items():
    rows += [(name, x_adv, "gray_r", (0, 1))]
    rows += [(f"{name}: difference", x_adv - x, "RdBu_r", (-0.3, 0.3))]
for line, (name, images, colors, (low, high)) in zip(grid, rows, strict=True):
    for axes, i in zip(line, shown, strict=True):
        drawn = axes.imshow(images[i, ..., 0], cmap=colors, vmin=low, vmax=high)
        axes.set(xticks=[], yticks=[])
        if name in classes:
            axes.set_title(f"predicted {classes[name][i]}", fontsize=9)
    line[0].set_ylabel(name.replace(", ", ",\n").replace(": ", "\n"), fontsize=9)
    if "difference" in name:
        figure.colorbar(drawn, ax=line, ticks=[-0.3, 0, 0.3], label="pixel units")
plt.show()

# %%
# Does training against it help?
# ------------------------------
# The same network, trained on the adversarial examples of itself (Madry et al., ICLR 2018). Each
# image then has a smallest perturbation that an attack finds; the figure shows how many images are
# left at each size, for the plain and for the adversarially trained network.

robust = keras_mmc.AdversarialModel(
    network(), keras_mmc.defenses.AdversarialTraining(keras_mmc.attacks.PGD(eps=0.1, steps=5))
)
robust.compile(keras.optimizers.Adam(0.002), loss, metrics=["accuracy"])
robust.fit(x_train, y_train, batch_size=64, epochs=15, verbose=0)

figure, axes = plt.subplots(figsize=(7, 3.8), layout="constrained")
for name, model in {"plain training": plain, "adversarial training": robust.model}.items():
    smallest = keras_mmc.evaluation.minimal_perturbations(model, x, y)
    sizes = np.linspace(0, 0.3, 151)
    axes.plot(sizes, 100 * (1 - smallest.cdf(sizes)), label=name)
    print(f"{name}: accuracy {np.mean(predicted(model, x) == y):.0%}, ", end="")
    print(f"median smallest perturbation {smallest.quantile(0.5):.3f}")
axes.axvline(0.1, color="0.7", linewidth=1, linestyle=":")
axes.annotate("eps of training", (0.102, 3), color="0.35")
axes.set(xlabel="L-infinity size of the perturbation (pixel units)", xlim=(0, 0.3), ylim=(0, 102))
axes.set_ylabel(f"images not yet broken (% of {len(x)})")
axes.legend()
plt.show()

# %%
# These sizes are upper bounds from one attack, PGD with bisection on the radius: a stronger attack
# may find smaller ones. One network and one seed of each kind: the picture shows what adversarial
# training does, and does not rank methods.

r"""
Accuracy over eps, under a weak and a strong attack
===================================================

One robust accuracy is one point of a curve. The whole curve tells more: it must fall with ``eps``
and reach 0 where the ball holds every image, and a weak attack shows itself by lying above a strong
one. Two small networks on scikit-learn's digits, both trained with the MMC loss: on clean images,
and on adversarial examples at eps 0.1.
"""

import keras
import matplotlib.pyplot as plt

import keras_mmc

x_train, y_train = keras_mmc.datasets.load_arrays("digits", "train")
x, y = keras_mmc.datasets.load_arrays("digits", "test")
x, y = x[:100], y[:100]


def network():
    keras.utils.set_random_seed(0)
    layers = [keras.layers.Flatten(), keras.layers.Dense(128, "relu")]
    layers += [keras.layers.Dense(128, "relu"), keras.layers.Dense(64)]
    layers.append(keras_mmc.MaxMahalanobisCenters(10))
    return keras.Sequential([keras.Input((8, 8, 1)), *layers])


def train(model, epochs):
    model.compile(keras.optimizers.Adam(0.002), keras_mmc.MMCLoss())
    model.fit(x_train, y_train, batch_size=64, epochs=epochs, verbose=0)
    return model


plain = train(network(), epochs=20)
defense = keras_mmc.defenses.AdversarialTraining(keras_mmc.attacks.PGD(eps=0.1, steps=5))
robust = train(keras_mmc.AdversarialModel(network(), defense), epochs=12)

# %%
# The weak attack is PGD with 20 steps on the cross-entropy, the naive control of every audit. The
# strong one is the default of :py:obj:`keras_mmc.evaluation.robustness_curve`: APGD on the
# log-odds, then towards the three likeliest wrong classes.

models = {"trained on clean images": plain, "adversarial training": robust.model}
radii = [0.0, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4]
weak = keras_mmc.attacks.PGD(0.1, steps=20, objective="cross_entropy")

figure, axes = plt.subplots(figsize=(7.5, 4.4), layout="constrained")
for i, (name, model) in enumerate(models.items()):
    naive = keras_mmc.evaluation.robustness_curve(model, x, y, radii, weak)
    strong = keras_mmc.evaluation.robustness_curve(model, x, y, radii)
    axes.plot(naive.eps, 100 * naive.accuracy, "o--", color=f"C{i}", label=f"{name}: weak")
    axes.plot(strong.eps, 100 * strong.accuracy, "o-", color=f"C{i}", label=f"{name}: strong")
    curves = 100 * strong.accuracy, 100 * naive.accuracy
    axes.fill_between(strong.eps, *curves, color=f"C{i}", alpha=0.1)
    print(name, "at eps 0.1:", f"weak {naive.accuracy[2]:.0%}, strong {strong.accuracy[2]:.0%}")
axes.set(xlabel="eps (L-infinity, pixel units)", ylim=(0, 102), xlim=(0, 0.4))
axes.set_ylabel(f"accuracy (% of {len(x)} test images)")
axes.legend(fontsize=9)
plt.show()

# %%
# The shaded gap is what a report with the weak attack alone would have claimed too much. It is
# widest without adversarial training, where the cross-entropy has no gradient
# (:ref:`sphx_glr_math_plot_3_vanishing_gradients.py`). Training against the attack moves the solid
# line, which is the one that counts; beyond the eps of training, the weak attack flatters this
# network too. One seed, 100 images: differences of a few points mean nothing.

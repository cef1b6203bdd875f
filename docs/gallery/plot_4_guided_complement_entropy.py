r"""
Guided complement entropy, and its guiding factor
=================================================

With :math:`p = \mathrm{softmax}(s)`, the true class :math:`g` and
:math:`q_j = p_j / (1 - p_g)` for the others, guided complement entropy (Chen et al., ICCV 2019,
arXiv 1903.09799) minimizes

.. math::

   L_\mathrm{GCE} = \frac{p_g^{\,\alpha}}{\log(K - 1)} \sum_{j \ne g} q_j \log q_j .

The sum is smallest where all wrong classes are equally likely. The guiding factor
:math:`p_g^{\,\alpha}` says how much that counts: little while the true class is unlikely, and fully
once it is certain. So the loss asks for a confident true class although no term names it.
"""

import keras
import matplotlib.pyplot as plt
import numpy as np
import tensorflow as tf

import keras_mmc

K = 10
loss = keras_mmc.losses.guided_complement_entropy

# %%
# The loss over the probability of the true class
# -----------------------------------------------
# Solid: the wrong classes share what is left evenly. Dashed: one of them takes nine tenths of it.

p_true = np.linspace(0.001, 0.999, 300)


def scores_of(shares):
    probabilities = np.outer(1 - p_true, shares)
    return np.log(np.concatenate([p_true[:, None], probabilities], axis=1))


even = scores_of(np.full(K - 1, 1 / (K - 1)))
uneven = scores_of(np.array([0.9, *[0.1 / (K - 2)] * (K - 2)]))
labels = np.zeros(len(p_true), "int32")

figure, (left, right) = plt.subplots(1, 2, figsize=(9.5, 3.8), layout="constrained")
for i, (name, alpha) in enumerate({"1/5": 1 / 5, "1/3": 1 / 3, "1": 1.0}.items()):
    left.plot(p_true, p_true**alpha, color=f"C{i}", label=f"alpha = {name}")
    right.plot(p_true, loss(labels, even, alpha), color=f"C{i}", label=f"alpha = {name}")
    right.plot(p_true, loss(labels, uneven, alpha), "--", color=f"C{i}")
left.set(xlabel="probability of the true class", ylabel="guiding factor")
right.set(xlabel="probability of the true class", ylabel="loss")
left.legend()
right.legend()
plt.show()

# %%
# What the rounding guards of the released code do
# ------------------------------------------------
# The published formula divides by :math:`1 - p_g`, which a confident network makes 0. The released
# code adds small constants against that (``guard="released"`` here). This package computes
# :math:`q` from the wrong scores alone instead, where nothing has to be guarded. But for a constant
# factor, :math:`\log K` in place of :math:`\log(K - 1)`, the two agree only while the network is
# unsure.

gaps = np.linspace(0, 25, 251)  # float64, in which the picture is one of the formula alone


def of_gap(**options):
    """The loss, and its derivative by the score of the true class."""
    gap = tf.constant(gaps)
    with tf.GradientTape() as tape:
        tape.watch(gap)
        scores = tf.concat([gap[:, None], tf.zeros((len(gaps), K - 1), gap.dtype)], axis=1)
        values = loss(tf.zeros(len(gaps), tf.int32), scores, **options)
    return keras.ops.convert_to_numpy(values), tape.gradient(values, gap).numpy()


figure, (left, right) = plt.subplots(1, 2, figsize=(9.5, 3.8), layout="constrained")
for options, style, name in (
    ({}, "-", "this package"),
    ({"guard": "released", "normalizer": "classes"}, "--", "released code"),
):
    values, slope = of_gap(**options)
    left.plot(gaps, values, style, label=name)
    right.plot(gaps, slope, style, label=name)
    print(f"{name}: smallest, {values.min():.4f}, at a gap of {gaps[values.argmin()]:.1f}")
right.axhline(0, color="0.7", linewidth=1, zorder=0)
left.set(xlabel="score of the true class minus that of the others", ylabel="loss")
right.set(xlabel="score of the true class minus that of the others")
right.set(ylabel="derivative by the true score", ylim=(-0.12, 0.12))
left.legend()
plt.show()

# %%
# Beyond its minimum the derivative of the released form is positive: training pulls the confidence
# back, and an attack that climbs this loss walks the wrong way. Such an attack fails for a reason
# that has nothing to do with robustness: the gradient is masked. :doc:`Measured on MNIST
# </results/gce_mnist>` without adversarial training, the loss does not protect from strong
# attacks.

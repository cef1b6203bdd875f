r"""
Centers as far apart as geometry allows
=======================================

The Max-Mahalanobis centers of K classes are the K points of norm :math:`C` whose largest inner
product is as small as it can be (Pang et al., ICML 2018, arXiv 1802.09308; ICLR 2020, arXiv
1905.10626):

.. math:: \mu^* = \arg\min_{\|\mu_k\| = C} \; \max_{i \ne j} \; \langle \mu_i, \mu_j \rangle .

In :math:`d \ge K - 1` dimensions they are the corners of a regular simplex: all inner products are
:math:`-C^2 / (K - 1)`, and all distances :math:`C \sqrt{2 K / (K - 1)}`.
"""

import matplotlib.pyplot as plt
import numpy as np

import keras_mmc

# %%
# A simplex
# ---------
# Two classes lie opposite each other, three form a triangle, four a tetrahedron.

figure = plt.figure(figsize=(9.5, 3.6), layout="constrained")
for number, num_classes in enumerate((2, 3, 4), start=1):
    centers = keras_mmc.centers.max_mahalanobis_centers(num_classes, dim=3, scale=1.0)
    axes = figure.add_subplot(1, 3, number, projection="3d")
    for i, first in enumerate(centers):
        for second in centers[:i]:
            axes.plot(*np.stack([first, second], axis=1), color="0.6", linewidth=1)
        axes.plot(*np.stack([np.zeros(3), first], axis=1), color=f"C{i}")
        axes.scatter(*first, s=60, color=f"C{i}", depthshade=False)
    angle = keras_mmc.centers.minimum_angle(centers)
    axes.set_title(f"K = {num_classes}, {angle:.1f} degrees apart")
    axes.set(xlim=(-1, 1), ylim=(-1, 1), zlim=(-1, 1), box_aspect=(1, 1, 1))
    axes.set(xticks=[-1, 0, 1], yticks=[-1, 0, 1], zticks=[-1, 0, 1])
    axes.view_init(elev=22, azim=38)
plt.show()

# %%
# What a head of 10 classes holds, in 64 dimensions:

centers = keras_mmc.centers.max_mahalanobis_centers(num_classes=10, dim=64)
print(keras_mmc.centers.gram_report(centers))

# %%
# What the placement is worth
# ---------------------------
# A simplex needs :math:`K - 1` dimensions. In fewer, a numerical search looks for the arrangement
# with the largest angle; directions drawn at random are the control. The more dimensions there are,
# the less random directions lose, since they become nearly orthogonal by themselves.

dims = [2, 3, 4, 6, 9, 16, 32, 64, 128]
placed, drawn = [], []
for dim in dims:
    placed.append(keras_mmc.centers.max_mahalanobis_centers(10, dim))
    drawn.append([keras_mmc.centers.random_centers(10, dim, seed=seed) for seed in range(20)])

figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
angle = keras_mmc.centers.minimum_angle
axes.plot(dims, [angle(centers) for centers in placed], "o-", label="Max-Mahalanobis centers")
means = [np.mean([angle(centers) for centers in found]) for found in drawn]
axes.plot(dims, means, "s--", label="random directions, mean of 20 draws")
axes.axhline(np.degrees(np.arccos(-1 / 9)), color="0.6", linewidth=1)
axes.annotate("simplex, arccos(-1/9) = 96.4 degrees", (2, 98), color="0.35")
axes.axvline(9, color="0.8", linewidth=1, linestyle=":")
axes.annotate("K - 1 = 9", (9.3, 3), color="0.35")
axes.set_xscale("log", base=2)
axes.set_xticks(dims, labels=[str(dim) for dim in dims])
axes.set(xlabel="dimensions d of the features", ylabel="smallest angle of 10 centers (degrees)")
axes.set_ylim(0, 108)
axes.legend(loc="center right")
plt.show()

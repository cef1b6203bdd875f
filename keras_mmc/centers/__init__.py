"""Class centers as NumPy arrays `(K, d)`: simplex, spherical codes, random, hierarchical, files.

Centers are float64 arrays, one row per class. Every function raises a `ValueError` that names an
argument that does not fit; given centers form a finite matrix with K >= 2.
"""

from keras_mmc.centers.geometry import GramReport, check_centers, gram_report, minimum_angle
from keras_mmc.centers.hierarchical import CIFAR100_COARSE, cifar100_tree, hierarchical_centers
from keras_mmc.centers.io import load_centers, save_centers
from keras_mmc.centers.spherical import max_mahalanobis_centers, random_centers, spherical_code

__all__ = [
    "CIFAR100_COARSE",
    "GramReport",
    "check_centers",
    "cifar100_tree",
    "gram_report",
    "hierarchical_centers",
    "load_centers",
    "max_mahalanobis_centers",
    "minimum_angle",
    "random_centers",
    "save_centers",
    "spherical_code",
]

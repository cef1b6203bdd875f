"""Pictures and reports."""

from keras_mmc.report.features import plot_features

__all__ = ["plot_features"]

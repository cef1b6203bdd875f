"""Training helpers: callbacks."""

from keras_mmc.training.non_finite import StopOnNonFinite

__all__ = ["StopOnNonFinite"]

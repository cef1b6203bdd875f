"""Training: the adversarial model, and a `fit` that goes on after an interruption."""

from keras_mmc.training.adversarial_model import AdversarialModel
from keras_mmc.training.resumable_fit import Interrupted, resumable_fit

__all__ = ["AdversarialModel", "Interrupted", "resumable_fit"]

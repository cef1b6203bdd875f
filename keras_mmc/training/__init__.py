"""Training: the adversarial model."""

from keras_mmc.training.adversarial_model import AdversarialModel

__all__ = ["AdversarialModel"]

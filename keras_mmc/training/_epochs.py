"""What `AdversarialModel.fit` does at the ends of an epoch."""

import warnings

import keras


class CountEpochs(keras.callbacks.Callback):
    """Tells an `AdversarialModel` which epoch runs, and the user how many images were skipped.

    Where another defense begins, the training step is traced anew: each has a graph of its own, so
    that no batch pays for both, and batch statistics are those of its own images. An epoch without
    any other image ends the training with a `ValueError`.
    """

    def on_epoch_begin(self, epoch, logs=None):
        self.model.epoch.assign(epoch)
        self.model.counts.reset()
        active = self.model.defense.at_epoch(epoch)
        if active is not self.model.active_defense:
            self.model.active_defense = active
            self.model.make_train_function(force=True)

    def on_epoch_end(self, epoch, logs=None):
        reasons = self.model.counts.reasons(self.model.box, self.model.output_shape[-1])
        if not reasons:
            return
        said = "; ".join(f"{count} had {reason}" for reason, count in reasons.items())
        if not self.model.counts.used:
            raise ValueError(
                f"No image of epoch {epoch + 1} could be trained on: {said}. Look at the data with "
                "keras_mmc.datasets.check_dataset(x, y, num_classes)."
            )
        warnings.warn(
            f"Epoch {epoch + 1}: {sum(reasons.values())} images were not trained on: {said}.",
            stacklevel=2,
        )

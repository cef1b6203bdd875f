"""Robust accuracy of a fixed subset, in the logs of every epoch."""

from keras_mmc._validation import check_count
from keras_mmc.attacks.base import misclassified, scores_of
from keras_mmc.training.subset import SubsetCallback


class RobustAccuracy(SubsetCallback):
    """Attacks the same images after every few epochs and puts the accuracy into the epoch's logs.

    The attack runs as in `attack(model, x, y)`, against the plain classifier in inference mode,
    so that it may be much stronger than one that fits into every training step. Unless `fit` is
    silent, a line is printed too. Epochs without an attack have the value NaN.

    Keras hands one dictionary of logs from callback to callback: put this one *before* those that
    read the value, such as `CSVLogger`, `TensorBoard`, `ModelCheckpoint` or
    `BestRobustCheckpoint`. `History` and the progress bar always come last.

    Args:
        attack: the attack; it is traced once for all epochs.
        x: images `(N, ...)`, floats inside the box of the attack. Take them from the validation
            split.
        y: integer labels `(N,)`.
        every: number of epochs from one attack to the next; the first epoch is attacked.
        batch_size: images attacked at a time.
        name: name of the value in the logs.

    Raises:
        ValueError: if an argument does not fit, or the logs already hold a value of this name.

    Example:
    >>> x, y = x_validation[:500], y_validation[:500]
    >>> strong = keras_mmc.training.RobustAccuracy(keras_mmc.attacks.APGD(8 / 255), x, y, every=5)
    >>> model.fit(train, callbacks=[strong, keras.callbacks.CSVLogger("history.csv")])
    """

    def __init__(
        self,
        attack,
        x,
        y,
        every: int = 1,
        batch_size: int = 128,
        name: str = "robust_accuracy_subset",
    ):
        super().__init__(attack, x, y, every)
        self.batch_size = batch_size
        self.name = name
        check_count(self, "batch_size", self.batch_size)

    def on_epoch_end(self, epoch, logs=None):
        """Attack, if it is time, and write the accuracy into the logs."""
        if self.name in logs:
            raise ValueError(
                f"RobustAccuracy: the logs already hold a value {self.name!r}. Pass another `name`."
            )
        logs[self.name] = float("nan")
        if not self.due():
            return
        points = self.attack(self.model, self.x, self.y, batch_size=self.batch_size)
        broken = misclassified(scores_of(self.model, points, self.batch_size), self.y)
        logs[self.name] = 1 - float(broken.numpy().mean())
        if (self.params or {}).get("verbose"):
            print(
                f"\nEpoch {epoch + 1}: {self.name} {logs[self.name]:.4f} "
                f"({type(self.attack).__name__}, {len(self.x)} images)",
                flush=True,
            )

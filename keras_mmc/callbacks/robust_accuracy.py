"""Robust accuracy of a fixed subset, in the logs of every epoch."""

from numpy.typing import ArrayLike

from keras_mmc.attacks import Attack
from keras_mmc.callbacks.base import SubsetCallback


class RobustAccuracy(SubsetCallback):
    """Attacks the same images after every few epochs and logs the robust accuracy.

    The attack runs as in `attack(model, x, y)`, against the plain classifier in inference mode, so
    it may be much stronger than one that fits into every training step. Epochs without an attack
    have the value NaN. Unless `fit` is silent, a line is printed too.

    Callbacks share one dictionary of logs: put this one *before* those that read the value, such as
    `CSVLogger`, `TensorBoard` or `BestRobustCheckpoint`. `History` always comes last.

    Args:
        attack: the attack; it is traced once for all epochs of a training.
        x: images `(N, ...)`, floats inside the box of the attack, from the validation split.
        y: integer labels `(N,)`.
        every: number of epochs from one attack to the next; the first epoch is attacked.
        batch_size: images attacked at a time.
        name: name of the value in the logs.

    Raises:
        ValueError: if an argument does not fit, or the logs already hold a value of this name.

    Example:
    >>> x, y = x_validation[:500], y_validation[:500]
    >>> strong = keras_mmc.callbacks.RobustAccuracy(keras_mmc.attacks.APGD(8 / 255), x, y, every=5)
    >>> model.fit(train, callbacks=[strong, keras.callbacks.CSVLogger("history.csv")])
    """

    def __init__(
        self,
        attack: Attack,
        x: ArrayLike,
        y: ArrayLike,
        every: int = 1,
        batch_size: int = 128,
        name: str = "robust_accuracy_subset",
    ):
        super().__init__(attack, x, y, every, batch_size)
        self.name = name

    def on_epoch_end(self, epoch, logs):
        if self.name in logs:
            raise ValueError(
                f"RobustAccuracy: the logs already hold a value {self.name!r}. Pass another `name`."
            )
        logs[self.name] = float("nan")
        if not self.due():
            return
        logs[self.name] = self.runner.robust_accuracy(self.attack, self.x, self.y)
        if (self.params or {}).get("verbose"):
            print(
                f"\nEpoch {epoch + 1}: {self.name} {logs[self.name]:.4f} "
                f"({type(self.attack).__name__}, {len(self.x)} images)",
                flush=True,
            )

"""Adversarial examples in TensorBoard."""

import pathlib

import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike

from keras_mmc._extras import require
from keras_mmc._files import PathLike
from keras_mmc.attacks import Attack
from keras_mmc.callbacks.base import SubsetCallback

_MOST_IMAGES = 64


class AdversarialImages(SubsetCallback):
    """Shows in TensorBoard what an attack does to a few images as training goes on.

    Writes to `log_dir/adversarial`, with the epoch, from 0, as the step:

    - `images`: a row per image, with the clean image, the adversarial one and their difference.
      Gray is no difference; black and white are the largest one of the picture.
    - `classes`: a table of labels and predictions, a line per image, and the largest difference.

    An image that is misclassified without a perturbation is not perturbed. Scalars are left to
    `keras.callbacks.TensorBoard`, which writes everything that is in the logs.

    Args:
        log_dir: directory that TensorBoard reads, such as that of `keras.callbacks.TensorBoard`.
        x: images `(N, H, W, C)` of 1 or 3 channels, floats inside the box of the attack; 64 at
            most.
        y, attack, every: as for `RobustAccuracy`.

    Raises:
        ImportError: if TensorBoard is not installed.
        ValueError: if an argument does not fit.

    Example:
    >>> attack = keras_mmc.attacks.PGD(8 / 255)
    >>> pictures = keras_mmc.callbacks.AdversarialImages("logs", x[:8], y[:8], attack, every=5)
    >>> model.fit(train, epochs=50, callbacks=[keras.callbacks.TensorBoard("logs"), pictures])
    """

    def __init__(
        self, log_dir: PathLike, x: ArrayLike, y: ArrayLike, attack: Attack, every: int = 1
    ):
        require("tensorboard", "plots", "AdversarialImages")
        super().__init__(attack, x, y, every, batch_size=_MOST_IMAGES)
        self.log_dir = pathlib.Path(log_dir)
        if self.x.ndim != 4 or self.x.shape[-1] not in (1, 3) or len(self.x) > _MOST_IMAGES:
            raise ValueError(
                f"AdversarialImages: `x` must hold at most {_MOST_IMAGES} images (N, H, W, C) of "
                f"1 or 3 channels; received shape {self.x.shape}."
            )

    def on_train_begin(self, logs=None):
        super().on_train_begin(logs)
        self._writer = tf.summary.create_file_writer(str(self.log_dir / "adversarial"))

    def on_epoch_end(self, epoch, logs=None):
        if not self.due():
            return
        x_adv = self.runner.attack(self.attack, self.x, self.y)
        predictions = [self.runner.scores(x).argmax(axis=-1) for x in (self.x, x_adv)]
        rows = zip(range(len(self.y)), self.y, *predictions, strict=True)
        lines = [
            "| row | label | clean | adversarial |",
            "|---|---|---|---|",
            *(f"| {' | '.join(map(str, row))} |" for row in rows),
            f"\nLargest difference: {np.abs(x_adv - self.x).max():.4g} in input units; "
            f"{self.attack!r}.",
        ]
        with self._writer.as_default(step=epoch):
            tf.summary.image("images", image_rows(self.x, x_adv, self.attack.box)[None])
            tf.summary.text("classes", "\n".join(lines))
        self._writer.flush()

    def on_train_end(self, logs=None):
        super().on_train_end(logs)
        self._writer.close()


def image_rows(clean: np.ndarray, adversarial: np.ndarray, box: tuple[float, float]) -> np.ndarray:
    """Clean and adversarial images `(N, H, W, C)` and their differences, as one picture.

    Its shape is `(N * (H + 1), 3 * (W + 1), C)`, images one white pixel apart, a row for each. From
    black to white it spans the box; differences are 0.5 where there is none, the largest 0 or 1.
    """
    low, high = box
    change = adversarial - clean
    gray = 0.5 + change / (2 * np.abs(change).max() or 1.0)
    columns = [(clean - low) / (high - low), (adversarial - low) / (high - low), gray]
    margins = [(0, 0), (0, 0), (0, 1), (0, 1), (0, 0)]
    cells = np.pad(np.stack(columns, axis=1), margins, constant_values=1.0)
    count, _, height, width, channels = cells.shape
    return cells.transpose(0, 2, 1, 3, 4).reshape(count * height, 3 * width, channels)

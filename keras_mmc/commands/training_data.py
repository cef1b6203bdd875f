"""What one network is trained, validated and tested on."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from keras_mmc import datasets
from keras_mmc._choices import DATASETS
from keras_mmc.commands.images import Images
from keras_mmc.datasets import DatasetInfo, Epochs


@dataclasses.dataclass(frozen=True)
class TrainingData:
    """Images to train on.

    Attributes:
        info: shape, number of classes, mean and deviation of the images.
        splits: images and labels `(N,)` of "train", "validation" and "test".
        train: "train" in batches, in an order that follows from seed and epoch.
        batches: "validation" and "test" in batches.
        tested_on: what the images of "test" are, in words.
        has_test: whether there were test images; else those of "validation" serve as such.
    """

    info: DatasetInfo
    splits: Mapping[str, Images]
    train: Epochs
    batches: Mapping[str, tf.data.Dataset]
    tested_on: str
    has_test: bool


def prepare(
    data: str,
    splits: Mapping[str, Images],
    box: tuple[float, float],
    classes: tuple[int, int] | None,
    batch_size: int,
    augment: bool | None,
    seed: int,
) -> TrainingData:
    """Batches of the splits, and the facts that a network is built for.

    Args:
        data: name of the data set, folder or file.
        splits: images of "train", "validation" and, if there are any, "test".
        box: where images live.
        classes: two classes to tell apart in balanced batches, which become 0 and 1; `None` for
            all.
        batch_size: images per batch.
        augment: whether to crop and mirror training images; `None` for what suits the data.
        seed: of the order and the augmentation.

    Raises:
        ValueError: for images or labels that do not fit, or data that must not be mirrored.
    """
    splits, tested_on, has_test = dict(splits), f"test images of {data}", "test" in splits
    if not has_test:
        splits["test"], tested_on = splits["validation"], f"images of {data} that were held out"
    info = _facts(data, splits["train"], box)
    if augment and data in DATASETS and not info.augmentable:
        raise ValueError(
            f"--augment crops and mirrors images, which is meant for the training split of CIFAR; "
            f"received --data={data}. Leave it out."
        )
    for split, found in splits.items():
        x, y = datasets.check_dataset(found.x, found.y, info.num_classes, box)
        splits[split] = Images(x, y, found.class_names)
    if classes is not None:
        info = dataclasses.replace(info, num_classes=2)
        splits = {split: _only(classes, found) for split, found in splits.items()}
    count, x, y = info.num_classes, splits["train"].x, splits["train"].y
    if classes is not None:
        train = datasets.balanced_epochs(x, y, max(1, batch_size // 2), seed)
    else:
        augmented = info.augmentable if augment is None else augment
        train = datasets.shuffled_epochs(x, y, count, batch_size, augmented, seed, box)
    batches = {
        split: datasets.batches(splits[split].x, splits[split].y, count, batch_size, box=box)
        for split in ("validation", "test")
    }
    return TrainingData(info, splits, train, batches, tested_on, has_test)


def _facts(data, train, box):
    """Those of a known data set, in units of the box, or measured on the training images."""
    low, high = box
    if data in DATASETS:
        known = datasets.info(data)
        mean = tuple(low + (high - low) * value for value in known.mean)
        std = tuple((high - low) * value for value in known.std)
        return dataclasses.replace(known, mean=mean, std=std)
    x, y = train.x, np.asarray(train.y)
    if x.ndim != 4 or not len(x):
        raise ValueError(
            f"--data={data} must hold images (N, H, W, C), or (N, H, W) with one channel; received "
            f"shape {x.shape}."
        )
    one_hot = y.ndim == 2 and y.shape[1] > 1
    classes = len(train.class_names or ()) or (y.shape[1] if one_hot else int(y.max()) + 1)
    means, deviations = (f(x, axis=(0, 1, 2), dtype="float64") for f in (np.mean, np.std))
    deviations = np.maximum(deviations, 1e-6 * (high - low))  # of a channel that never changes
    return DatasetInfo(data, x.shape[1:], classes, tuple(means), tuple(deviations))


def _only(classes, found):
    """Images of two classes, with labels 0 and 1."""
    chosen = found.rows(np.isin(found.y, classes))
    return Images(chosen.x, (chosen.y == classes[1]).astype("int32"))

"""The data sets this package knows, with the facts a user needs to build a network."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class DatasetInfo:
    """Facts about a data set.

    Attributes:
        name: name for `load` and `load_arrays`.
        image_shape: `(H, W, C)`.
        num_classes: number of classes K.
        mean: mean of the training pixels, one per channel, images in [0, 1].
        std: standard deviation of the training pixels, one per channel.
        augmentable: whether crops and mirror images keep the class; a mirrored digit is no digit.
    """

    name: str
    image_shape: tuple[int, int, int]
    num_classes: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    augmentable: bool = False


DATASETS = {
    item.name: item
    for item in (
        DatasetInfo("digits", (8, 8, 1), 10, (0.3053,), (0.3760,)),
        DatasetInfo("mnist", (28, 28, 1), 10, (0.1307,), (0.3081,)),
        DatasetInfo("fashion_mnist", (28, 28, 1), 10, (0.2860,), (0.3530,)),
        DatasetInfo(
            "cifar10", (32, 32, 3), 10, (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616), True
        ),
        DatasetInfo(
            "cifar100", (32, 32, 3), 100, (0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762), True
        ),
    )
}


def info(name: str) -> DatasetInfo:
    """Facts about a data set by name.

    Raises:
        ValueError: for an unknown name; the message lists the known ones.

    Example:
    >>> keras_mmc.datasets.info("mnist").image_shape
    (28, 28, 1)
    """
    if name not in DATASETS:
        raise ValueError(f"Unknown data set {name!r}; known are {', '.join(sorted(DATASETS))}.")
    return DATASETS[name]

"""The fine-to-coarse map of CIFAR-100."""

import pytest

from keras_mmc.centers import CIFAR100_COARSE, cifar100_tree


def test_twenty_superclasses_of_five():
    """Fails if a fine class is missing, doubled or misspelt into another's place."""
    assert [len(names) for names in CIFAR100_COARSE.values()] == [5] * 20
    assert len({name for names in CIFAR100_COARSE.values() for name in names}) == 100
    tree = cifar100_tree()
    assert list(tree) == sorted(tree) == list(CIFAR100_COARSE)
    assert sorted(fine for members in tree.values() for fine in members) == list(range(100))


@pytest.mark.parametrize(
    ("superclass", "members"),
    [
        # From the `fine_labels` and `coarse_labels` of the published data set.
        ("aquatic mammals", [4, 30, 55, 72, 95]),
        ("fish", [1, 32, 67, 73, 91]),
        ("fruit and vegetables", [0, 51, 53, 57, 83]),
        ("people", [2, 11, 35, 46, 98]),
        ("trees", [47, 52, 56, 59, 96]),
        ("vehicles 1", [8, 13, 48, 58, 90]),
        ("vehicles 2", [41, 69, 81, 85, 89]),
    ],
)
def test_published_ids(superclass, members):
    """Fails if the alphabetical ids shift, as by a space where a name has an underscore."""
    assert cifar100_tree()[superclass] == members


def test_ids_divided_by_five_are_not_superclasses():
    """Fails if the map is the shortcut `i // 5`."""
    coarse = {fine: i for i, members in enumerate(cifar100_tree().values()) for fine in members}
    assert sum(coarse[fine] == fine // 5 for fine in range(100)) < 20
    assert coarse[0] == 4  # apple
    assert coarse[99] == 13  # worm

"""Centers that follow a tree of classes, close in feature space if close in it; CIFAR-100's."""

from typing import Any

import numpy as np

from keras_mmc._validation import check_count
from keras_mmc.centers.geometry import check_centers, check_memory, check_scale
from keras_mmc.centers.spherical import unit_simplex


def hierarchical_centers(
    tree: Any, dim: int, scale: float = 10.0, radii: np.typing.ArrayLike | None = None
) -> np.ndarray:
    """Class centers from a tree: a regular simplex per inner node, in coordinates of its own.

    A class lies at the sum of the steps on its path from the root. At an inner node of depth h
    (the root has depth 0) with n children, the step to child i is `r_i v_i`, where the `v_i` are
    the vertices of a regular simplex in n - 1 coordinates that no other node uses. An inner child
    has `r_i = radii[h]`; a leaf takes all the radius that is left,
    `r_i^2 = radii[h]^2 + radii[h+1]^2 + ...`. Over the whole tree the coordinates add up to K - 1.

    This always holds: every norm is `scale`, and two classes x, y whose lowest common ancestor
    has depth h and n children, and which leave it by steps of radius r_x and r_y, have

        <mu_x, mu_y> = radii[0]^2 + ... + radii[h-1]^2 - r_x r_y / (n - 1)

    and the squared distance `2 scale^2 - 2 <mu_x, mu_y>`. So distances depend only on the depth
    of the lowest common ancestor if all leaves have the same depth and all inner nodes of one
    depth have the same number of children, as in CIFAR-100; then the centers also sum to 0. With
    the default radii the distance then never grows as the common ancestor gets deeper.

    Args:
        tree: nested dicts, lists or tuples; the leaves are the class ids 0..K-1, each once. A
            dict's values are the children, its keys only names. Every inner node needs at least
            two children. Leaves may lie at different depths.
        dim: number of features d >= K - 1; coordinates that are not needed are 0.
        scale: norm of every center, in units of the feature space.
        radii: one positive, finite number per level of inner nodes, the root's first; they are
            rescaled so that their squares add up to `scale^2`. Large first numbers set superclasses
            apart, large last ones the classes within. By default all are equal.

    Source: the Max-Mahalanobis centers of Pang et al., ICLR 2020 (arXiv 1905.10626), one simplex
    per node instead of one for all classes.

    Example:
    >>> centers = hierarchical_centers({"animal": [0, 1], "vehicle": [2, 3]}, dim=3)
    >>> np.round(np.linalg.norm(centers[0] - centers, axis=1), 4)
    array([ 0.    , 14.1421, 17.3205, 17.3205])
    """
    dim, scale = check_count("Centers", "dim", dim), check_scale(scale)
    depths = _leaf_depths(tree)
    num_classes = len(depths)
    if dim < num_classes - 1:
        raise ValueError(
            f"A tree of {num_classes} classes needs dim >= {num_classes - 1} (each inner node "
            f"takes one coordinate less than it has children); received dim={dim}. Use "
            f"dim={num_classes - 1} or more."
        )
    check_memory(num_classes, dim)
    centers = np.zeros((num_classes, dim))
    _place(tree, np.zeros(dim), 0, 0, _scaled_radii(radii, max(depths.values()), scale), centers)
    return check_centers(centers)


def _place(
    node: Any, origin: np.ndarray, depth: int, column: int, radii: np.ndarray, centers: np.ndarray
) -> int:
    """Fill in the centers below `node`, which sits at `origin`; return the next free column."""
    children = _children(node)
    own = slice(column, column + len(children) - 1)
    column = own.stop
    for child, vertex in zip(children, unit_simplex(len(children)), strict=True):
        position = origin.copy()
        if _is_leaf(child):
            position[own] = np.linalg.norm(radii[depth:]) * vertex
            centers[child] = position
        else:
            position[own] = radii[depth] * vertex
            column = _place(child, position, depth + 1, column, radii, centers)
    return column


def _leaf_depths(tree: Any) -> dict[int, int]:
    """The depth of every class id, after checking the form of the tree."""
    depths = {}
    pending = [(tree, 0)]
    while pending:
        node, depth = pending.pop()
        if _is_leaf(node):
            if node in depths:
                raise ValueError(
                    f"Every class id must be a leaf once; received {node} twice. "
                    "Remove it from one of its superclasses."
                )
            depths[int(node)] = depth
        else:
            pending.extend((child, depth + 1) for child in _children(node))
    if sorted(depths) != list(range(len(depths))) or len(depths) < 2:
        raise ValueError(
            f"The leaves of the tree must be the class ids 0..K-1, K >= 2; received {len(depths)} "
            f"ids from {min(depths)} to {max(depths)}. Number the classes from 0 without gaps."
        )
    return depths


def _children(node: Any) -> list:
    if not isinstance(node, (dict, list, tuple)):
        raise ValueError(
            f"A tree is made of dicts, lists and tuples with integer class ids as leaves; received "
            f"{node!r} of type {type(node).__name__}. Replace class names by their ids."
        )
    children = list(node.values()) if isinstance(node, dict) else list(node)
    if len(children) < 2:
        raise ValueError(
            f"Every inner node of the tree needs at least two children; received {node!r}. "
            "Put the only child in the place of its parent, and leave out empty nodes."
        )
    return children


def _is_leaf(node: Any) -> bool:
    return isinstance(node, (int, np.integer)) and not isinstance(node, bool)


def _scaled_radii(radii: np.typing.ArrayLike | None, levels: int, scale: float) -> np.ndarray:
    values = np.ones(levels) if radii is None else np.asarray(radii)
    expected = f"hold {levels} numbers, one per level of inner nodes of this tree"
    if values.dtype.kind in "iuf" and values.shape == (levels,):
        expected = "be positive and finite: at radius 0 the classes of a level coincide"
        if np.isfinite(values).all() and (values > 0).all():
            values = values / values.max()
            return scale * values / np.linalg.norm(values)
    raise ValueError(f"`radii` must {expected}; received {radii!r}.")


CIFAR100_COARSE = {
    "aquatic mammals": ("beaver", "dolphin", "otter", "seal", "whale"),
    "fish": ("aquarium_fish", "flatfish", "ray", "shark", "trout"),
    "flowers": ("orchid", "poppy", "rose", "sunflower", "tulip"),
    "food containers": ("bottle", "bowl", "can", "cup", "plate"),
    "fruit and vegetables": ("apple", "mushroom", "orange", "pear", "sweet_pepper"),
    "household electrical devices": ("clock", "keyboard", "lamp", "telephone", "television"),
    "household furniture": ("bed", "chair", "couch", "table", "wardrobe"),
    "insects": ("bee", "beetle", "butterfly", "caterpillar", "cockroach"),
    "large carnivores": ("bear", "leopard", "lion", "tiger", "wolf"),
    "large man-made outdoor things": ("bridge", "castle", "house", "road", "skyscraper"),
    "large natural outdoor scenes": ("cloud", "forest", "mountain", "plain", "sea"),
    "large omnivores and herbivores": ("camel", "cattle", "chimpanzee", "elephant", "kangaroo"),
    "medium-sized mammals": ("fox", "porcupine", "possum", "raccoon", "skunk"),
    "non-insect invertebrates": ("crab", "lobster", "snail", "spider", "worm"),
    "people": ("baby", "boy", "girl", "man", "woman"),
    "reptiles": ("crocodile", "dinosaur", "lizard", "snake", "turtle"),
    "small mammals": ("hamster", "mouse", "rabbit", "shrew", "squirrel"),
    "trees": ("maple_tree", "oak_tree", "palm_tree", "pine_tree", "willow_tree"),
    "vehicles 1": ("bicycle", "bus", "motorcycle", "pickup_truck", "train"),
    "vehicles 2": ("lawn_mower", "rocket", "streetcar", "tank", "tractor"),
}
"""Superclass name -> names of its five fine classes, both in alphabetical order."""


def cifar100_tree() -> dict[str, list[int]]:
    """The 100 fine classes of CIFAR-100 under their 20 superclasses.

    A dict from superclass name to the five fine ids, in the order of the coarse labels, for
    `hierarchical_centers`, which then needs 99 coordinates. Fine ids number the fine names in
    alphabetical order, so `id // 5` is *not* the superclass.

    Source: A. Krizhevsky, *Learning Multiple Layers of Features from Tiny Images*, 2009.

    Example:
    >>> cifar100_tree()["fruit and vegetables"]
    [0, 51, 53, 57, 83]
    """
    fine_names = sorted(name for names in CIFAR100_COARSE.values() for name in names)
    fine_ids = {name: number for number, name in enumerate(fine_names)}
    return {coarse: [fine_ids[name] for name in names] for coarse, names in CIFAR100_COARSE.items()}

"""Hierarchical centers against the inner products that the tree prescribes, pair by pair."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_mmc.centers import cifar100_tree, hierarchical_centers, max_mahalanobis_centers

RAGGED = {"a": [0, {"b": (1, 2, 3), "c": [4, 5]}], "d": (6, [7, 8, 9, 10]), "e": 11}


def children_of(node):
    return list(node.values()) if isinstance(node, dict) else list(node)


def paths_of(node, path=()):
    """Class id -> the child numbers that lead to it from the root."""
    if isinstance(node, int):
        return {node: path}
    paths = {}
    for number, child in enumerate(children_of(node)):
        paths.update(paths_of(child, (*path, number)))
    return paths


def subtree(tree, path):
    for number in path:
        tree = children_of(tree)[number]
    return tree


def common_depth(first, second):
    return next(i for i, (a, b) in enumerate(zip(first, second, strict=False)) if a != b)


def expected_products(tree, squared_radii):
    """Inner products from the definition: shared steps, then two vertices of one simplex."""
    paths = paths_of(tree)
    products = np.full((len(paths), len(paths)), float(np.sum(squared_radii)))
    for x, y in itertools.permutations(paths, 2):
        depth = common_depth(paths[x], paths[y])
        steps = []
        for path in (paths[x], paths[y]):
            is_leaf = len(path) == depth + 1
            steps.append(np.sum(squared_radii[depth:]) if is_leaf else squared_radii[depth])
        siblings = len(children_of(subtree(tree, paths[x][:depth])))
        products[x, y] = np.sum(squared_radii[:depth]) - np.sqrt(np.prod(steps)) / (siblings - 1)
    return products


def number_leaves(shape, counter=None):
    """Turn a nested list of Nones into a tree whose leaves are 0, 1, 2, ..."""
    counter = itertools.count() if counter is None else counter
    return next(counter) if shape is None else [number_leaves(part, counter) for part in shape]


shapes = st.lists(
    st.recursive(st.none(), lambda parts: st.lists(parts, min_size=2, max_size=4), max_leaves=12),
    min_size=2,
    max_size=4,
)


@settings(deadline=None, max_examples=40)
@given(shape=shapes, scale=st.floats(0.1, 100.0), spare=st.integers(0, 3))
def test_inner_products_of_any_tree(shape, scale, spare):
    """Fails if some tree gets unequal norms, shared coordinates or a wrong radius."""
    tree = number_leaves(shape)
    paths = paths_of(tree)
    levels = max(map(len, paths.values()))
    centers = hierarchical_centers(tree, len(paths) - 1 + spare, scale=scale)
    expected = expected_products(tree, np.full(levels, scale**2 / levels))
    np.testing.assert_allclose(centers @ centers.T, expected, atol=1e-10 * scale**2)
    np.testing.assert_allclose(np.linalg.norm(centers, axis=1), scale, rtol=1e-12)


def test_ragged_tree_with_radii():
    """Fails if radii are taken in the wrong order, or not rescaled to the norm."""
    centers = hierarchical_centers(RAGGED, 11, scale=7.0, radii=[2, 4, 5, 2])
    assert centers.shape == (12, 11)
    np.testing.assert_allclose(
        centers @ centers.T, expected_products(RAGGED, np.array([4.0, 16.0, 25.0, 4.0])), atol=1e-12
    )


@pytest.mark.parametrize("radii", [None, (1.0, 2.0, 3.0), (3.0, 1.0, 0.5)])
def test_even_tree_depends_on_the_depth_of_the_ancestor_only(radii):
    """Fails if two pairs with common ancestors at one depth differ in distance."""
    tree = number_leaves([[[None] * 4] * 2] * 3)
    paths = paths_of(tree)
    centers = hierarchical_centers(tree, 23, radii=radii)
    by_depth = {}
    for x, y in itertools.combinations(range(24), 2):
        distance = np.linalg.norm(centers[x] - centers[y])
        by_depth.setdefault(common_depth(paths[x], paths[y]), []).append(distance)
    assert [len(by_depth[depth]) for depth in range(3)] == [192, 48, 36]
    for distances in by_depth.values():
        np.testing.assert_allclose(distances, distances[0], rtol=1e-12)
    np.testing.assert_allclose(centers.sum(axis=0), 0.0, atol=1e-12)
    if radii is None:
        assert by_depth[0][0] >= by_depth[1][0] >= by_depth[2][0]


def test_flat_tree_is_the_simplex():
    """Fails if a single node is anything but the Max-Mahalanobis centers."""
    np.testing.assert_allclose(
        hierarchical_centers(list(range(6)), 8),
        max_mahalanobis_centers(6, 8),
        atol=1e-14,
    )


def test_cifar100_distances():
    """Fails if superclasses are not the classes that lie close together: computed by hand."""
    tree = cifar100_tree()
    centers = hierarchical_centers(tree, 99)
    coarse = {fine: name for name, members in tree.items() for fine in members}
    for x, y in itertools.combinations(range(100), 2):
        same = coarse[x] == coarse[y]
        # Radii sqrt(50) twice. Within: 2 * 50 * 5/4 = 125. Across: 2 * 100 - 2 * (-50 / 19).
        squared = 125.0 if same else 200.0 + 100.0 / 19.0
        assert np.sum((centers[x] - centers[y]) ** 2) == pytest.approx(squared, abs=1e-9)


@pytest.mark.parametrize(
    ("tree", "arguments", "message"),
    [
        (0, {}, "class ids 0..K-1, K >= 2; received 1 ids"),
        ([0, [1, 1]], {}, "received 1 twice"),
        ([0, [1, 3]], {}, "received 3 ids from 0 to 3"),
        ([1, 2], {}, "received 2 ids from 1 to 2"),
        ([0, -1], {}, "received 2 ids from -1 to 0"),
        ([0, [1]], {}, r"at least two children; received \[1\]"),
        ([], {}, r"at least two children; received \[\]"),
        ({"a": 0, "b": {}}, {}, r"at least two children; received \{\}"),
        ([0, "cat"], {}, "received 'cat' of type str.*Replace class names by their ids"),
        ([0, 1.0], {}, "received 1.0 of type float"),
        ([False, True], {}, "of type bool"),
        ([0, [1, 2]], {"dim": 1}, "3 classes needs dim >= 2.*received dim=1"),
        ([0, [1, 2]], {"dim": 2.5}, "`dim`.*received 2.5"),
        ([0, [1, 2]], {"scale": -1.0}, "`scale`.*received -1.0"),
        ([0, [1, 2]], {"radii": [1.0]}, r"must hold 2 numbers.*received \[1.0\]"),
        ([0, [1, 2]], {"radii": ["a", "b"]}, "must hold 2 numbers"),
        ([0, [1, 2]], {"radii": [1.0, 0.0]}, "must be positive and finite"),
        ([0, [1, 2]], {"radii": [1.0, float("nan")]}, "must be positive and finite"),
    ],
)
def test_bad_trees_and_arguments(tree, arguments, message):
    """Fails if a malformed tree gives centers, or the error does not say what is wrong."""
    with pytest.raises(ValueError, match=message):
        hierarchical_centers(tree, **{"dim": 8, **arguments})

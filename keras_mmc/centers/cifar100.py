"""The classes of CIFAR-100: which five fine classes make up each of the twenty superclasses."""

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

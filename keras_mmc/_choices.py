"""Names to choose from, apart from what they stand for, so that a help text needs no Keras."""

DATASETS = ("digits", "mnist", "fashion_mnist", "cifar10", "cifar100")
MODELS = ("small_cnn", "lenet5", "resnet_v1", "resnet_v2", "preact_resnet18", "wide_resnet")
PROTOCOLS = ("gce", "mmc", "differential", "emr")
BLACK_BOX = "black_box"
SUITES = ("quick", "standard", "adaptive", *PROTOCOLS, BLACK_BOX)

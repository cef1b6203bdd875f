"""Arguments that once ended in an error of Python or TensorFlow, or took all memory."""

import numpy as np

from keras_mmc.attacks import FGSM, Ball
from tests.evaluation.conftest import make_report
from tests.fuzz_entries import binary, network

SCORES, LABELS = np.zeros((3, 4), "float32"), np.zeros(3, int)
IMAGES, BALL = np.zeros((3, 4, 4, 1), "float32"), Ball(0.1)
OBJECTS = np.array([{}, None], dtype=object)
SHAPE = (4, 4, 1)

FOUND: dict[str, list[dict]] = {
    "centers.max_mahalanobis_centers": [
        {"num_classes": 200_000, "dim": 256, "scale": 10.0, "seed": 0},
        {"num_classes": 3, "dim": 10**30, "scale": 10.0, "seed": 0},
        {"num_classes": 3, "dim": 2, "scale": 10**400, "seed": 0},
    ],
    "centers.check_centers": [{"centers": [[1e308, 0.0], [0.0, 1e308]]}],
    "centers.load_centers": [{"path": 0, "scale": None}],
    "centers.save_centers": [{"path": OBJECTS, "centers": np.eye(2)}],
    "layers.DenseWithCenters": [
        {"features": np.zeros((2, 4), "float32"), "num_classes": 2**31, "rate": 0.0}
    ],
    "layers.QuadraticHead": [{"features": np.zeros((2, 4), "float32"), "num_classes": 2**28}],
    "layers.DifferentialHead": [
        {"features": []},
        {"features": np.zeros((0, 1), "complex64")},
    ],
    "layers.best_threshold": [
        {"projections": OBJECTS, "labels": "", "max_false_positive_rate": None}
    ],
    "layers.fit_threshold": [
        {"model": id, "x": IMAGES, "y": LABELS, "batch_size": 1},
        {"model": binary(), "x": np.array(0.0), "y": LABELS, "batch_size": 3},
        {"model": binary(), "x": np.zeros(0), "y": LABELS, "batch_size": 1},
        {"model": binary(), "x": np.zeros((2, 1, 1, 4)), "y": [0, 1], "batch_size": 3},
    ],
    "losses.MMLDALoss": [
        {"y_true": LABELS, "scores": SCORES, "sigma": 1.0, "priors": OBJECTS},
        {"y_true": LABELS, "scores": SCORES, "sigma": 1e200, "priors": None},
    ],
    "losses.mm_lda": [{"y_true": LABELS, "scores": 0, "sigma": 0.0}],
    "losses.center": [{"y_true": LABELS, "scores": SCORES, "pulls": OBJECTS, "weight": 1.0}],
    "losses.guided_complement_entropy": [
        {"y_true": LABELS, "scores": np.array(3, "int8"), "alpha": 1.0}
    ],
    "losses.shell_mmc": [{"y_true": LABELS, "scores": "", "radius": 1.0}],
    "metrics.class_distances": [{"features": id, "labels": 0.0}],
    "objectives.margin": [{"scores": 0, "labels": 0}],
    "objectives.cross_entropy": [{"scores": 2**31, "labels": id}],
    "objectives.nearest_wrong": [{"scores": SCORES, "labels": ""}],
    "objectives.kl": [{"scores": SCORES, "clean_scores": 0}],
    "objectives.squared_probabilities": [
        {"scores": SCORES, "clean_scores": np.zeros((3, 4), "complex64")},
        {"scores": SCORES, "clean_scores": np.zeros((3, 3))},
    ],
    "objectives.get": [{"identifier": {"a": 1}}, {"identifier": OBJECTS}],
    "datasets.info": [{"name": [[1.0]]}],
    "datasets.check_dataset": [{"images": IMAGES, "labels": LABELS, "num_classes": 3, "box": 0}],
    "datasets.balanced_batches": [{"x": -1.5, "y": LABELS, "per_class": 3, "seed": 3}],
    "datasets.working_set": [
        {"model": network(), "x": None, "y": LABELS, "fraction": 1.0, "batch_size": 1},
        {"model": network(), "x": {}, "y": LABELS, "fraction": 1.0, "batch_size": 1},
    ],
    "datasets.crop_and_flip": [{"images": IMAGES, "seed": np.array([1, 2]), "padding": -1}],
    "attacks.APGD": [{"eps": 0.1, "objective": OBJECTS}],
    "attacks.image_seeds": [{"seed": 0, "index": ""}],
    "attacks.misclassified": [{"scores": 0, "y": LABELS}, {"scores": np.zeros((0, 0)), "y": 0}],
    "attacks.named": [{"attacks": 0}],
    "evaluation.audit": [
        {"model": network(), "x": IMAGES, "y": LABELS, "eps": 0.1, "box": None},
        {"model": network(), "x": IMAGES, "y": LABELS, "eps": 0.1, "box": np.float16(3)},
    ],
    "evaluation.robustness_curve": [
        {"model": network(), "x": IMAGES, "y": LABELS, "eps_list": object(), "attack": FGSM(0.1)}
    ],
    "evaluation.wilson_interval": [{"successes": 1, "count": 1, "z": np.ones((2, 2))}],
    "evaluation.fit_temperature": [{"scores": SCORES, "labels": 0}, {"scores": 1j, "labels": 0}],
    "evaluation.expected_calibration_error": [
        {"scores": OBJECTS, "labels": LABELS, "temperature": 1.0, "bins": 3}
    ],
    "evaluation.merge": [{"reports": 0}],
    "evaluation.compare": [
        {"reports": 0.5, "names": None},
        {"reports": [make_report()], "names": OBJECTS},
    ],
    "evaluation.make_suite": [
        {"suite": "black_box", "within": 1, "image_shape": SHAPE, "num_classes": 2},
        {"suite": "standard", "within": BALL, "image_shape": 0, "num_classes": 2},
    ],
    "evaluation.custom_suite": [{"attacks": 0, "within": 0}],
    "evaluation.make_protocol": [{"paper": OBJECTS, "within": BALL, "image_shape": SHAPE}],
    "adapters.to_scores": [{"model": network(), "images": 0}],
}

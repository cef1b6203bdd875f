"""The public names of the package, and arguments for each that fit or fit nowhere."""

import dataclasses
import functools
import math
from collections.abc import Callable

import keras
import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import keras_mmc
from keras_mmc import (
    attacks,
    centers,
    datasets,
    defenses,
    evaluation,
    layers,
    losses,
    metrics,
    objectives,
    regularizers,
)
from keras_mmc._extras import MissingPackageError
from tests.evaluation.conftest import make_report

# Values that fit nowhere, or only by accident.
NUMBERS = st.one_of(
    st.sampled_from([0, 1, -1, 0.0, -0.5, 1e-300, 1e20, 1e308, -1e308, 10**30, 10**400, 2**31]),
    st.sampled_from([math.nan, math.inf, -math.inf, True, np.float16(3), np.int8(-1), 1j]),
    st.floats(width=32),
)
DTYPES = st.sampled_from(["float32", "float64", "float16", "int8", "int64", "uint8", "bool", "U3"])
SHAPES = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)
ARRAYS = st.one_of(
    hnp.arrays(DTYPES, SHAPES),
    hnp.arrays("float64", SHAPES, elements=st.sampled_from([0.0, 1.0, np.nan, np.inf, 1e308])),
    hnp.arrays("complex64", SHAPES),
    st.just(np.array([{}, None], dtype=object)),
)
OTHER = st.sampled_from([None, "", "text", b"\x00", {}, {"a": 1}, [], (), [[1.0], [2.0, 3.0]]])
ODD = st.one_of(NUMBERS, ARRAYS, OTHER, st.builds(object), st.just(id))
SMALL = st.floats(-8, 8, width=16)


def array(shape, elements=SMALL, dtype="float32"):
    """Arrays that fit."""
    return hnp.arrays(dtype, shape, elements=elements)


def labels(count, classes=3):
    return st.lists(st.integers(0, classes - 1), min_size=count, max_size=count).map(np.array)


@functools.cache
def network():
    """A tiny classifier of images `(4, 4, 1)` in three classes."""
    keras.utils.set_random_seed(0)
    head = keras_mmc.MaxMahalanobisCenters(3)
    return keras.Sequential(
        [keras.Input((4, 4, 1)), keras.layers.Flatten(), keras.layers.Dense(5), head]
    )


@functools.cache
def binary():
    """A tiny model that ends in the head of differential training."""
    head = layers.DifferentialHead()
    return keras.Sequential([keras.Input((4, 4, 1)), keras.layers.Flatten(), head])


@dataclasses.dataclass(frozen=True)
class Entry:
    """How a public name is called: arguments that fit, what is done with the answer.

    `finite` says of which arguments that fit the answer must be finite: of all of them.
    """

    call: Callable
    fitting: dict[str, st.SearchStrategy]
    finite: bool = False
    also: tuple[type[Exception], ...] = ()
    keep: tuple[str, ...] = ()  # arguments that are never odd, as they are functions of Python


IMAGES = array((3, 4, 4, 1), st.floats(0, 1, width=16))
SCORES, LABELS = array((3, 4)), labels(3, 4)
POSITIVE, COUNTS = st.floats(1e-3, 10), st.integers(1, 3)
SIZES = {"num_classes": st.integers(2, 5), "dim": st.integers(2, 5), "scale": POSITIVE}
SIZES |= {"seed": st.integers(0, 3)}
CENTERS = array((3, 4), dtype="float64")
NORMS = st.sampled_from(["linf", "l2", np.inf, 2])
BOXES = st.sampled_from([(0.0, 1.0), (-1.0, 1.0), (0, 255)])
EPS = st.floats(0, 1)
GOALS = st.sampled_from(["margin", "dlr", "cross_entropy", "targeted_margin", id])
MODEL, BINARY = st.builds(network), st.builds(binary)
PATHS = st.sampled_from(["none.npy", "none.mat", "c.txt", "", "/", "\0.npy", "a" * 300 + ".npy"])
TWO = {"y_true": LABELS, "scores": SCORES}
PAIR = {"scores": SCORES, "labels": LABELS}
TARGETED = {**PAIR, "targets": LABELS}
MOVED = {"scores": SCORES, "clean_scores": SCORES}


def head(cls):
    """Makes a head and calls it on features."""

    def call(features, **arguments):
        return cls(**arguments)(features)

    return call


def loss(cls):
    """Makes a loss and calls it on labels and scores."""

    def call(y_true, scores, **arguments):
        return cls(**arguments)(y_true, scores)

    return call


def metric(cls):
    def call(y_true, scores, **arguments):
        made = cls(**arguments)
        made.update_state(y_true, scores)
        return made.result()

    return call


def attack(cls, **own):
    shared = {"eps": EPS, "steps": COUNTS, "norm": NORMS, "box": BOXES, "objective": GOALS}
    shared |= {"targeted": st.booleans(), "restarts": COUNTS, "num_targets": COUNTS}
    shared |= {"step_size": st.none() | POSITIVE, "random_start": st.booleans() | POSITIVE}
    names = [field.name for field in dataclasses.fields(cls) if field.init]
    return Entry(cls, {name: shared[name] for name in names if name in shared} | own)


ENTRIES = {
    "centers.check_centers": Entry(centers.check_centers, {"centers": CENTERS}, True),
    "centers.gram_report": Entry(
        lambda centers: dataclasses.astuple(keras_mmc.centers.gram_report(centers)),
        {"centers": CENTERS},
        True,
    ),
    "centers.minimum_angle": Entry(centers.minimum_angle, {"centers": CENTERS}, True),
    "centers.max_mahalanobis_centers": Entry(centers.max_mahalanobis_centers, SIZES, True),
    "centers.random_centers": Entry(centers.random_centers, SIZES, True),
    "centers.spherical_code": Entry(
        centers.spherical_code, SIZES | {"num_classes": st.integers(4, 6)}, True
    ),
    "centers.hierarchical_centers": Entry(
        centers.hierarchical_centers,
        {
            "tree": st.sampled_from([[0, 1, 2], {"a": [0, 1], "b": [2, 3]}, [[0], 1], [0, 0]]),
            "dim": st.integers(1, 5),
            "scale": POSITIVE,
            "radii": st.none() | array((2,), st.floats(0.125, 4, width=16)),
        },
        True,
    ),
    "centers.load_centers": Entry(
        centers.load_centers,
        {"path": PATHS, "scale": st.none() | POSITIVE},
        also=(OSError,),
    ),
    "centers.save_centers": Entry(
        centers.save_centers,
        {"path": PATHS.filter(lambda p: p[:4] != "none"), "centers": CENTERS},
        also=(OSError,),
    ),
    "layers.MaxMahalanobisCenters": Entry(
        head(layers.MaxMahalanobisCenters),
        {
            "features": array((2, 4)),
            "num_classes": st.integers(2, 5),
            "scale": POSITIVE,
            "centers": st.none(),
            "seed": COUNTS,
        },
        True,
    ),
    "layers.ElasticCenters": Entry(
        head(layers.ElasticCenters),
        {"features": array((2, 4)), "num_classes": COUNTS, "alpha": POSITIVE, "scale": POSITIVE},
        True,
    ),
    "layers.LearnedCenters": Entry(
        head(layers.LearnedCenters), {"features": array((2, 4)), "num_classes": COUNTS}, True
    ),
    "layers.QuadraticHead": Entry(
        head(layers.QuadraticHead), {"features": array((2, 4)), "num_classes": COUNTS}, True
    ),
    "layers.DenseWithCenters": Entry(
        head(layers.DenseWithCenters),
        {"features": array((2, 4)), "num_classes": COUNTS, "rate": st.floats(0, 1)},
        True,
    ),
    "layers.DifferentialHead": Entry(
        head(layers.DifferentialHead), {"features": array((2, 4))}, True
    ),
    "layers.best_threshold": Entry(
        layers.best_threshold,
        {
            "projections": array((4,)),
            "labels": labels(4, 2),
            "max_false_positive_rate": st.none() | st.floats(0, 0.9),
        },
        True,
    ),
    "layers.fit_threshold": Entry(
        layers.fit_threshold,
        {"model": BINARY, "x": IMAGES, "y": labels(3, 2), "batch_size": COUNTS},
        True,
    ),
    "losses.CenterLoss": Entry(losses.CenterLoss, {"weight": POSITIVE}),
    "losses.ComplementEntropy": Entry(loss(losses.ComplementEntropy), TWO, True),
    "losses.DifferentialLoss": Entry(loss(losses.DifferentialLoss), TWO, True),
    "losses.ElasticMMCLoss": Entry(loss(losses.ElasticMMCLoss), TWO, True),
    "losses.GuidedComplementEntropy": Entry(
        loss(losses.GuidedComplementEntropy),
        TWO | {"alpha": POSITIVE, "guard": st.sampled_from(["none", "released"])},
        True,
    ),
    "losses.LGMLoss": Entry(
        loss(losses.LGMLoss), TWO | {"margin": POSITIVE, "weight": POSITIVE}, True
    ),
    "losses.MMCLoss": Entry(
        loss(losses.MMCLoss), {"y_true": labels(3), "scores": SCORES, "centers": CENTERS}, True
    ),
    "losses.MMLDALoss": Entry(
        loss(losses.MMLDALoss),
        TWO | {"sigma": POSITIVE, "priors": st.none(), "label_smoothing": st.floats(0, 0.5)},
        True,
    ),
    "losses.ShellMMCLoss": Entry(loss(losses.ShellMMCLoss), TWO | {"radius": POSITIVE}, True),
    "losses.center": Entry(losses.center, TWO | {"pulls": array((3, 4)), "weight": POSITIVE}, True),
    "losses.complement_entropy": Entry(losses.complement_entropy, TWO, True),
    "losses.differential": Entry(losses.differential, TWO, True),
    "losses.guided_complement_entropy": Entry(
        losses.guided_complement_entropy, TWO | {"alpha": POSITIVE}, True
    ),
    "losses.label_distribution": Entry(
        losses.label_distribution, {"labels": LABELS, "scores": SCORES}, True
    ),
    "losses.lgm": Entry(losses.lgm, TWO | {"margin": POSITIVE, "weight": POSITIVE}, True),
    "losses.mm_lda": Entry(losses.mm_lda, TWO | {"sigma": POSITIVE}, True),
    "losses.mmc": Entry(losses.mmc, TWO, True),
    "losses.shell_mmc": Entry(losses.shell_mmc, TWO | {"radius": POSITIVE}, True),
    "metrics.CenterDensity": Entry(metric(metrics.CenterDensity), TWO | {"radius": POSITIVE}, True),
    "metrics.CenterDistance": Entry(metric(metrics.CenterDistance), TWO, True),
    "metrics.NearestCenterMargin": Entry(metric(metrics.NearestCenterMargin), TWO, True),
    "metrics.class_distances": Entry(
        metrics.class_distances, {"features": array((3, 2)), "labels": LABELS}, True
    ),
    **{
        f"objectives.{name}": Entry(getattr(objectives, name), PAIR, True)
        for name in ("margin", "distance", "nearest_wrong", "cross_entropy", "log_odds", "dlr")
    },
    **{
        f"objectives.targeted_{name}": Entry(
            getattr(objectives, f"targeted_{name}"), TARGETED, True
        )
        for name in ("margin", "distance", "cross_entropy", "dlr")
    },
    **{
        f"objectives.{name}": Entry(getattr(objectives, name), MOVED, True)
        for name in ("kl", "squared_probabilities", "squared_scores")
    },
    "objectives.training_loss": Entry(
        lambda loss, scores, labels: objectives.training_loss(loss)(scores, labels),
        {"loss": st.builds(losses.MMCLoss), **PAIR},
        True,
        keep=("loss",),
    ),
    "objectives.get": Entry(objectives.get, {"identifier": GOALS}),
    "objectives.for_goal": Entry(
        objectives.for_goal, {"identifier": GOALS, "targeted": st.booleans()}
    ),
    "datasets.to_arrays": Entry(
        datasets.to_arrays, {"data": IMAGES | st.tuples(IMAGES, labels(3)), "y": st.none()}
    ),
    "datasets.check_dataset": Entry(
        datasets.check_dataset,
        {"images": IMAGES, "labels": labels(3), "num_classes": st.just(3), "box": BOXES},
        True,
    ),
    "datasets.batches": Entry(
        lambda **arguments: next(iter(datasets.batches(**arguments)), None),
        {
            "images": IMAGES,
            "labels": labels(3),
            "num_classes": st.just(3),
            "batch_size": COUNTS,
            "shuffle": st.booleans(),
            "augment": st.booleans(),
            "seed": COUNTS,
            "box": BOXES,
        },
        True,
    ),
    "datasets.balanced_batches": Entry(
        lambda **arguments: next(iter(datasets.balanced_batches(**arguments))),
        {"x": IMAGES, "y": labels(3), "per_class": COUNTS, "seed": COUNTS},
        True,
    ),
    "datasets.shuffled_epochs": Entry(
        lambda **arguments: next(iter(datasets.shuffled_epochs(**arguments).starting())),
        {
            "images": IMAGES,
            "labels": labels(3),
            "num_classes": st.just(3),
            "batch_size": COUNTS,
            "augment": st.booleans(),
            "seed": COUNTS,
            "box": BOXES,
        },
        True,
    ),
    "datasets.balanced_epochs": Entry(
        lambda **arguments: next(iter(datasets.balanced_epochs(**arguments).starting())),
        {"x": IMAGES, "y": labels(3), "per_class": COUNTS, "seed": COUNTS},
        True,
    ),
    "datasets.crop_and_flip": Entry(
        datasets.crop_and_flip,
        {"images": IMAGES, "seed": st.just(np.array([1, 2])), "padding": COUNTS},
        True,
    ),
    "datasets.info": Entry(datasets.info, {"name": st.just("digits")}),
    "datasets.load": Entry(
        datasets.load,
        {
            "name": st.just("digits"),
            "split": st.just("test"),
            "batch_size": COUNTS,
            "augment": st.just(False),
            "seed": COUNTS,
        },
        also=(MissingPackageError,),
    ),
    "datasets.load_arrays": Entry(
        datasets.load_arrays,
        {"name": st.just("digits"), "split": st.just("train"), "seed": COUNTS},
        also=(MissingPackageError,),
    ),
    "datasets.working_set": Entry(
        datasets.working_set,
        {"model": MODEL, "x": IMAGES, "y": labels(3), "fraction": EPS, "batch_size": COUNTS},
        True,
    ),
    "attacks.APGD": attack(attacks.APGD),
    "attacks.AutoAttack": attack(attacks.AutoAttack, version=st.just("standard")),
    "attacks.BIM": attack(attacks.BIM),
    "attacks.Ball": attack(attacks.Ball),
    "attacks.CarliniWagner": attack(attacks.CarliniWagner, learning_rate=POSITIVE, confidence=EPS),
    "attacks.DeepFool": attack(attacks.DeepFool, overshoot=EPS),
    "attacks.EAD": attack(attacks.EAD, learning_rate=POSITIVE, beta=EPS),
    "attacks.FAB": attack(attacks.FAB),
    "attacks.FGSM": attack(attacks.FGSM),
    "attacks.GaussianNoise": attack(attacks.GaussianNoise, sigma=st.none()),
    "attacks.JSMA": attack(attacks.JSMA, theta=POSITIVE, gamma=EPS),
    "attacks.MIM": attack(attacks.MIM, decay=EPS),
    "attacks.MultiTargeted": attack(attacks.MultiTargeted),
    "attacks.NearestWrongCenter": attack(attacks.NearestWrongCenter),
    "attacks.PGD": attack(attacks.PGD),
    "attacks.RandomRotation": attack(attacks.RandomRotation, max_degrees=POSITIVE),
    "attacks.RayS": attack(attacks.RayS, queries=COUNTS),
    "attacks.Rotation": attack(attacks.Rotation, max_degrees=POSITIVE),
    "attacks.SPSA": attack(attacks.SPSA, learning_rate=POSITIVE, delta=POSITIVE, samples=COUNTS),
    "attacks.Square": attack(attacks.Square, queries=COUNTS),
    "attacks.Transfer": Entry(
        attacks.Transfer, {"attack": st.just(attacks.FGSM(0.1)), "substitute": MODEL}
    ),
    "attacks.Runner": Entry(attacks.Runner, {"model": MODEL, "batch_size": COUNTS, "seed": COUNTS}),
    "attacks.image_seeds": Entry(
        attacks.image_seeds, {"seed": COUNTS, "index": st.just([0, 1])}, True
    ),
    "attacks.misclassified": Entry(attacks.misclassified, {"scores": SCORES, "y": LABELS}, True),
    "attacks.named": Entry(attacks.named, {"attacks": st.just([attacks.FGSM(0.1)])}),
    "attacks.reached": Entry(attacks.reached, {"scores": SCORES, "targets": LABELS}, True),
    "evaluation.robustness_curve": Entry(
        lambda **arguments: evaluation.robustness_curve(**arguments).accuracy,
        {
            "model": MODEL,
            "x": IMAGES,
            "y": labels(3),
            "eps_list": st.just([0]),
            "attack": st.just(attacks.FGSM(0.1)),
            "batch_size": COUNTS,
            "seed": COUNTS,
        },
        True,
    ),
    "evaluation.audit": Entry(
        lambda **arguments: evaluation.audit(**arguments, verbose=0).robust_accuracy,
        {
            "model": MODEL,
            "x": st.just(np.zeros((0, 4, 4, 1), "float32")),  # refused after all other checks
            "y": labels(0),
            "eps": EPS,
            "suite": st.sampled_from(["quick", "standard"]),
            "norm": NORMS,
            "box": BOXES,
            "queries": st.none(),
            "substitute": st.none(),
            "rejection": st.none(),
            "batch_size": COUNTS,
            "seed": COUNTS,
        },
    ),
    "evaluation.wilson_interval": Entry(
        evaluation.wilson_interval, {"successes": st.just(1), "count": COUNTS, "z": POSITIVE}, True
    ),
    "evaluation.fit_temperature": Entry(
        evaluation.fit_temperature, {"scores": SCORES, "labels": LABELS}, True
    ),
    "evaluation.expected_calibration_error": Entry(
        evaluation.expected_calibration_error,
        {"scores": SCORES, "labels": LABELS, "temperature": POSITIVE, "bins": COUNTS},
        True,
    ),
    "evaluation.zero_gradient_fraction": Entry(
        evaluation.zero_gradient_fraction, {"model": MODEL, "x": IMAGES, "y": labels(3)}, True
    ),
    "evaluation.merge": Entry(
        evaluation.merge, {"reports": st.builds(lambda: [make_report()] * 2)}
    ),
    "evaluation.compare": Entry(
        evaluation.compare, {"reports": st.builds(lambda: [make_report()] * 2), "names": st.none()}
    ),
    "evaluation.make_suite": Entry(
        evaluation.make_suite,
        {
            "suite": st.sampled_from(evaluation.SUITES),
            "within": st.builds(attacks.Ball, st.just(0.1)),
            "image_shape": st.just((4, 4, 1)),
            "num_classes": st.integers(2, 5),
            "queries": st.none(),
        },
    ),
    "evaluation.custom_suite": Entry(
        evaluation.custom_suite,
        {
            "attacks": st.just([attacks.FGSM(0.1)]),
            "within": st.builds(attacks.Ball, st.just(0.1)),
        },
    ),
    "evaluation.make_protocol": Entry(
        evaluation.make_protocol,
        {
            "paper": st.sampled_from(["gce", "mmc"]),
            "within": st.builds(attacks.Ball, st.just(0.1)),
            "image_shape": st.just((4, 4, 1)),
        },
    ),
    **{
        f"defenses.{name}": Entry(
            getattr(defenses, name), {"attack": st.just(attacks.PGD(0.1)), **own}
        )
        for name, own in {
            "AdversarialTraining": {"clean_fraction": st.floats(0, 0.9)},
            "BinaryTRADES": {"beta": POSITIVE},
            "MART": {"beta": POSITIVE, "temperature": st.none() | POSITIVE},
            "TRADES": {"beta": POSITIVE, "temperature": st.none() | POSITIVE},
            "DifferentialTraining": {},
        }.items()
    },
    "defenses.MAIL": Entry(
        defenses.MAIL,
        {
            "defense": st.just(defenses.TRADES(attacks.PGD(0.1))),
            "slope": st.none() | POSITIVE,
            "burn_in": st.integers(0, 3),
            "temperature": st.none() | POSITIVE,
        },
    ),
    "defenses.ComplementTraining": Entry(
        defenses.ComplementTraining, {"gamma": POSITIVE, "single_step": st.booleans()}
    ),
    "defenses.FastAdversarialTraining": Entry(
        defenses.FastAdversarialTraining, {"eps": EPS, "step_size": POSITIVE, "box": BOXES}
    ),
    "defenses.FreeAdversarialTraining": Entry(
        defenses.FreeAdversarialTraining, {"eps": EPS, "replays": COUNTS, "box": BOXES}
    ),
    "regularizers.AdversarialWeightPerturbation": Entry(
        regularizers.AdversarialWeightPerturbation,
        {"gamma": POSITIVE, "start_epoch": st.integers(0, 3)},
    ),
    "regularizers.EffectiveMarginRegularizer": Entry(
        regularizers.EffectiveMarginRegularizer,
        {"weight": POSITIVE, "temperature": POSITIVE, "reference_batch": COUNTS},
    ),
    "regularizers.InputGradientPenalty": Entry(
        regularizers.InputGradientPenalty, {"weight": POSITIVE, "objective": GOALS}
    ),
    "adapters.BlackBox": Entry(
        keras_mmc.adapters.BlackBox, {"predict": st.just(id), "num_classes": st.integers(2, 5)}
    ),
    "adapters.to_scores": Entry(
        keras_mmc.to_scores, {"model": MODEL, "images": IMAGES}, keep=("model",)
    ),
}

# Public names without an entry, and why.
EXEMPT = {
    "made by the package, not by its users": """
        attacks.AttackResult attacks.AutoAttackResult attacks.Broken centers.GramReport
        datasets.DatasetInfo datasets.Epochs training.Interrupted evaluation.FinishedShard
        defenses.SampleLosses defenses.StepContext evaluation.AttackRow
        evaluation.AttackTable evaluation.AuditReport evaluation.BinarizationResult
        evaluation.ClassRow evaluation.Comparison evaluation.ComparisonRow evaluation.Detection
        evaluation.DetectionAUC evaluation.Diagnostic evaluation.MinimalPerturbations
        evaluation.PerClass evaluation.Protocol evaluation.Rejection evaluation.RobustnessCurve
        evaluation.Suite evaluation.TradeOff evaluation.TransferMatrix evaluation.Trial
        evaluation.TrialRow metrics.ClassDistances""",
    "no function or class": """
        centers.CIFAR100_COARSE evaluation.SUITES serving.REASONS adapters.BlackBoxError""",
    "takes no arguments": """
        callbacks.StopOnNonFinite centers.cifar100_tree defenses.StandardTraining""",
    "a base class": """
        attacks.Attack attacks.BallAttack attacks.PenaltyAttack defenses.AttackDefense
        defenses.Defense layers.ScoreHead losses.ScoreLoss regularizers.Regularizer""",
    "takes functions of the user or tensors of a training step": """
        attacks.CleverHans attacks.score_function defenses.CleverHansTraining
        evaluation.effective_margins regularizers.effective_weight_penalty
        regularizers.input_gradient_penalty regularizers.squared_gradient
        regularizers.weight_perturbations""",
    "takes seconds an example": """
        evaluation.attack_table evaluation.audit_on_ray evaluation.audit_shard
        evaluation.binarization_test evaluation.calibrate_rejection
        evaluation.detection_auc evaluation.minimal_perturbations evaluation.transfer_matrix
        evaluation.EffectiveMargin evaluation.EffectiveWeightNorm
        models.lenet5 models.preact_resnet18 models.resnet_v1 models.resnet_v2 models.small_cnn
        models.wide_resnet""",
    "reads or writes what other runtimes do": """
        adapters.from_saved_model adapters.from_tflite adapters.replace_head serving.export_litert
        serving.export_onnx serving.export_openvino serving.export_saved_model plotting.audit_page
        plotting.audit_summary plotting.plot_curves plotting.plot_features""",
    "trains, or watches training": """
        callbacks.AdversarialImages callbacks.BestRobustCheckpoint callbacks.DecayRegularizer
        callbacks.LogEffectiveMargin callbacks.RobustAccuracy
        callbacks.StopOnCatastrophicOverfitting distribution.strategy
        training.AdversarialModel training.resumable_fit""",
}

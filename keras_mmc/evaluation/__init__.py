"""Audits that are hard to fool."""

from keras_mmc.evaluation.attack_table import AttackTable, attack_table
from keras_mmc.evaluation.audit import audit
from keras_mmc.evaluation.binarization import BinarizationResult, binarization_test
from keras_mmc.evaluation.calibrate_rejection import calibrate_rejection
from keras_mmc.evaluation.calibration import expected_calibration_error, fit_temperature
from keras_mmc.evaluation.comparison import Comparison, ComparisonRow, compare
from keras_mmc.evaluation.detection_auc import DetectionAUC, detection_auc
from keras_mmc.evaluation.diagnostics import zero_gradient_fraction
from keras_mmc.evaluation.effective_margin import (
    EffectiveMargin,
    EffectiveWeightNorm,
    effective_margins,
)
from keras_mmc.evaluation.intervals import wilson_interval
from keras_mmc.evaluation.merge import merge
from keras_mmc.evaluation.minimal_perturbations import (
    MinimalPerturbations,
    minimal_perturbations,
)
from keras_mmc.evaluation.per_class import ClassRow, PerClass
from keras_mmc.evaluation.protocols import Protocol, Trial, make_protocol
from keras_mmc.evaluation.ray_workers import audit_on_ray
from keras_mmc.evaluation.rejection import Rejection, TradeOff
from keras_mmc.evaluation.report import AuditReport
from keras_mmc.evaluation.robustness_curve import RobustnessCurve, robustness_curve
from keras_mmc.evaluation.rows import AttackRow, Detection, Diagnostic, TrialRow
from keras_mmc.evaluation.shard import FinishedShard, audit_shard
from keras_mmc.evaluation.suites import SUITES, Suite, custom_suite, make_suite
from keras_mmc.evaluation.transfer_matrix import TransferMatrix, transfer_matrix

__all__ = [
    "SUITES",
    "AttackRow",
    "AttackTable",
    "AuditReport",
    "BinarizationResult",
    "ClassRow",
    "Comparison",
    "ComparisonRow",
    "Detection",
    "DetectionAUC",
    "Diagnostic",
    "EffectiveMargin",
    "EffectiveWeightNorm",
    "FinishedShard",
    "MinimalPerturbations",
    "PerClass",
    "Protocol",
    "Rejection",
    "RobustnessCurve",
    "Suite",
    "TradeOff",
    "TransferMatrix",
    "Trial",
    "TrialRow",
    "attack_table",
    "audit",
    "audit_on_ray",
    "audit_shard",
    "binarization_test",
    "calibrate_rejection",
    "compare",
    "custom_suite",
    "detection_auc",
    "effective_margins",
    "expected_calibration_error",
    "fit_temperature",
    "make_protocol",
    "make_suite",
    "merge",
    "minimal_perturbations",
    "robustness_curve",
    "transfer_matrix",
    "wilson_interval",
    "zero_gradient_fraction",
]

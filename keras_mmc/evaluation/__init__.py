"""Audits that are hard to fool."""

from keras_mmc.evaluation.audit import audit
from keras_mmc.evaluation.diagnostics import zero_gradient_fraction
from keras_mmc.evaluation.intervals import wilson_interval
from keras_mmc.evaluation.result import AttackRow, AuditReport

__all__ = [
    "AttackRow",
    "AuditReport",
    "audit",
    "wilson_interval",
    "zero_gradient_fraction",
]

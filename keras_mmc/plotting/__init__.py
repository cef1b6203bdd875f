"""Pictures and reports: functions of plain data."""

from keras_mmc.plotting.audit_page import audit_page, audit_summary
from keras_mmc.plotting.curves import plot_curves
from keras_mmc.plotting.features import plot_features

__all__ = ["audit_page", "audit_summary", "plot_curves", "plot_features"]

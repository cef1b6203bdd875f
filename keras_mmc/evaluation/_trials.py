"""The attacks of a paper, each run on its own."""

import numpy as np

from keras_mmc.adapters import BlackBoxError
from keras_mmc.attacks import Ball, Runner, misclassified
from keras_mmc.evaluation.checkpoint import DamagedStateError
from keras_mmc.evaluation.protocols import Trial
from keras_mmc.evaluation.rows import TrialRow


def said(error: Exception) -> str:
    """What an attack that failed leaves in its row; what is no fault of the attack is raised."""
    if isinstance(error, (OSError, DamagedStateError, BlackBoxError)):
        raise error
    return f"{type(error).__name__}: {error}"


def standing(trial: Trial, labels: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """The images `(n,)` that an attack of a paper runs on: the first, as far as they are right."""
    limit = min(trial.limit or len(labels), len(labels))
    return np.flatnonzero(~misclassified(scores[:limit], labels[:limit]).numpy())


def trial_row(
    runner: Runner, name: str, trial: Trial, x: np.ndarray, labels: np.ndarray, scores: np.ndarray
) -> TrialRow:
    """One attack of a paper on the images that are classified correctly as they are."""
    limit = min(trial.limit or len(x), len(x))
    rows = standing(trial, labels, scores)
    known = name, repr(trial.attack), trial.source, limit, len(rows)
    try:
        broken = runner.run(trial.attack, x, labels, rows, name=name, early_stop=trial.early_stop)
    except Exception as error:
        return TrialRow(*known, None, None, None, 0.0, said(error))
    successes = len(broken.rows)
    l2 = Ball(0.0, "l2", trial.attack.box).sizes(broken.x_adv, x[broken.rows])
    return TrialRow(
        *known,
        accuracy=(len(rows) - successes) / limit,
        success_rate=successes / len(rows) if len(rows) else None,
        mean_l2=float(l2.mean()) if successes else None,
        seconds=broken.seconds,
    )

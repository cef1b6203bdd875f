"""What every loss of scores and labels shares: dtype, label checks and serialization."""

import keras
from keras import ops

from keras_mmc._labels import check_labels, concrete


class ScoreLoss(keras.losses.Loss):
    """Base class of losses that are functions of labels and scores `(N, K)`.

    A subclass implements `call(y_true, scores)` and returns one value per sample; reduction and
    sample weights are Keras'. Labels may be integers `(N,)` or `(N, 1)`, or one-hot rows `(N, K)`.

    Losses compute in float32 or wider, also when a 16-bit `dtype` is asked for: labels above 256
    are not representable in bfloat16, and `1/2 ||z - mu||^2` overflows float16 from a distance of
    363 on.

    Args:
        name: name of the loss.
        reduction: as in `keras.losses.Loss`.
        dtype: dtype of the computation; 16-bit dtypes are widened to float32.
    """

    def __init__(self, name, reduction="sum_over_batch_size", dtype=None):
        super().__init__(name=name, reduction=reduction, dtype=_at_least_float32(dtype))

    def __call__(self, y_true, y_pred, sample_weight=None):
        labels = concrete(y_true)
        scores = ops.shape(y_pred)
        if len(scores) != 2:
            raise ValueError(
                f"{type(self).__name__} expects scores of shape (N, K); received shape "
                f"{tuple(scores)}. Give the model one output per class and no further axes."
            )
        if labels is not None:
            check_labels(labels, self._num_classes(y_pred))
        return super().__call__(y_true, y_pred, sample_weight)

    def _num_classes(self, y_pred):
        return y_pred.shape[-1]

    def get_config(self):
        return {**super().get_config(), "dtype": self.dtype}


def softmax_cross_entropy(targets, logits):
    """Softmax cross-entropy `-sum_k t_k log softmax(logits)_k`, one value per sample `(N,)`."""
    return -ops.sum(targets * ops.log_softmax(logits, axis=-1), axis=-1)


def check_positive(name, value, loss):
    """Refuse a loss parameter that is not a finite number above 0."""
    check_number(name, value, loss, above=0.0)


def check_number(name, value, loss, above=None, at_least=None, below=None):
    """Refuse a loss parameter outside its range, naming the loss and the range."""
    ok = isinstance(value, (int, float)) and abs(value) != float("inf") and value == value
    ok = ok and (above is None or value > above)
    ok = ok and (at_least is None or value >= at_least)
    ok = ok and (below is None or value < below)
    if not ok:
        bounds = [("> ", above), (">= ", at_least), ("< ", below)]
        expected = " and ".join(f"{sign}{bound:g}" for sign, bound in bounds if bound is not None)
        raise ValueError(
            f"{loss}: `{name}` must be a finite number {expected}; received {value!r}."
        )


def _at_least_float32(dtype):
    policy = keras.dtype_policies.get(dtype or keras.config.floatx())
    return "float32" if policy.compute_dtype in ("float16", "bfloat16") else policy.compute_dtype

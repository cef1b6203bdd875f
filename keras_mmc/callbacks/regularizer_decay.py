"""The weight of the regularizer follows the learning rate."""

import keras

from keras_mmc._validation import check_number
from keras_mmc.training import AdversarialModel


class DecayRegularizer(keras.callbacks.Callback):
    """Scales the penalty of an `AdversarialModel`'s regularizer as the learning rate falls.

    At the first batch of every epoch `model.regularizer_scale` becomes the learning rate divided by
    the initial one: where the rate drops to a tenth, so does the weight of the penalty, as in the
    effective margin recipes. The rate may come from a schedule of the optimizer or from another
    callback, anywhere in the list.

    Args:
        initial_learning_rate: the rate at which the scale is 1; `None` takes that of the first
            batch, divided by the scale of a model that was saved in training. Pass it where
            training resumes in the very epoch of a drop.

    Raises:
        ValueError: if `initial_learning_rate` is not above 0; in `fit`, for a model without a
            regularizer, or a learning rate or scale of 0 to begin with.

    Source: Liu & Chan, BMVC 2022, arXiv 2210.05118, the released code.

    Example:
    >>> plateau = keras.callbacks.ReduceLROnPlateau("val_robust_accuracy", mode="max")
    >>> robust.fit(train, validation_data=val, epochs=100,
    ...            callbacks=[plateau, keras_mmc.callbacks.DecayRegularizer()])
    """

    def __init__(self, initial_learning_rate: float | None = None):
        super().__init__()
        self.initial_learning_rate = initial_learning_rate
        if initial_learning_rate is not None:
            check_number(self, "initial_learning_rate", initial_learning_rate, above=0)

    def on_train_begin(self, logs=None):
        if not isinstance(self.model, AdversarialModel) or self.model.regularizer is None:
            raise ValueError(
                "DecayRegularizer needs an AdversarialModel with a regularizer; received "
                f"{self.model!r}. Pass a `regularizer` to AdversarialModel, or leave the callback "
                "out."
            )
        self._initial = self.initial_learning_rate

    def on_train_batch_begin(self, batch, logs=None):
        if batch != 0:
            return  # the rate of this epoch is known once every callback has seen it begin
        rate = float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate))
        scale = float(self.model.regularizer_scale.numpy())
        if self._initial is None:
            if not (rate > 0 and scale > 0):
                raise ValueError(
                    "DecayRegularizer compares with the learning rate of the first batch, which is "
                    f"{rate:g}, at `regularizer_scale` {scale:g}. Pass `initial_learning_rate`."
                )
            self._initial = rate / scale
        self.model.regularizer_scale.assign(rate / self._initial)

"""A function of images, asked and never looked into, as a model that attacks take."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_mmc._backend import Tensor
from keras_mmc._validation import check_choice, check_count
from keras_mmc.adapters._answers import KINDS, LABELS, kind_of, scores_of

NO_GRADIENTS = (
    "A black box answers and has no gradients. Use an attack that needs none, such as Square, "
    "RayS, SPSA or Transfer, or `audit(..., suite='black_box')`."
)


class BlackBoxError(RuntimeError):
    """A call of a black box that failed, or that answered something else than expected."""


class BlackBox(keras.layers.Layer):
    """A function from NumPy images to scores, probabilities or labels, as a model to attack.

    The function may be anything: a SavedModel, a TFLite file, a service behind HTTP. It is called
    in Python, outside graphs, with float32 images `(n, ...)` for n up to the batch size, a copy
    that it may change, and returns

    * scores `(n, K)`, or one logit `(n, 1)` or `(n,)`, that of class 1: taken as they are;
    * probabilities `(n, K)`, or one `(n, 1)` or `(n,)`: their logarithms are the scores;
    * labels `(n,)`, integers: their score is 0, that of all other classes -1. Attacks that need to
      know how sure the model is, such as Square, find nothing there; `RayS` needs labels alone.

    The first answer tells which, and the later ones must be alike: integers are labels; rows in
    [0, 1] that sum to 1, or single numbers in [0, 1], are probabilities.

    Args:
        predict: the function; one of labels, scores or probabilities, or a Keras model.
        num_classes: number of classes K; needed if it returns labels.
        returns: `"scores"`, `"probabilities"` or `"labels"`, where the first answer could be
            mistaken.
        digest: SHA-256 of what answers, for reports and to tell audits apart; `None` if there is
            none, as for a service.

    Attributes:
        calls: number of calls of the function so far.
        queries: number of images it was asked about so far; an image asked twice counts twice.

    Raises:
        ValueError: if an argument does not fit; in a call, inside a graph or for a gradient.
        BlackBoxError: in a call, if the function fails, or returns NaN or anything that does not
            fit. It says which call that was.

    Example:
    >>> def predict(images):
    ...     answer = requests.post(url, json={"instances": images.tolist()})
    ...     return np.array(answer.json()["predictions"])
    >>> box = keras_mmc.adapters.BlackBox(predict)
    >>> x_adv = keras_mmc.attacks.Square(8 / 255, queries=500)(box, x_test, y_test)
    >>> box.queries / len(x_test)
    """

    def __init__(
        self,
        predict: Callable[[np.ndarray], Any],
        num_classes: int | None = None,
        *,
        returns: str | None = None,
        digest: str | None = None,
    ):
        super().__init__(trainable=False, dtype="float32")
        if not callable(predict):
            raise ValueError(
                "BlackBox: `predict` must be a function from NumPy images (n, ...) to scores "
                f"(n, K), probabilities or labels; received {predict!r}."
            )
        if num_classes is not None:
            num_classes = check_count(self, "num_classes", num_classes, least=2)
        if returns is not None:
            check_choice(self, "returns", returns, KINDS)
        # Not an attribute itself: weights of a Keras model would become those of this layer.
        self._ask = lambda images: predict(images)
        self.num_classes = num_classes
        self.returns = returns
        self.digest = digest
        self.calls = self.queries = 0

    @property
    def labels_only(self) -> bool:
        """Whether it returns labels; known after the first answer, or from `returns`."""
        return self.returns == LABELS

    def __call__(self, images: Any, training: bool = False) -> Tensor:
        """Scores `(n, K)`, float32, of images `(n, ...)`.

        `training` is there as attacks name it to models; nothing is ever trained here.
        """
        # Keras' own __call__ would wrap the errors of the function.
        try:
            numbers = np.asarray(ops.convert_to_numpy(images), "float32")
        except (AttributeError, NotImplementedError, ValueError) as error:
            raise ValueError(
                "A black box is a Python function: it answers outside graphs only, and has no "
                "gradients. Call an attack without gradients, `attack(black_box, x, y)`, or use a "
                "Runner; both ask it eagerly."
            ) from error

        @ops.custom_gradient
        def answered(_: Tensor) -> tuple[Tensor, Callable]:
            return ops.convert_to_tensor(self._scores(numbers)), _refuse

        return answered(ops.convert_to_tensor(images))

    def _scores(self, images: np.ndarray) -> np.ndarray:
        if not len(images) and self.num_classes is not None:
            return np.zeros((0, self.num_classes), "float32")
        self.calls += 1
        self.queries += len(images)
        asked = f"Call {self.calls} of the black box, {len(images)} images, failed: "
        try:
            answer = np.asarray(self._ask(np.array(images)))
        except Exception as error:
            raise BlackBoxError(f"{asked}{type(error).__name__}: {error}") from error
        kind = self.returns
        try:
            if kind is None and answer.dtype.kind in "iubf":
                kind = kind_of(answer)
            scores = scores_of(answer, len(images), kind or "scores", self.num_classes)
        except ValueError as error:
            raise BlackBoxError(f"{asked}{error}.") from error
        self.returns, self.num_classes = kind, scores.shape[1]
        return scores


def _refuse(*_: Any, **__: Any) -> None:
    raise ValueError(NO_GRADIENTS)

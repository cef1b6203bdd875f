"""A Keras model whose training step attacks itself."""

import inspect
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from keras_mmc import objectives
from keras_mmc._backend import require_tensorflow
from keras_mmc.adapters.structure import softmax_temperature
from keras_mmc.attacks import Attack, misclassified
from keras_mmc.defenses import Defense, StandardTraining, StepContext
from keras_mmc.defenses.base import properties_of
from keras_mmc.regularizers import Regularizer
from keras_mmc.training import _batch, _checks
from keras_mmc.training._counts import ImageCounts
from keras_mmc.training._distributed import DistributedModel, to_be_averaged
from keras_mmc.training._epochs import CountEpochs
from keras_mmc.training._features import FeaturePasses, feature_loss
from keras_mmc.training._replicas import part_of, replicas
from keras_mmc.training._step import WeightUpdate

require_tensorflow("keras_mmc.training")

# Files of 0.1.0 hold two counts of images between the three variables of today.
_STATE_OF_0_1_0 = 5
_PARTS = ("model", "defense", "regularizer", "validation_attack")


@keras.saving.register_keras_serializable("keras_mmc")
class AdversarialModel(DistributedModel):
    """A classifier in training with a defense; `robust.model` is the plain classifier.

    Everything runs in one graph: the attack, in inference mode, the loss of the defense around
    the compiled loss, the regularizer and the optimizer step. `fit` reports

    - `loss`: the loss that is minimized,
    - `robust_accuracy`: accuracy on the adversarial examples of the training attack,
    - the compiled metrics on clean images, where the defense computes their scores,
    - `val_loss` and the compiled metrics on clean validation images, and `val_robust_accuracy`
      under `validation_attack`, for `EarlyStopping` and `ModelCheckpoint` with `mode="max"`.

    Images with a pixel that is not finite or outside the box, or with a label outside
    `[0, num_classes)`, a last batch of one image and batches whose gradient is not finite are not
    trained on; `fit` warns with their number after each epoch. NumPy images are refused before
    training; of a `tf.data.Dataset` only training images are checked.

    Args:
        model: a built Keras model from images `(N, ...)` to scores `(N, K)`, without softmax.
        defense: one of `keras_mmc.defenses`; `None` trains without an attack.
        regularizer: one of `keras_mmc.regularizers`, or `None`.
        validation_attack: attack of `val_robust_accuracy`, run once without restarts; `None` takes
            20 steps of PGD on the margin in the ball of the defense's attack, if it has one.
        attack_in_training_mode: whether the training attack sees batch normalization and dropout
            in training mode, as some published code does; it then moves the running statistics.
        seed: integer, seed of the attacks.
        **options: `name`, as for every Keras model.

    Raises:
        ValueError: for a model that is not built, is random at inference or returns probabilities;
            in `compile`, for a loss that the defense or the head does not admit; in `fit`, for
            NumPy images outside the box or not finite, for batches of one image, or if no image of
            an epoch could be used.

    Example:
    >>> defense = keras_mmc.defenses.TRADES(keras_mmc.attacks.PGD(8 / 255, steps=10), beta=6.0)
    >>> robust = keras_mmc.AdversarialModel(model, defense)
    >>> robust.compile(optimizer="sgd", loss=keras_mmc.MMCLoss(), metrics=["accuracy"])
    >>> robust.fit(train, validation_data=val, epochs=10)
    >>> robust.model.save("classifier.keras")
    """

    def __init__(
        self,
        model: keras.Model,
        defense: Defense | None = None,
        regularizer: Regularizer | None = None,
        validation_attack: Attack | None = None,
        *,
        attack_in_training_mode: bool = False,
        seed: int = 0,
        **options: Any,
    ):
        defense = StandardTraining() if defense is None else defense
        _checks.check_parts(defense, regularizer, validation_attack)
        if validation_attack is None:
            validation_attack = _checks.validation_attack_of(defense)
        box = _checks.check_boxes(defense, validation_attack)
        image_shape, num_classes = _checks.check_classifier(model, box)
        options.setdefault("name", f"adversarial_{model.name}")
        super().__init__(autocast=False, dtype=model.dtype_policy, **options)
        self.model, self.defense, self.regularizer = model, defense, regularizer
        self._image_shape, self._num_classes = image_shape, num_classes
        self.active_defense = defense.at_epoch(0)  # what the training step is made of
        self.validation_attack = validation_attack
        self.attack_in_training_mode = attack_in_training_mode
        self.seed, self.box = seed, box
        self.second_optimizer: keras.optimizers.Optimizer | None = None
        self.robust_accuracy = keras.metrics.Mean("robust_accuracy")
        self.epoch = self._state("epoch", "only_first_replica")
        self.batches = self._state("batches", "only_first_replica")
        self.regularizer_scale = self._state("regularizer_scale", None, "ones", "float32")
        self.counts = ImageCounts()
        self.built = True

    def _state(self, name, aggregation, initial="zeros", dtype="int64"):
        # Counts are int64, as Keras': TensorFlow keeps int32 variables off the GPU.
        options = {"trainable": False, "aggregation": aggregation, "name": name}
        return self.add_weight((), initial, dtype, **options)

    def call(self, inputs: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """Scores `(N, K)` of images."""
        return self.model(inputs, training=training)

    @property
    def input_shape(self) -> tuple:
        return (None, *self._image_shape)

    @property
    def output_shape(self) -> tuple:
        return (None, self._num_classes)

    @property
    def optimizers(self) -> list[keras.optimizers.Optimizer]:
        """The compiled optimizer, and the second one of a defense that takes two."""
        return [self.optimizer] + ([self.second_optimizer] if self.second_optimizer else [])

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """As `keras.Model.compile`; the loss must be one of scores that the defense admits."""
        given = inspect.signature(super().compile).bind(*args, **kwargs).arguments
        if given.get("loss_weights"):
            raise ValueError(
                "`loss_weights` weigh several losses; an AdversarialModel has one. Leave them out."
            )
        _checks.check_metrics([given.get("metrics"), given.get("weighted_metrics")])
        super().compile(*args, **kwargs)
        loss = _checks.check_loss(self.loss)
        _checks.check_head(loss, self.model)
        self.defense.check(loss, self._num_classes)
        self._temperature = softmax_temperature(self.model)
        self._per_sample_loss = objectives.training_loss(loss)
        self._feature_loss = feature_loss(loss, self.model)
        if self.defense.num_optimizers > 1:
            second = type(self.optimizer).from_config(self.optimizer.get_config())
            second.learning_rate = lambda: self.optimizer.learning_rate
            second.build(self.model.trainable_variables)
            self.second_optimizer = second

    def compile_from_config(self, config):
        # Of a loaded model; the state of its optimizers follows.
        self.compile(**keras.saving.deserialize_keras_object(config))
        self.optimizer.build(self.model.trainable_variables)

    def fit(self, *args: Any, **kwargs: Any) -> keras.callbacks.History:
        """As `keras.Model.fit`; refuses data, to train or validate on, that do not fit the box.

        Arrays are looked at altogether, of a data set the first batch; a batch may be a dict of
        `"image"` and `"label"`.
        """
        call = inspect.signature(super().fit).bind(*args, **kwargs)
        x, y = call.arguments.get("x"), call.arguments.get("y")
        _checks.check_data(x, y, self.box, self._num_classes)
        self._check_validation(call.arguments.get("validation_data"))
        callbacks = call.arguments.get("callbacks")
        if isinstance(callbacks, keras.callbacks.CallbackList):
            raise ValueError(
                "AdversarialModel.fit adds a callback: pass `callbacks` as a list, no CallbackList."
            )
        callbacks = [callback for callback in keras.tree.flatten(callbacks) if callback]
        call.arguments["callbacks"] = [CountEpochs(), *callbacks]
        return super().fit(*call.args, **call.kwargs)

    def evaluate(self, x: Any = None, y: Any = None, **kwargs: Any) -> Any:
        """As `keras.Model.evaluate`; refuses data as `fit` does."""
        if not kwargs.get("_use_cached_eval_dataset", False):  # of `fit`, which has looked at it
            _checks.check_data(x, y, self.box, self._num_classes)
        return super().evaluate(x, y, **kwargs)

    def train_on_batch(self, x: Any, y: Any = None, *args: Any, **kwargs: Any) -> Any:
        """As `keras.Model.train_on_batch`; refuses data as `fit` does."""
        _checks.check_data(x, y, self.box, self._num_classes)
        return super().train_on_batch(x, y, *args, **kwargs)

    def test_on_batch(self, x: Any, y: Any = None, *args: Any, **kwargs: Any) -> Any:
        """As `keras.Model.test_on_batch`; refuses data as `fit` does."""
        _checks.check_data(x, y, self.box, self._num_classes)
        return super().test_on_batch(x, y, *args, **kwargs)

    def export(self, filepath: Any, *args: Any, **kwargs: Any) -> None:
        """As `keras.Model.export`, of the plain classifier."""
        self.model.export(filepath, *args, **kwargs)

    def _check_validation(self, data):
        if data is not None:
            x, y = data[:2] if isinstance(data, (tuple, list)) else (data, None)
            _checks.check_data(x, y, self.box, self._num_classes)

    def train_step(self, data: Any) -> dict[str, Any]:
        x, y, sample_weight = _batch.tensors_of(data, self.box)
        in_pairs = properties_of(self.loss).pairwise
        batch = _batch.keep_usable(x, y, sample_weight, self.box, self._num_classes, in_pairs)
        self.batches.assign_add(1)
        self.counts.add_batch(batch.count, batch.unusable)
        pulled = self._feature_loss
        passes = FeaturePasses(pulled, batch) if pulled else None
        context = self._context(batch, part_of(x), passes)
        update = WeightUpdate(self, batch, passes)
        losses = self.active_defense.update(context, batch.x, batch.y, update)
        rows = batch.x, losses.clean, losses.adversarial, batch.y, batch.weight
        return self._report(y, *rows)

    def test_step(self, data: Any) -> dict[str, Any]:
        x, y, sample_weight = _batch.tensors_of(data, self.box)
        part = part_of(x)
        images, labels, weight = _batch.all_of(x, y, sample_weight, self.box)
        if self._feature_loss is not None:
            scores, loss = self._feature_loss.mean(images, labels, weight)
            loss += sum(self.losses)
        elif replicas() > 1 and properties_of(self.loss).pairwise:
            scores = self.model(images, training=False)
            values = part.in_pairs(self._per_sample_loss)(scores, labels)
            loss = tf.reduce_mean(weight * values) + sum(self.losses)
        else:
            scores = self.model(images, training=False)
            loss = self.compute_loss(images, labels, scores, weight, training=False) * replicas()
        self.loss_tracker.update_state(loss, sample_weight=part.size)
        ids, adversarial = _batch.label_ids(labels, scores.shape[-1]), None
        if self.validation_attack is not None:
            score_fn, seed = self.score_fn(False), tf.constant([self.seed, 0])
            index = part.numbers(images)
            x_adv = self.validation_attack.generate(score_fn, images, ids, seed, index=index)
            adversarial = score_fn(x_adv)
        return self._report(y, images, scores, adversarial, ids, weight)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        # Keras builds a model under a distribution strategy with it.
        if self._feature_loss is not None:
            return self._feature_loss.mean(x, y, sample_weight)[1]
        return super().compute_loss(x, y, y_pred, sample_weight, training)

    def _context(self, batch, part, passes):
        more_than_scores = passes and passes.scored
        if replicas() > 1 and properties_of(self.loss).pairwise:
            more_than_scores = self._scored_in_pairs(batch, part)
        return StepContext(
            scores=self.score_fn(True),
            attacked=self.score_fn(self.attack_in_training_mode),
            loss=lambda scores: self._per_sample_loss(scores, batch.targets),
            epoch=tf.cast(self.epoch + 0, tf.int32),
            temperature=self._temperature,
            seed=tf.stack([self.seed, tf.cast(self.batches + 0, tf.int32)]),
            index=part.numbers(batch.targets),
            mean=batch.mean,
            more_than_scores=more_than_scores,
        )

    def _scored_in_pairs(self, batch, part):
        def scored(x):
            scores = self.score_fn(True)(x)
            return scores, part.in_pairs(self._per_sample_loss)(scores, batch.targets)

        return scored

    def score_fn(self, training: bool) -> Callable[[tf.Tensor], tf.Tensor]:
        """The function from images to scores `(N, K)`, float32, in training or inference mode."""
        return lambda x: tf.cast(self.model(x, training=training), tf.float32)

    def _report(self, y, *rows):
        """The logs: the loss, the compiled metrics of clean scores, the robust accuracy.

        `y` are the labels as they came, `rows` images, scores of clean images and of adversarial
        examples, `None` if there are none, labels, and sample weights or `None`.
        """
        x, clean, adversarial, ids, weight = (_batch.as_many(part, y) for part in rows)
        if clean is None:
            # Keras wants its metrics built. They are left out: these are no scores of clean images.
            self.compute_metrics(x, y, adversarial, sample_weight=tf.zeros(tf.shape(ids)))
            logs = {"loss": self.loss_tracker.result()}
        else:
            logs = self.compute_metrics(x, y, clean, sample_weight=weight)
            del logs["robust_accuracy"]
        if adversarial is not None:
            correct = tf.cast(~misclassified(adversarial, ids), tf.float32)
            self.robust_accuracy.update_state(correct, sample_weight=weight)
            logs["robust_accuracy"] = self.robust_accuracy.result()
        return to_be_averaged(logs)

    def load_own_variables(self, store):
        if len(store) == _STATE_OF_0_1_0:
            store = {str(number): store[key] for number, key in enumerate(("0", "1", "4"))}
        super().load_own_variables(store)

    def get_config(self):
        serialize = keras.saving.serialize_keras_object
        parts = {part: serialize(getattr(self, part)) for part in _PARTS}
        plain = ("attack_in_training_mode", "seed", "name")
        return parts | {name: getattr(self, name) for name in plain}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        deserialize = keras.saving.deserialize_keras_object
        return cls(**config | {part: deserialize(config[part], custom_objects) for part in _PARTS})

"""A Keras model whose training step attacks itself."""

import inspect

import keras
import numpy as np
import tensorflow as tf

from keras_mmc import objectives
from keras_mmc._backend import require_tensorflow
from keras_mmc._validation import is_number
from keras_mmc.attacks import PGD, Attack, checks
from keras_mmc.attacks.base import misclassified
from keras_mmc.defenses import Defense, Learner, StandardTraining
from keras_mmc.defenses.base import ball_of, check_attack_in_graph
from keras_mmc.losses import DifferentialLoss
from keras_mmc.regularizers import Regularizer
from keras_mmc.training.classifier import (
    check_classifier,
    check_head,
    check_loss,
    softmax_temperature,
)
from keras_mmc.training.descent import Descent, replicas
from keras_mmc.training.epochs import CountEpochs
from keras_mmc.training.samples import is_one_hot, keep_usable, label_ids

require_tensorflow("keras_mmc.training")


@keras.saving.register_keras_serializable("keras_mmc")
class AdversarialModel(keras.Model):
    """A classifier in training with a defence; `robust.model` is the plain classifier.

    Everything runs in one graph: the attack, in inference mode, the loss of the defence around
    the compiled loss, the regularizer and the optimizer step. `fit` reports

    - `loss`: the loss that is minimised,
    - `robust_accuracy`: accuracy at the points of the training attack,
    - the compiled metrics, on clean images, where the defence computes their scores,
    - `val_loss` and the compiled metrics on clean validation images, and `val_robust_accuracy`
      under `validation_attack`; with `mode="max"` it drives Keras' `EarlyStopping` and
      `ModelCheckpoint`.

    Images with a pixel that is not finite or outside the box, or with a label outside
    `[0, num_classes)`, a last batch of one image and batches whose gradient is not finite are not
    trained on; `fit` warns with their number after each epoch. NumPy images are looked at before
    training and refused; of a `tf.data.Dataset` only training images are checked.

    Args:
        model: a built Keras model from images `(N, ...)` to scores `(N, K)`, without softmax.
        defense: one of `keras_mmc.defenses`; `None` for training without an attack.
        regularizer: one of `keras_mmc.regularizers`, or `None`.
        validation_attack: attack of `val_robust_accuracy`, in its training view: one run of a fixed
            number of steps, so `restarts` do not count; `None` takes 20 steps of PGD on the margin
            in the ball of the defence's attack, if it has one.
        attack_in_training_mode: whether the training attack sees batch normalisation and dropout
            in training mode, as some published code does; it then moves the running statistics.
        seed: integer, seed of the attacks.
        **options: `name`, as for every Keras model.

    Raises:
        ValueError: for a model that is not built, is random at inference or returns
            probabilities; in `compile`, for a loss that the defence or the head does not admit; in
            `fit`, for NumPy images outside the box or not finite, for batches of one image, or if
            no image of an epoch could be used.

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
        **options,
    ):
        defense = StandardTraining() if defense is None else defense
        _check_type("defense", defense, Defense, "defenses.AdversarialTraining(...)")
        _check_type("regularizer", regularizer, (Regularizer, type(None)), "regularizers")
        if validation_attack is None:
            validation_attack = _validation_attack(defense.attack)
        else:
            check_attack_in_graph("AdversarialModel, validation_attack", validation_attack)
        attack = defense.attack or validation_attack
        box = (0.0, 1.0) if attack is None else attack.box
        check_classifier(model, box)
        options.setdefault("name", f"adversarial_{model.name}")
        super().__init__(autocast=False, dtype=model.dtype_policy, **options)
        self.model = model
        self.defense = defense
        self.regularizer = regularizer
        self.validation_attack = validation_attack
        self.attack_in_training_mode = attack_in_training_mode
        self.seed = seed
        self.box = box
        self.second_optimizer = None
        self.robust_accuracy = keras.metrics.Mean("robust_accuracy")
        self.epoch = self._counter("epoch", "only_first_replica")
        self.batches = self._counter("batches", "only_first_replica")
        self.used = self._counter("used", "sum")
        self.skipped = self._counter("skipped", "sum")
        self.regularizer_scale = self.add_weight(
            name="regularizer_scale", shape=(), initializer="ones", trainable=False, dtype="float32"
        )
        self.built = True

    def _counter(self, name, aggregation):
        return self.add_weight(
            name=name,
            shape=(),
            initializer="zeros",
            dtype="int64",  # as Keras counts: TensorFlow keeps int32 variables off the GPU
            trainable=False,
            aggregation=aggregation,
        )

    def call(self, inputs, training=None):
        """Scores `(N, K)` of images."""
        return self.model(inputs, training=training)

    def compile(self, *args, **kwargs):
        """As `keras.Model.compile`; the loss must be one of scores that the defence admits."""
        if inspect.signature(super().compile).bind(*args, **kwargs).arguments.get("loss_weights"):
            raise ValueError(
                "`loss_weights` weigh several losses; an AdversarialModel has one. Leave them out."
            )
        super().compile(*args, **kwargs)
        loss = check_loss(self.loss)
        check_head(loss, self.model)
        self.defense.check(loss, self.model.output_shape[-1])
        self._temperature = softmax_temperature(self.model)
        self._per_sample_loss = objectives.training_loss(loss)
        if self.defense.needs_second_optimizer:
            self.second_optimizer = type(self.optimizer).from_config(self.optimizer.get_config())
            self.second_optimizer.learning_rate = lambda: self.optimizer.learning_rate
            self.second_optimizer.build(self.model.trainable_variables)

    def compile_from_config(self, config):
        """Compile a loaded model as it was, the state of its optimizers to follow."""
        self.compile(**keras.saving.deserialize_keras_object(config))
        self.optimizer.build(self.model.trainable_variables)

    def fit(self, *args, **kwargs):
        """As `keras.Model.fit`; refuses NumPy images, to train or validate on, outside the box."""
        call = inspect.signature(super().fit).bind(*args, **kwargs)
        x = call.arguments.get("x")
        if isinstance(x, np.ndarray):
            checks.check_images(x, self.box)
        validation = call.arguments.get("validation_data")
        if isinstance(validation, tuple) and isinstance(validation[0], np.ndarray):
            checks.check_images(validation[0], self.box)
        callbacks = call.arguments.get("callbacks")
        if isinstance(callbacks, keras.callbacks.CallbackList):
            raise ValueError(
                "AdversarialModel.fit adds a callback of its own; pass `callbacks` as a list "
                "instead of a CallbackList."
            )
        callbacks = [callback for callback in keras.tree.flatten(callbacks) if callback]
        call.arguments["callbacks"] = [CountEpochs(), *callbacks]
        return super().fit(*call.args, **call.kwargs)

    def train_step(self, data):
        """One batch: attack, loss, gradients and update."""
        x, y, sample_weight = _tensors(data)
        num_classes = self.model.output_shape[-1]
        in_pairs = isinstance(self.loss, DifferentialLoss)
        batch = keep_usable(x, y, sample_weight, self.box, num_classes, in_pairs)
        ids, weight = batch.y, batch.weight
        self.batches.assign_add(1)
        self.used.assign_add(batch.count)
        self.skipped.assign_add(tf.size(ids, tf.int64) - batch.count)
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        seed = tf.stack([tf.cast(self.batches + 0, tf.int32), self.seed + replica])
        learner = self._learner(y if is_one_hot(y, num_classes) else ids)
        losses = self.defense.update(learner, batch.x, ids, seed, Descent(self, batch))
        reported = {}
        if losses.adversarial is not None:
            self._update_robust_accuracy(losses.adversarial, ids, weight)
            reported["robust_accuracy"] = self.robust_accuracy.result()
        if losses.clean is not None:
            return self._all_metrics(batch.x, y, losses.clean, weight) | reported
        # Keras wants its metrics built. They are left out: these are no scores of clean images.
        self.compute_metrics(batch.x, y, losses.adversarial, sample_weight=0 * weight)
        return {"loss": self.loss_tracker.result(), **reported}

    def test_step(self, data):
        """One batch: the compiled metrics on clean images, and the accuracy under attack."""
        x, y, sample_weight = _tensors(data)
        scores = self.model(x, training=False)
        loss = self.compute_loss(x, y, scores, sample_weight, training=False)
        self.loss_tracker.update_state(loss * replicas(), sample_weight=tf.shape(x)[0])
        if self.validation_attack is None:
            return self._all_metrics(x, y, scores, sample_weight)
        ids = label_ids(y, scores.shape[-1])
        seed = tf.constant([self.seed, 0])
        points = self.validation_attack.generate(self.score_fn(False), x, ids, seed)
        self._update_robust_accuracy(self.score_fn(False)(points), ids, sample_weight)
        reported = {"robust_accuracy": self.robust_accuracy.result()}
        return self._all_metrics(x, y, scores, sample_weight) | reported

    def _learner(self, targets):
        return Learner(
            scores=self.score_fn(True),
            attacked=self.score_fn(self.attack_in_training_mode),
            loss=lambda scores: self._per_sample_loss(scores, targets),
            epoch=tf.cast(self.epoch + 0, tf.int32),
            temperature=self._temperature,
        )

    def score_fn(self, training: bool):
        """The function from images to scores `(N, K)`, float32, in training or inference mode."""
        return lambda x: tf.cast(self.model(x, training=training), tf.float32)

    def _update_robust_accuracy(self, scores, ids, weight):
        right = tf.cast(~misclassified(scores, ids), tf.float32)
        self.robust_accuracy.update_state(right, sample_weight=weight)

    def _all_metrics(self, x, y, scores, weight):
        results = self.compute_metrics(x, y, scores, sample_weight=weight)
        del results["robust_accuracy"]
        return results

    @property
    def loss_tracker(self) -> keras.metrics.Metric:
        """The running mean of the loss that `fit` and `evaluate` show."""
        return next(metric for metric in self.metrics if metric.name == "loss")

    def get_config(self):
        serialize = keras.saving.serialize_keras_object
        return {
            "model": serialize(self.model),
            "defense": serialize(self.defense),
            "regularizer": serialize(self.regularizer),
            "validation_attack": serialize(self.validation_attack),
            "attack_in_training_mode": self.attack_in_training_mode,
            "seed": self.seed,
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """The model that `get_config` described, with fresh weights."""
        parts = ("model", "defense", "regularizer", "validation_attack")
        deserialize = keras.saving.deserialize_keras_object
        return cls(**config | {part: deserialize(config[part], custom_objects) for part in parts})


def _tensors(data):
    """Images, labels and weights as tensors: an eager `train_on_batch` passes arrays on."""
    x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
    return tf.convert_to_tensor(x), tf.convert_to_tensor(y), sample_weight


def _validation_attack(attack):
    if attack is None:
        return None
    eps, norm = ball_of(attack)
    return PGD(eps, steps=20, norm=norm, box=attack.box) if is_number(eps) else None


def _check_type(name, value, expected, example):
    if not isinstance(value, expected):
        raise ValueError(
            f"AdversarialModel: `{name}` must be one of keras_mmc.{example}; received {value!r}."
        )

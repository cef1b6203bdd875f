"""What an `AdversarialModel` asks of its parts and of the compiled loss; all raise `ValueError`."""

import inspect
import warnings
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_mmc import _arrays as arrays
from keras_mmc._validation import check
from keras_mmc.adapters.structure import broken_weights, draw_images, image_shape, last_layer
from keras_mmc.adapters.to_scores import open_model
from keras_mmc.attacks import PGD
from keras_mmc.datasets.to_arrays import first_batch, is_dataset, only_input
from keras_mmc.defenses.base import Defense, check_attack, properties_of
from keras_mmc.layers import ScoreHead
from keras_mmc.regularizers import Regularizer

# Losses of probabilities that have no from_logits.
_OF_PROBABILITIES = ("kl_divergence", "poisson")


def check_parts(defense: Any, regularizer: Any, validation_attack: Any) -> None:
    """Refuses what is no defense, no regularizer or no attack that can run in a graph."""
    owner, example = "AdversarialModel", "one of keras_mmc.defenses, such as StandardTraining()"
    check(owner, "defense", defense, isinstance(defense, Defense), example)
    fits = regularizer is None or isinstance(regularizer, Regularizer)
    check(owner, "regularizer", regularizer, fits, "one of keras_mmc.regularizers, or None")
    if validation_attack is not None:
        check_attack(f"{owner}, validation_attack", validation_attack)


def validation_attack_of(defense: Defense) -> PGD | None:
    """20 steps of PGD on the margin in the ball of the attack of a defense, if it has one."""
    attack = defense.training_attack
    if attack is None or attack.ball is None:
        return None
    return PGD(attack.ball.eps, steps=20, norm=attack.ball.norm, box=attack.ball.box)


def check_classifier(model: keras.Model, box: tuple[float, float]) -> tuple[tuple, int]:
    """The shape of an image and the number of classes of a model that can be attacked in training.

    Refuses, after two forward passes, one that is not built, does not return scores `(N, K)`, or
    is random at inference.
    """
    check("AdversarialModel", "model", model, isinstance(model, keras.Model), "a Keras model")
    extended = tf.distribute.get_strategy().extended
    if not all(extended.variable_created_in_scope(weight.value) for weight in model.weights):
        raise ValueError(
            f"AdversarialModel: the model {model.name!r} was made in the scope of another "
            "`tf.distribute` strategy than this. Make both in the same `with strategy.scope():`."
        )
    shape, draw = image_shape(model), draw_images(model, box)
    if shape is None or draw is None:
        raise ValueError(
            f"AdversarialModel: the model {model.name!r} is not built, so that the shape of its "
            "images is not known. Call it on a batch, or begin it with a keras.Input."
        )
    broken = broken_weights(model)
    if broken:
        raise ValueError(
            f"AdversarialModel: {len(broken)} of {len(model.weights)} weights of {model.name!r} "
            f"hold NaN or infinity, such as {broken[0]!r}. Begin with weights that have not "
            "diverged."
        )
    opened = open_model(model, draw)
    if opened.model is not model:
        reason = " ".join(opened.notes) or "It takes or returns a dict of one tensor."
        raise ValueError(
            f"AdversarialModel trains a model that returns scores (N, K). {reason} "
            "Pass `keras_mmc.to_scores(model)`, which shares its weights."
        )
    images = tf.constant(draw, tf.float32)
    first, second = (keras.ops.convert_to_numpy(model(images, training=False)) for _ in range(2))
    arrays.check_scores(first.astype("float32"))
    if not np.array_equal(first, second):
        raise ValueError(
            f"AdversarialModel: two forward passes of {model.name!r} differ in inference mode. "
            "Attacks need the same scores for the same image: turn random layers off where "
            "training=False."
        )
    return shape, first.shape[1]


def check_boxes(defense: Defense, validation_attack: Any) -> tuple[float, float]:
    """The box that the attacks of training and validation share; `(0, 1)` without an attack."""
    both = [attack for attack in (defense.training_attack, validation_attack) if attack is not None]
    for attack in both:
        if attack.ball is not None and attack.ball.is_tiny:
            warnings.warn(
                f"AdversarialModel: eps={attack.ball.eps:.4g} is less than a thousandth of the box "
                f"{attack.box}: images hardly change. eps is in the units of the images: 8, not "
                "8 / 255, for pixels up to 255.",
                stacklevel=3,
            )
    boxes = [attack.box for attack in both]
    if len(set(boxes)) > 1:
        raise ValueError(
            f"AdversarialModel: training attacks live in the box {boxes[0]}, validation_attack in "
            f"{boxes[1]}. Both see the same images: give both the same `box`, and `eps` in its "
            "units."
        )
    return boxes[0] if boxes else (0.0, 1.0)


def check_data(x: Any, y: Any, box: tuple[float, float], num_classes: int) -> None:
    """Refuses data of which not one image could be used, before an epoch is spent on them.

    Arrays must fit altogether; of a data set the first batch is looked at, and of what can be read
    only once nothing.
    """
    if not is_dataset(x):
        _warn_if_narrow(arrays.check_images(only_input(x), box), box)
        if y is None:
            raise ValueError(
                "AdversarialModel needs a label for every image; received images alone. Pass `y`, "
                "or a data set of (images, labels)."
            )
        _check_numbers(y, num_classes)
        return
    first = first_batch(x)
    if first is None:
        return
    images, labels = first
    if images.dtype.kind in "iub" or not _any_inside(images, box):
        arrays.check_images(images, box)
    _warn_if_narrow(images, box)
    _check_numbers(labels, num_classes)
    known = (labels >= 0) & (labels < num_classes)
    if labels.ndim == 1 and not known.any():
        arrays.check_classes(labels, len(labels), num_classes, "labels")


def _warn_if_narrow(images, box):
    low, high = box
    if images.size and high - low > 2 and images.min() >= 0 and 0 < images.max() <= 1:
        warnings.warn(
            f"The images lie in [0, 1], the box is {box}: attacks take them for nearly black. Pass "
            "pixels as the model takes them, or attacks with `box=(0, 1)`.",
            stacklevel=4,
        )


def _check_numbers(labels, num_classes):
    """Refuses names of classes; which numbers are no class, each batch finds out itself."""
    labels = np.asarray(labels)
    if labels.dtype.kind in "SUO":
        arrays.check_classes(labels, len(labels), num_classes, "labels")


def _any_inside(images, box):
    axes = tuple(range(1, images.ndim))
    return bool(((images >= box[0]) & (images <= box[1])).all(axis=axes).any())


def check_metrics(metrics: Any) -> None:
    """Refuses metrics of the user in whose place an own one would stand."""
    names = [getattr(metric, "name", metric) for metric in keras.tree.flatten(metrics or [])]
    taken = [name for name in ("robust_accuracy", "loss") if name in names]
    if taken:
        raise ValueError(
            f"AdversarialModel reports `{taken[0]}` itself. Give your metric another name."
        )


def check_loss(loss: Any) -> keras.losses.Loss:
    """The compiled loss as a Keras loss that averages a function of scores over the batch."""
    if loss is None or isinstance(loss, (list, tuple, dict)):
        raise ValueError(
            f"An AdversarialModel needs one loss of scores, such as keras_mmc.MMCLoss(); received "
            f"{loss!r}."
        )
    loss = keras.losses.get(loss)
    from_logits = getattr(loss, "from_logits", True)
    if not isinstance(loss, keras.losses.Loss):
        known = inspect.signature(loss).parameters
        from_logits = "from_logits" not in known or known["from_logits"].default
    name = getattr(loss, "name", None) or getattr(loss, "__name__", "")
    if not from_logits or name in _OF_PROBABILITIES:
        raise ValueError(
            f"The loss {loss!r} expects probabilities, but models give scores. Compile with "
            "loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True)."
        )
    reduction = getattr(loss, "reduction", "mean")
    if reduction not in ("sum_over_batch_size", "mean"):
        raise ValueError(
            f"The loss reduces by {reduction!r}; an AdversarialModel averages over the batch, so "
            "that weights of defenses do not depend on its size. Leave `reduction` out."
        )
    return loss


def check_head(loss: keras.losses.Loss, model: keras.Model) -> None:
    """Refuses a loss on a head without what it needs, and a loss with its own centers.

    A loss of distances has no lower bound where there are none, one of offsets or features would
    train without them; and a model for the centers of the loss gives no scores to attack.
    """
    stated, name, last = properties_of(loss), type(loss).__name__, last_layer(model)
    head = last if isinstance(last, ScoreHead) else ScoreHead
    if stated.from_features:
        raise ValueError(
            f"{name}(centers=...) trains features, but attacks need scores. End the model in "
            f"MaxMahalanobisCenters(num_classes, centers=...) and compile with {name}()."
        )
    if stated.needs_distances and not head.gives_distances:
        raise ValueError(
            f"{name} measures distances from centers; on the scores of {type(last).__name__}, the "
            "last layer, it has no lower bound. End the model in MaxMahalanobisCenters or "
            "LearnedCenters."
        )
    if stated.needs_offsets and not head.has_offsets:
        raise ValueError(
            f"{name} trains offsets of centers, and {type(last).__name__}, the last layer, has "
            "none. End the model in ElasticCenters, or compile with MMCLoss()."
        )
    if stated.needs_features and not head.gives_pulls:
        raise ValueError(
            f"{name} needs a classifier and separate centers; {type(last).__name__}, the last "
            "layer, does not hold both. End the model in DenseWithCenters. A model with "
            "LearnedCenters, as CenterLoss had in 0.1.0, trains with "
            "LGMLoss(margin=0, weight=...)."
        )

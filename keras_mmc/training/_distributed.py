"""What `fit` and `evaluate` of Keras need to run under every `tf.distribute` strategy."""

import keras
import tensorflow as tf


class DistributedModel(keras.Model):
    """A Keras model for which parts of a batch may be on replicas, of unequal size, anywhere.

    The methods with a leading underscore are those of Keras' trainer.
    """

    @property
    def loss_tracker(self) -> keras.metrics.Metric:
        """The running mean of the loss that `fit` and `evaluate` show."""
        return next(metric for metric in self.metrics if metric.name == "loss")

    def _maybe_symbolic_build(self, iterator=None, data_batch=None):
        # Keras averages the parts of a batch for it, which fails where they differ in length, and
        # for several workers.
        if iterator is not None and self._distribute_strategy is not None:
            batches = next(iter(iterator))[-1]
            here = self._distribute_strategy.experimental_local_results
            data_batch = keras.tree.map_structure(lambda part: here(part)[0], next(batches))
        super()._maybe_symbolic_build(None, data_batch)

    def _get_metrics_result_or_logs(self, logs):
        # Keras takes the logs of the last step where they are not all metrics; on several replicas
        # those are means of each one's own.
        results = self.get_metrics_result()
        return {name: results.get(name, value) for name, value in logs.items()}


def to_be_averaged(logs: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    """The logs of a step in the shape in which Keras averages them over replicas."""
    strategy = tf.distribute.get_strategy()
    if isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return {name: tf.reshape(value, [1]) for name, value in logs.items()}
    return logs

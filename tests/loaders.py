"""Data sets that are no `tf.data`, as users of Keras hold them."""

import keras
import tensorflow as tf


class InBatches(keras.utils.PyDataset):
    """Three batches by their number."""

    def __init__(self, x, y):
        super().__init__()
        self.x, self.y, self.size = x, y, -(-len(x) // 3)

    def __len__(self):
        return 3

    def __getitem__(self, index):
        part = slice(self.size * index, self.size * (index + 1))
        return self.x[part], self.y[part]


class Loader:
    """Iterates over lists of tensors and has a length, as loaders of other libraries."""

    def __init__(self, x, y):
        self.batches = InBatches(x, y)

    def __len__(self):
        return 3

    def __iter__(self):
        return ([tf.constant(part) for part in self.batches[i]] for i in range(3))

"""Train a classifier with a loss and a defense, beside softmax cross-entropy.

  python examples/train.py --dataset=mnist --epochs=10 --output_dir=runs/mnist

The same as `keras-mmc train`.
"""

from keras_mmc.commands import line, train

if __name__ == "__main__":
    line.run(train)

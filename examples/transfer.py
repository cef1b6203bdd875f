r"""Craft adversarial examples on every model and try them on every model.

  python examples/transfer.py --model=runs/mnist/mmc/model.keras \
      --model=runs/mnist/softmax/model.keras --dataset=mnist --eps=0.1

The same as `keras-mmc transfer`.
"""

from keras_mmc.commands import line, transfer

if __name__ == "__main__":
    line.run(transfer)

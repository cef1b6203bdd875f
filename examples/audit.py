"""Measure how robust trained classifiers are, under weak and under strong attacks.

  python examples/audit.py --model=runs/mnist/mmc/model.keras --dataset=mnist --eps=0.3

The same as `keras-mmc audit`.
"""

from keras_mmc.commands import audit, line

if __name__ == "__main__":
    line.run(audit)

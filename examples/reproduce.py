"""Run an experiment of one of the papers, its figures beside the measured ones.

  python examples/reproduce.py --experiment=gce_mnist --budget=smoke

The same as `keras-mmc reproduce`.
"""

from keras_mmc.commands import line, reproduce

if __name__ == "__main__":
    line.run(reproduce)

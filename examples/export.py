"""Export a trained .keras file as a SavedModel that plain TensorFlow serves.

  python examples/export.py --model=runs/mnist/mmc/model.keras --output_dir=serving/1

The same as `keras-mmc export`.
"""

from keras_mmc.commands import export, line

if __name__ == "__main__":
    line.run(export)

"""`python -m keras_mmc COMMAND --flag=value ...`, the same as `keras-mmc COMMAND ...`."""

from keras_mmc.commands.line import main

if __name__ == "__main__":
    main()

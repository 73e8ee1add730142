"""Where the program stands, and the folder in which it looks for ``datasets/`` and writes ``runs/``."""

from pathlib import Path

PROGRAM = Path(__file__).parents[1]  # the repository, or the installed package microscopy_unet
INSTALLED = __name__ != "system.paths"  # `pip install .` gives every module the prefix microscopy_unet
WORK = Path() if INSTALLED else PROGRAM  # an installed program uses the current folder
TRAIN = "unet-train" if INSTALLED else "python train_and_predict.py"  # the command, for messages
SHIPPED = {file.stem: file for file in sorted((PROGRAM / "weights").glob("*.keras"))}  # networks that have a name

"""The configuration of a run: one frozen object, built once, saved beside the weights; also the command line."""

import argparse
import dataclasses
import types
import typing
from dataclasses import dataclass, field

CHOICES = {
    "upsampling": ("transposed", "nearest"),
    "loss": ("cross_entropy", "dice", "cross_entropy_dice", "focal"),
    "schedule": ("constant", "cosine"),
    "blend": ("linear", "gaussian"),
    "split": ("independent", "shuffled"),
    "labels": ("gold", "silver", "both"),
    "device": ("auto", "cpu", "gpu"),
    "precision": ("auto", "float32", "bfloat16"),
}

COUNTS = ("filters", "depth", "epochs", "steps", "batch_size", "tile", "patience", "smoothing", "prediction_tile", "channels")


def option(default, help_text):
    """A field of the configuration with its line of ``--help``."""
    return field(default=default, metadata={"help": help_text})


@dataclass(frozen=True)
class Config:
    """Everything that decides what a run does. Raises ValueError for values that cannot work, alone or together."""

    recipe: str = option("dsb", "the data set and what is peculiar to it")
    data: str | None = option(None, "folder or zip file with the images (default: datasets/<recipe>, else simulated images)")
    output: str | None = option(None, "folder of this run, must not exist (default: runs/<recipe>/<date-time>)")
    seed: int = option(0, "of the split, the weights' first values and every random draw")

    validation_share: float = option(0.15, "share of the images that chooses the best epoch and the threshold (validation)")
    test_share: float = option(0.2, "share of the images that is kept for the report (test)")
    hold_out: str | None = option(None, "sample, sequence or block of slices kept for the report; all: each in turn")
    split: str = option("independent", "independent: what is alike stays together; shuffled: only to show what a leak does")
    train_images: int | None = option(None, "fit to so many of the images only, for a learning curve")
    labels: str = option("both", "Cell Tracking labels: gold (by hand), silver (computed), or gold where there are any")
    channels: int = option(1, "channels the network sees: 1 (colour becomes gray) or 3")
    classes: int = option(2, "2 = objects against background; more = class numbers in the masks")
    image_scale: float = option(1.0, "factor on height and width of every image")
    pixel_size: float | None = option(None, "µm per px, for measurements (default: what the TIFF files say)")
    border: int = option(0, "px along objects' edges that are a class of their own, so that touching ones come apart; 0 = none")
    distance: bool = option(
        False, "the network learns beside the mask how deep pixels lie in their object, for the same purpose"
    )

    filters: int = option(32, "feature maps of the first block (the U-Net paper: 64)")
    depth: int = option(4, "number of poolings")
    dropout: float = option(0.5, "share dropped at the bottom")
    normalisation: bool = option(True, "batch normalisation after each convolution")
    upsampling: str = option("transposed", "how the way up enlarges")

    epochs: int = option(50, "at most; early stopping may end before")
    steps: int = option(60, "batches per epoch")
    batch_size: int = option(8, "tiles per batch, over all GPUs together")
    tile: int = option(256, "height and width of a training tile, px")
    overlap: int = option(64, "pixels that neighbouring training tiles share at least")
    learning_rate: float = option(1e-3, "of Adam, at the start")
    schedule: str = option("cosine", "how the learning rate falls over the epochs")
    patience: int = option(20, "epochs without a better Dice on the validation set before training stops")
    smoothing: int = option(
        1, "epochs whose mean Dice on the validation set is compared to choose the best; 1 = each for itself"
    )
    loss: str = option("cross_entropy_dice", "what training minimises")
    border_weights: bool = option(False, "weigh the gaps between touching objects, as the U-Net paper does")
    augment: float = option(1.0, "strength of the augmentation, 0 (off) to 1")

    prediction_tile: int = option(1024, "height and width of a tile at prediction, px; smaller needs less memory")
    tta: int = option(1, "turned and mirrored tta of an image whose predictions are averaged, 1 to 8; each costs time")
    blend: str = option("linear", "how overlapping predictions are blended")

    nodes: str | None = option(
        None,
        "machines that train together, under KERAS_BACKEND=jax: host:port/count/number, e.g. 10.0.0.1:5000/2/0; auto: as srun "
        "or the mpirun of Open MPI 4 says, with one process for each GPU",
    )
    device: str = option("auto", "auto: all GPUs there are, else the CPU")
    precision: str = option("auto", "auto: bfloat16 compute where the hardware has it; weights stay float32")
    workers: int = option(2, "processes that prepare batches; 0 = the main process")

    def __post_init__(self):
        for name, choices in CHOICES.items():
            if getattr(self, name) not in choices:
                raise ValueError(f"{flag(name)} is {getattr(self, name)!r}; choose one of {', '.join(choices)}.")
        for name in COUNTS:
            if getattr(self, name) < 1:
                raise ValueError(f"{flag(name)} is {getattr(self, name)}; it must be at least 1.")
        for name in ("train_images", "pixel_size"):
            if getattr(self, name) is not None and not 0 < getattr(self, name) < float("inf"):
                raise ValueError(f"{flag(name)} is {getattr(self, name)}; it must be above 0.")
        for name in ("learning_rate", "image_scale"):
            if not 0 < getattr(self, name) < float("inf"):
                raise ValueError(f"{flag(name)} is {getattr(self, name)}; it must be above 0.")
        for name in ("augment", "dropout", "validation_share", "test_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{flag(name)} is {getattr(self, name)}; it must be from 0 to 1.")
        self._check_together()

    def _check_together(self):
        if not 1 <= self.tta <= 8:
            raise ValueError(f"--tta is {self.tta}; an image has 8 turned and mirrored tta, so it must be from 1 to 8.")
        if min(self.seed, self.workers, self.border) < 0:
            raise ValueError("--seed, --workers and --border must be 0 or more.")
        if (self.border or self.distance) and self.classes > 2:
            raise ValueError(
                f"--classes {self.classes} with --border or --distance, which divide touching objects of one kind: not with "
                "more than two classes; turn them off by --border 0 and --no-distance."
            )
        if self.border and self.distance:
            raise ValueError(
                "--border and --distance are two ways to divide touching objects; turn one off by --border 0 or --no-distance."
            )
        if not 2 <= self.classes <= 256:
            raise ValueError(f"--classes is {self.classes}; background counts as one, so it must be from 2 to 256.")
        if self.validation_share == 0 or self.test_share == 0 or self.validation_share + self.test_share >= 1:
            raise ValueError(
                f"--validation-share {self.validation_share} and --test-share {self.test_share} must be above 0 and leave "
                "images to fit (their sum below 1)."
            )
        if self.dropout == 1:
            raise ValueError("--dropout 1 drops everything; it must be below 1.")
        for name in ("tile", "prediction_tile"):
            side, multiple = getattr(self, name), 2**self.depth
            if side % multiple:
                raise ValueError(f"{flag(name)} {side} is not a multiple of {multiple}, which --depth {self.depth} needs.")
        if not 0 <= self.overlap < self.tile:
            raise ValueError(f"--overlap {self.overlap} must be from 0 to --tile {self.tile} minus 1.")
        if self.border_weights and (self.loss == "dice" or self.network_classes > 2):
            raise ValueError(
                "--border-weights acts on pixel losses with two classes: not with --loss dice, --border or more --classes."
            )

    @property
    def network_classes(self):
        """Classes that the network tells apart: with a border, background, inside and border."""
        return 3 if self.border else self.classes

    def to_json(self):
        """The configuration as a dictionary of plain values."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, values, source="configuration"):
        """Rebuild a configuration; raises ValueError that names unknown keys, so that no setting is lost silently."""
        unknown = sorted(set(values) - {item.name for item in dataclasses.fields(cls)})
        if unknown:
            raise ValueError(f"{source}: unknown settings {', '.join(unknown)}; made by another version of this program?")
        return cls(**values)

    def replace(self, **changes):
        """A copy with some settings changed."""
        return dataclasses.replace(self, **changes)


def flag(name):
    """The command-line form of a setting's name."""
    return "--" + name.replace("_", "-")


def parse_command_line(recipes, arguments=None):
    """Read the command line: (recipe name, {setting: value}, {setting: [values]}, run folder to resume or None).

    Settings are those that were given, with one value or with several between commas. ``recipes``: {name: one line of
    help}. Unknown options end the program with a sentence, as argparse does.
    """
    parser = argparse.ArgumentParser(
        prog="train_and_predict.py",
        description="Train a U-Net on microscopy images, predict the images held back, score and draw. "
        "Without an option: the best settings known for the recipe, on its images if they are there, "
        "else on simulated ones. An option with several values, as --seed 0,1,2, makes a series: a run for each, "
        "a table and a figure.",
        epilog="Defaults come from the recipe (its CONFIG); those shown hold where the recipe says nothing else. "
        "With UNET_TRACEBACK=1 in the environment an error shows where it arose.",
        argument_default=argparse.SUPPRESS,
        allow_abbrev=False,
    )
    known = "; ".join(f"{key}: {text}" for key, text in recipes.items())
    parser.add_argument("recipe", nargs="?", default="dsb", help=f"{known} (default: dsb)")
    for item in dataclasses.fields(Config)[1:]:
        _add_option(parser, item)
    parser.add_argument(
        "--as-published",
        action="store_true",
        help="with the settings of the published work that the recipe repeats (its PUBLISHED), instead of the best known",
    )
    parser.add_argument(
        "--resume",
        nargs="?",
        const="",
        metavar="RUN",
        help="continue an interrupted run: its folder, or nothing for the recipe's newest; settings come from the run",
    )
    given = vars(parser.parse_args(arguments))
    recipe, resume = given.pop("recipe"), given.pop("resume", None)
    if recipe not in recipes:
        parser.error(f"no recipe is called {recipe!r}; choose one of {', '.join(recipes)}")
    allowed = {"workers", "nodes"}  # the batches are the same whatever they are
    if resume is not None and set(given) - allowed:
        parser.error(
            f"--resume takes all settings from the run; remove {', '.join(flag(k) for k in given if k not in allowed)}"
        )
    several = {name: value for name, value in given.items() if isinstance(value, list)}
    return recipe, {name: value for name, value in given.items() if name not in several}, several, resume


def _values(kind, choices):
    """Reads one value, or several between commas as a list."""

    def read(text):
        values = [kind(part) for part in text.split(",")]
        for value in values:
            if choices and value not in choices:
                raise argparse.ArgumentTypeError(f"invalid choice: {value!r} (choose from {', '.join(choices)})")
        return values if len(values) > 1 else values[0]

    read.__name__ = kind.__name__  # argparse says "invalid int value"
    return read


def _add_option(parser, item):
    kind = item.type
    if isinstance(kind, types.UnionType):
        kind = next(part for part in typing.get_args(kind) if part is not type(None))
    shown = "" if item.default is None else f" (default: {item.default})"
    extra = {"help": item.metadata["help"].replace("%", "%%") + shown}
    if kind is bool:
        extra["action"] = argparse.BooleanOptionalAction
    else:
        extra.update(
            type=kind if item.name in ("data", "output") else _values(kind, CHOICES.get(item.name)),
            metavar="{" + ",".join(CHOICES[item.name]) + "}" if item.name in CHOICES else item.name.split("_")[-1].upper(),
        )
    parser.add_argument(flag(item.name), **extra)

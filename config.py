"""The configuration of a run: all settings with their defaults and help texts, in a frozen object that the run saves."""

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path

from maps import OutputMaps

GROUPS = ("data", "network", "training", "prediction", "machine")  # of settings, in the order of --help
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
AT_LEAST_ONE = ("filters", "depth", "epochs", "steps", "batch_size", "tile", "patience", "smoothing", "prediction_tile",
                "channels", "train_images")  # fmt: skip
ABOVE_ZERO = ("learning_rate", "image_scale", "pixel_size")
SHARES = ("augment", "dropout", "validation_share", "test_share")
SINGLE = ("data", "output", "nodes", "pixel_size")  # settings that cannot have several values


def option(default, group: str, help_text: str):
    """Return a field of the configuration with its group and its text in ``--help``."""
    return field(default=default, metadata={"group": group, "help": help_text})


@dataclass(frozen=True)
class Config:
    """Hold all settings of a run. Raises ValueError for invalid values, and for values that do not work together."""

    recipe: str = option("dsb", "data", "the recipe: which data set, and how it is read, split and measured")
    data: str | None = option(None, "data", "folder or zip file with your images; without it the images in datasets/<recipe>, "
                              "and if there are none, simulated images")  # fmt: skip
    output: str | None = option(None, "data", "new folder for the results (default: runs/<recipe>/<date-time>)")
    seed: int = option(0, "data", "seed of every random choice: split, first weights, tiles, augmentation")
    validation_share: float = option(0.15, "data", "share of the images for validation: they choose the best epoch and the "
                                     "thresholds")  # fmt: skip
    test_share: float = option(0.2, "data", "share of the images for the test: they are scored once, at the end")
    hold_out: str | None = option(None, "data", "sample, sequence or block of slices for the test; all: one run for each")
    split: str = option("independent", "data", "independent: related images, such as crops of one photograph, "
                        "get the same role; shuffled: random roles, to show how much leaks raise the scores")  # fmt: skip
    train_images: int | None = option(None, "data", "use only this number of training images, for a learning curve")
    labels: str = option("both", "data", "which labels of the Cell Tracking Challenge to use: gold (drawn by hand), silver "
                         "(computed), both: gold where they exist, else silver")  # fmt: skip
    channels: int = option(1, "data", "channels that the network sees: 1 (colour images become gray) or 3")
    classes: int = option(2, "data", "2: objects and background; 3 or more: masks hold class numbers, 0 is background")
    image_scale: float = option(1.0, "data", "enlarge (above 1) or shrink (below 1) every image by this factor")
    pixel_size: float | None = option(None, "data", "edge of a pixel in µm, for measurements (default: read from TIFF)")

    filters: int = option(32, "network", "feature maps of the first block; each pooling doubles them (64 in the U-Net paper)")
    depth: int = option(4, "network", "number of poolings")
    dropout: float = option(0.5, "network", "share of the features that training drops at the bottom of the network")
    normalisation: bool = option(True, "network", "batch normalisation after each convolution")
    upsampling: str = option("transposed", "network", "how the second half of the network enlarges its feature maps")
    border: int = option(0, "network", "width in px of a separate border class, which separates touching objects; 0: none")
    distance: bool = option(False, "network", "learn a distance map beside the mask, which separates touching objects")

    epochs: int = option(50, "training", "largest number of epochs; training stops earlier if validation no longer improves")
    steps: int = option(60, "training", "batches in an epoch")
    batch_size: int = option(8, "training", "tiles in a batch, over all GPUs together")
    tile: int = option(256, "training", "height and width of a training tile in px")
    overlap: int = option(64, "training", "smallest overlap of neighbouring training tiles in px")
    learning_rate: float = option(1e-3, "training", "learning rate of Adam at the start")
    schedule: str = option("cosine", "training", "how the learning rate changes: constant, or falling to 0 along a cosine")
    patience: int = option(20, "training", "stop after this number of epochs without a better validation Dice")
    smoothing: int = option(1, "training", "choose the best epoch by validation Dice, averaged over this many epochs")
    loss: str = option("cross_entropy_dice", "training", "the loss function that training minimises")
    border_weights: bool = option(False, "training", "give gaps between objects more weight, as in the U-Net paper")
    augment: float = option(1.0, "training", "strength of the random changes of training images, 0 (none) to 1")

    prediction_tile: int = option(1024, "prediction", "height and width of a tile at prediction in px; smaller tiles "
                                  "need less memory")  # fmt: skip
    tta: int = option(1, "prediction", "test-time augmentation: number of mirrored and turned copies of an image, "
                      "1 to 8, whose predictions are averaged; the time grows with it")  # fmt: skip
    blend: str = option("linear", "prediction", "how overlapping tiles are blended")

    nodes: str | None = option(None, "machine", "train on several machines, with KERAS_BACKEND=jax: host:port/world_size/rank, "
                               "for example 10.0.0.1:5000/2/0; auto: srun, or mpirun of Open MPI 4, has started one process "
                               "for each GPU")  # fmt: skip
    device: str = option("auto", "machine", "auto: all GPUs if there are any, else the CPU")
    precision: str = option("auto", "machine", "precision of the computation; auto: bfloat16 where the hardware supports it. "
                            "Weights are always float32")  # fmt: skip
    workers: int = option(2, "machine", "processes that prepare training batches; 0: the main process does it")

    def __post_init__(self):
        for name, choices in CHOICES.items():
            if getattr(self, name) not in choices:
                raise ValueError(f"{flag(name)} is {getattr(self, name)!r}; choose one of {', '.join(choices)}.")
        for name in AT_LEAST_ONE:
            if getattr(self, name) is not None and getattr(self, name) < 1:
                raise ValueError(f"{flag(name)} is {getattr(self, name)}; it must be at least 1.")
        for name in ABOVE_ZERO:
            if getattr(self, name) is not None and not 0 < getattr(self, name) < float("inf"):
                raise ValueError(f"{flag(name)} is {getattr(self, name)}; it must be above 0.")
        for name in SHARES:
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{flag(name)} is {getattr(self, name)}; it must be from 0 to 1.")
        self._check_together()

    def _check_together(self):
        if not 1 <= self.tta <= 8:
            raise ValueError(f"--tta is {self.tta}; an image has 8 mirrored and turned copies, so it must be from 1 to 8.")
        if min(self.seed, self.workers, self.border) < 0:
            raise ValueError("--seed, --workers and --border must be 0 or more.")
        if self.border and self.distance:
            raise ValueError(
                "--border and --distance are two ways to separate touching objects; turn one off: --border 0 or --no-distance."
            )
        if not 2 <= self.classes <= 255:
            raise ValueError(f"--classes is {self.classes}; background is one of the classes, so it must be from 2 to 255.")
        if self.validation_share == 0 or self.test_share == 0 or self.validation_share + self.test_share >= 1:
            raise ValueError(
                f"--validation-share {self.validation_share} and --test-share {self.test_share} must be above 0, and their sum "
                "below 1, so that images are left to train."
            )
        if self.dropout == 1:
            raise ValueError("--dropout 1 drops everything; it must be below 1.")
        for name in ("tile", "prediction_tile"):
            side, multiple = getattr(self, name), 2**self.depth
            if side % multiple:
                raise ValueError(f"{flag(name)} {side} is not a multiple of {multiple}, which --depth {self.depth} needs.")
        if not 0 <= self.overlap < self.tile:
            raise ValueError(f"--overlap {self.overlap} must be from 0 to --tile {self.tile} minus 1.")
        if self.border_weights and (self.loss == "dice" or not self.maps.single):
            raise ValueError(
                "--border-weights needs a loss per pixel and two classes: it does not work with --loss dice, --border or more "
                "--classes."
            )

    @property
    def maps(self) -> OutputMaps:
        """Return the meaning of the network's output channels."""
        return OutputMaps(self.classes, self.border > 0, self.distance)

    def to_json(self) -> dict:
        """Return the configuration as a dictionary of plain values."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, values: dict, source: str | Path = "configuration") -> "Config":
        """Return a configuration made from plain values. Raises ValueError for unknown names, so that no setting is lost."""
        unknown = sorted(set(values) - {item.name for item in dataclasses.fields(cls)})
        if unknown:
            raise ValueError(f"{source}: unknown settings {', '.join(unknown)}; another version of this program wrote it.")
        return cls(**values)

    def replace(self, **changes) -> "Config":
        """Return a copy with some settings changed."""
        return dataclasses.replace(self, **changes)


def flag(name: str) -> str:
    """Return the option on the command line for a setting: "train_images" -> "--train-images"."""
    return "--" + name.replace("_", "-")

"""Find the images of a run (images of the user, or simulated ones) and read them."""

import os
from pathlib import Path
from typing import NamedTuple

from config import Config
from data import Sample
from recipe import Recipe
from system.files import read_json
from system.paths import WORK

DATASETS = WORK / "datasets"


class Source(NamedTuple):
    """The place of a run's images. ``path``: a folder or file, None if they are not simulated yet."""

    path: Path | None
    simulated: bool

    def made(self, recipe: Recipe, config: Config) -> "Source":
        """Simulate the images if there are none, and return where they are."""
        return self if self.path else Source(simulate(recipe, config), True)


class Images(NamedTuple):
    """The images of a run. ``labelled``, ``unlabelled``: Samples. ``title``: their name in figures. ``facts``: for the card."""

    labelled: list[Sample]
    unlabelled: list[Sample]
    title: str
    source: Path
    facts: dict


def find_source(recipe: Recipe, given: dict, resumed: Path | None = None, datasets: Path = DATASETS) -> Source:
    """Find the images of a run: of the resumed run, else at ``--data``, else in ``datasets/<recipe>``, else simulated ones.

    Raises ValueError for a path that does not exist, and if there are no images and the recipe cannot simulate any.
    """
    if resumed:
        path = Path(read_json(resumed / "config.json")["source"])
        if not path.exists():
            raise ValueError(f"{path}: the images of {resumed} are no longer there; put them back to continue this run.")
    elif given.get("data"):
        path = Path(given["data"])
        if not path.exists():
            raise ValueError(f"--data {path}: there is no such file or folder.")
    else:
        path = recipe.find(datasets / recipe.name)
    if path is None:
        if recipe.simulate is None:
            raise ValueError(f"{datasets / recipe.name}: holds no images; put yours there, or name their folder with --data.")
        return Source(None, True)
    path = Path(os.path.abspath(path))  # "." has no name for titles; a link keeps its own
    return Source(path, (path / "simulated.json").exists())


def simulate(recipe: Recipe, config: Config) -> Path:
    """Simulate the images of a recipe, if they do not exist yet, and return their folder."""
    return Path(os.path.abspath(recipe.simulate(DATASETS / "simulated" / recipe.name, config)))


def read_images(recipe: Recipe, config: Config, source: Source) -> Images:
    """Read all images of a recipe. If no image has labels, training uses simulated images."""
    unlabelled = recipe.load_unlabelled(source.path) if recipe.load_unlabelled else []
    path, simulated = source
    if recipe.has_labels and not recipe.has_labels(path):
        path, simulated = simulate(recipe, config), True
    labelled = recipe.load(path, config)
    published = bool(recipe.is_published) and not simulated and recipe.is_published(labelled, path)
    title = title_of(recipe, path, published, simulated)
    title = f"{title}, shuffled (leaks)" if config.split == "shuffled" else title
    sizes = (sample.pixel_size for sample in labelled)
    facts = {
        "title": title,
        "simulated": simulated,
        "source": path.name,
        "licence": recipe.licence if published else None,
        "pixel_size": config.pixel_size or next(sizes, None),
    }
    return Images(labelled, unlabelled, title, path, facts)


def title_of(recipe: Recipe, path: Path, published: bool, simulated: bool) -> str:
    """Return the title of the images in figures and scores."""
    if simulated:
        return f"{recipe.title}, simulated images"
    if not published:
        return f"{path.stem}, own images"
    return recipe.title_of(path) if recipe.title_of else recipe.title

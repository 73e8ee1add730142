"""The required and the optional parts of a recipe, and the list of recipes.

A recipe is a module that ends with ``RECIPE = Recipe(...)``, and has one line in ``RECIPES``. CONTRIBUTING.md shows a complete
recipe. All parts are checked when the recipe is read, before any image is opened.
"""

import dataclasses
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from config import Config
from data import Predictions, RecipeResult, Sample, Split

RECIPES = {
    "dsb": "nuclei, Data Science Bowl 2018",
    "bbbc005": "particles in simulated fluorescence, BBBC005, counted",
    "cells": "low-contrast cells of the Cell Tracking Challenge, measured",
    "tomography": "cells in stacks of slices, whole samples held out",
    "isbi": "membranes in electron microscopy, ISBI 2012",
}
SOME_RECIPES_USE = ("validation_share", "test_share", "hold_out", "labels", "classes")  # every recipe uses all other settings


def first_data(folder: Path) -> Path | None:
    """Return the folder if it holds anything but hidden files and its README.md, else None."""
    names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    return folder if any(not name.startswith(".") and name != "README.md" for name in names) else None


@dataclass(frozen=True)
class Recipe:
    """A data set: how to read, split, simulate and measure it. Raises ValueError or TypeError that says which part is wrong.

    Required:
    ``name`` of the module. ``title`` of the published images in figures. ``licence`` of the published images; None if there
    are none or no licence is stated. ``config``: the best known settings. ``load(source, config)``: read the labelled images at
    a path as Samples. ``split(samples, config)``: give each Sample a role.

    Optional:
    ``find(folder)``: the data that a user has put into datasets/<name>, or None.
    ``simulate(folder, config, **sizes)``: write simulated images in the same layout and return the folder. A recipe without it
    needs images of the user. ``simulated``: the settings for simulated images.
    ``is_published(samples, source)``: return whether these are the published images, by their content.
    ``title_of(source)``: return a title that depends on the source. ``load_unlabelled(source)``: read images without labels,
    which are predicted and not scored. ``has_labels(source)``: return False if training needs simulated images.
    ``hold_outs(samples)``: return the names that --hold-out accepts. ``measure(validation, test, unlabelled, config, title)``:
    return the RecipeResult, with scores, tables and figures in addition to the pixel scores. ``stratum``: word for a kind of
    images, such as "focus_level", with underscores. ``stratum_names(samples)``: return {number: name}. ``main_scores``: names
    of the scores that a series shows. ``uses``: names in ``SOME_RECIPES_USE`` of the settings that the recipe uses.
    ``published``: {"settings": {...}, "scores": {...}} of the publication that the recipe repeats.
    """

    name: str
    title: str
    licence: str | None
    config: Config
    load: Callable[[Path, Config], list[Sample]]
    split: Callable[[list[Sample], Config], Split]
    find: Callable[[Path], Path | None] = first_data
    simulate: Callable[..., Path] | None = None
    simulated: Config | None = None
    is_published: Callable[[list[Sample], Path], bool] | None = None
    title_of: Callable[[Path], str] | None = None
    load_unlabelled: Callable[[Path], list[Sample]] | None = None
    has_labels: Callable[[Path], bool] | None = None
    hold_outs: Callable[[list[Sample]], list[str]] | None = None
    measure: Callable[[Predictions, Predictions, Predictions, Config, str], RecipeResult] | None = None
    stratum: str = "kind"
    stratum_names: Callable[[list[Sample]], dict[int, str]] | None = None
    main_scores: tuple[str, ...] = ("dice_mean", "dice_pooled")
    uses: tuple[str, ...] = ("validation_share", "test_share")
    published: dict = dataclasses.field(default_factory=dict)

    def __post_init__(self):
        for part, kind in (("title", str), ("config", Config), ("stratum", str), ("uses", tuple), ("main_scores", tuple)):
            if not isinstance(getattr(self, part), kind):
                raise TypeError(f"recipe {self.name}: {part} is {getattr(self, part)!r}; expected a {kind.__name__}.")
        if self.config.recipe != self.name:
            raise ValueError(f"recipe {self.name}: its config is of recipe {self.config.recipe!r}; give both the same name.")
        for part, parameters in _CALLED_WITH.items():
            function = getattr(self, part)
            if function is None and part not in ("load", "split"):
                continue
            if not callable(function) or not _accepts(function, parameters):
                raise TypeError(f"recipe {self.name}: {part} must be a function that can be called as {part}{parameters}.")
        if unknown := sorted(set(self.uses) - set(SOME_RECIPES_USE)):
            raise ValueError(f"recipe {self.name}: uses {unknown}; known are {', '.join(SOME_RECIPES_USE)}.")
        if ("hold_out" in self.uses) != (self.hold_outs is not None):
            raise ValueError(f"recipe {self.name}: uses hold_out and the function hold_outs belong together.")
        if self.has_labels and not self.simulate:
            raise ValueError(f"recipe {self.name}: has_labels needs simulate, which makes images to train with.")
        self.config.replace(**self.published.get("settings", {}))

    @property
    def unused(self) -> tuple[str, ...]:
        """Return the names of the settings that have no effect on this recipe."""
        return tuple(name for name in SOME_RECIPES_USE if name not in self.uses)

    def names_of_strata(self, split: Split) -> dict[int, str]:
        """Return {number of a stratum: its name}; {} if strata have no names."""
        return self.stratum_names([*split]) if self.stratum_names else {}

    def settings(self, simulated: bool) -> Config:
        """Return the best known settings, for real or for simulated images."""
        return self.simulated if simulated and self.simulated else self.config


_CALLED_WITH = {
    "load": "(source, config)",
    "split": "(samples, config)",
    "find": "(folder)",
    "simulate": "(folder, config)",
    "is_published": "(samples, source)",
    "title_of": "(source)",
    "load_unlabelled": "(source)",
    "has_labels": "(source)",
    "hold_outs": "(samples)",
    "measure": "(validation, test, unlabelled, config, title)",
    "stratum_names": "(samples)",
}


def _accepts(function, parameters):
    """Return whether a function can be called with these parameters as positional arguments."""
    try:
        inspect.signature(function).bind(*parameters.strip("()").split(", "))
    except TypeError:
        return False
    return True


def read_recipe(name: str) -> Recipe:
    """Import a recipe and check it. Raises ValueError for a name that is not in ``RECIPES`` and for a faulty recipe."""
    if name not in RECIPES:
        raise ValueError(f"there is no recipe {name!r}; choose one of {', '.join(RECIPES)}.")
    package = f"{__package__}." if __package__ else ""
    try:
        recipe = getattr(import_module(package + name), "RECIPE", None)
    except TypeError as error:  # a part that is missing, unknown or of the wrong kind
        raise ValueError(f"{name}.py: {error}") from error
    if not isinstance(recipe, Recipe) or recipe.name != name:
        raise ValueError(f"{name}.py: does not end with RECIPE = Recipe(name={name!r}, ...); see CONTRIBUTING.md.")
    return recipe

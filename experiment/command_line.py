"""The command line of ``train_and_predict.py``, made from the settings in ``config.py`` and the defaults of the recipe."""

import argparse
import dataclasses
import types
import typing

from config import CHOICES, GROUPS, SINGLE, Config, flag
from recipe import RECIPES, read_recipe

ALWAYS_ALLOWED = ("workers", "nodes")  # with --resume; they do not change the batches


def parse_command_line(arguments=None):
    """Read the command line. Return (recipe name, {setting: value}, {setting: [values]}, run folder to resume or None).

    The first dictionary holds the settings that were given with one value, the second one those with several values, separated
    by commas. A mistake ends the program with a message of one sentence, as in argparse.
    """
    parser = _parser()
    given = vars(parser.parse_args(arguments))
    recipe, resume = given.pop("recipe"), given.pop("resume", None)
    if recipe not in RECIPES:
        parser.error(f"there is no recipe {recipe!r}; choose one of {', '.join(RECIPES)}")
    if given.pop("help", False):
        _parser(read_recipe(recipe)).print_help()
        parser.exit()
    if resume is not None and set(given) - set(ALWAYS_ALLOWED):
        lost = ", ".join(flag(name) for name in given if name not in ALWAYS_ALLOWED)
        parser.error(f"--resume takes all settings from the run that it continues; remove {lost}")
    several = {name: value for name, value in given.items() if isinstance(value, list)}
    return recipe, {name: value for name, value in given.items() if name not in several}, several, resume


def _parser(recipe=None):
    """Return the parser; with a ``recipe``, its help shows the defaults of this recipe."""
    parser = argparse.ArgumentParser(
        prog="train_and_predict.py",
        usage="train_and_predict.py [recipe] [options]",
        description="Train a U-Net on microscopy images, predict the test images, score them and draw figures. Without options "
        "it uses the best known settings of the recipe. An option with several values, such as --seed 0,1,2, makes a "
        "series: one run for each value, with a table and a figure.",
        epilog="The defaults shown are those of the recipe for real images"
        + (f", {recipe.name}" if recipe else "")
        + "; simulated images have a smaller network and a shorter training. Set UNET_TRACEBACK=1 in the environment to see "
        "where an error arose." + (f" These options have no effect: {', '.join(map(flag, recipe.unused))}." if recipe else ""),
        argument_default=argparse.SUPPRESS,
        allow_abbrev=False,
        add_help=False,
    )
    known = "; ".join(f"{key}: {text}" for key, text in RECIPES.items())
    parser.add_argument("recipe", nargs="?", default="dsb", help=f"{known} (default: dsb)")
    parser.add_argument("-h", "--help", action="store_true", help="show this help with the defaults of the recipe, and stop")
    groups = {name: parser.add_argument_group(name) for name in GROUPS}
    for item in dataclasses.fields(Config)[1:]:
        _add_option(groups[item.metadata["group"]], item, recipe)
    groups["training"].add_argument(
        "--as-published", action="store_true", help="use the settings of the publication that the recipe repeats"
    )
    groups["training"].add_argument(
        "--resume",
        nargs="?",
        const="",
        metavar="RUN",
        help="continue an interrupted run: give its folder, or nothing for the recipe's newest one",
    )
    return parser


def _add_option(group, item, recipe):
    kind = item.type
    if isinstance(kind, types.UnionType):
        kind = next(part for part in typing.get_args(kind) if part is not type(None))
    default = getattr(recipe.config, item.name) if recipe else item.default
    shown = "" if default is None else f" (default: {_shown(default)})"
    extra = {"help": item.metadata["help"].replace("%", "%%") + shown}
    if recipe is not None and item.name in recipe.unused:
        extra["help"] = argparse.SUPPRESS
    if kind is bool:
        extra["action"] = argparse.BooleanOptionalAction
    else:
        choices = CHOICES.get(item.name)
        extra["type"] = kind if item.name in ("data", "output") else _reader(item.name, kind, choices)
        extra["metavar"] = "{" + ",".join(choices) + "}" if choices else item.name.split("_")[-1].upper()
    group.add_argument(flag(item.name), **extra)


def _shown(default):
    return {True: "on", False: "off"}[default] if isinstance(default, bool) else default


def _reader(name, kind, choices):
    """Return a function that reads one value, or a list of values separated by commas."""
    expected = {int: "a whole number", float: "a number"}.get(kind, "a word")

    def read(text):
        parts = [text] if name == "nodes" else text.split(",")
        try:
            values = [kind(part) for part in parts]
            if any(value in ("", None) for value in values):
                raise ValueError
        except ValueError:
            raise argparse.ArgumentTypeError(
                f"{text!r} is not {expected}" + ("" if len(parts) == 1 else ", nor several between commas")
            ) from None
        for value in values:
            if choices and value not in choices:
                raise argparse.ArgumentTypeError(f"{value!r} is unknown; choose from {', '.join(choices)}")
        if len(values) == 1:
            return values[0]
        number = kind in (int, float) and _looks_like_one_number(parts)
        if name in SINGLE or number or (kind is float and _impossible(name, values)):
            raise argparse.ArgumentTypeError(
                f"{text!r} holds a comma, which separates values ({', '.join(map(str, values))}). Write one number with "
                f"a point before its decimals and nothing between thousands, for example {_without_commas(parts)}"
            )
        return values

    return read


def _impossible(name, values):
    """Return whether one of two values is invalid, as in --dropout 0,2: then the comma is probably a decimal comma."""
    try:
        return len(values) == 2 and not [Config(**{name: value}) for value in values]
    except ValueError:
        return True


def _looks_like_one_number(parts):
    """Return whether commas may mark decimals or thousands: true for 0,65 and 10,000, false for 0,1,2 and 4,16."""
    decimals = len(parts) == 2 and parts[0] in ("0", "-0") and len(parts[1]) > 1 and parts[1].isdigit()
    thousands = len(parts[0]) <= 3 and all(len(part) == 3 and part.isdigit() and part[0] == "0" for part in parts[1:])
    return decimals or (parts[0].isdigit() and thousands)


def _without_commas(parts):
    thousands = all(len(part) == 3 for part in parts[1:])
    return "".join(parts) if thousands and parts[0] != "0" else f"{parts[0]}.{''.join(parts[1:])}"

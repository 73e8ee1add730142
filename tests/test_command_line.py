"""What a command line becomes, and the sentences for wrong ones."""

import dataclasses

import pytest

from config import Config, flag
from experiment.command_line import parse_command_line
from recipe import RECIPES, read_recipe


def test_every_option_is_read():
    arguments = []
    for item in dataclasses.fields(Config)[1:]:
        default = getattr(Config(), item.name)
        default = 1 if default is None else default
        arguments += [flag(item.name)] if isinstance(default, bool) else [flag(item.name), str(default)]
    name, given, several, resume = parse_command_line(["dsb", *arguments])
    assert (name, several, resume) == ("dsb", {}, None)
    assert set(given) == {item.name for item in dataclasses.fields(Config)[1:]}
    assert {key: type(value) for key, value in given.items()}["learning_rate"] is float


def test_as_published_is_kept_apart_and_not_for_resuming(capsys):
    assert parse_command_line(["--as-published"])[1] == {"as_published": True}
    with pytest.raises(SystemExit):
        parse_command_line(["--resume", "--as-published"])
    assert "--resume takes all settings from the run that it continues; remove --as-published" in capsys.readouterr().err


def test_only_what_was_given_is_returned():
    assert parse_command_line([]) == ("dsb", {}, {}, None)
    assert parse_command_line(["--no-normalisation"]) == ("dsb", {"normalisation": False}, {}, None)
    assert parse_command_line(["--resume"]) == ("dsb", {}, {}, "")
    assert parse_command_line(["dsb", "--resume", "runs/a", "--workers", "3"]) == ("dsb", {"workers": 3}, {}, "runs/a")


def test_several_values_are_kept_apart():
    given = parse_command_line(["--seed", "0,1", "--loss", "dice,focal", "--epochs", "3", "--data", "a,b"])[1:3]
    assert given == ({"epochs": 3, "data": "a,b"}, {"seed": [0, 1], "loss": ["dice", "focal"]})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--colour", "1"], "unrecognized arguments: --colour"),
        (["--epoch", "1"], "unrecognized arguments: --epoch"),
        (["--loss", "hinge"], "'hinge' is unknown; choose from cross_entropy, dice"),
        (["--loss", "dice,hinge"], "'hinge' is unknown; choose from cross_entropy, dice"),
        (["--seed", "1,x"], "'1,x' is not a whole number, nor several between commas"),
        (["--seed", "1,"], "'1,' is not a whole number, nor several between commas"),
        (["--epochs", "many"], "'many' is not a whole number"),
        (["--epochs", "1.5"], "'1.5' is not a whole number"),
        (
            ["--pixel-size", "0,65"],
            "Write one number with a point before its decimals",
        ),
        (["--pixel-size", "1,5"], "for example 1.5"),
        (["--learning-rate", "10,000"], "'10,000' holds a comma, which separates values (10.0, 0.0)"),
        (["--learning-rate", "0,001"], "for example 0.001"),
        (["--dropout", "0,2"], "for example 0.2"),
        (["--validation-share", "0,2"], "for example 0.2"),
        (["--epochs", "1,000"], "for example 1000"),
        (["cats"], "there is no recipe 'cats'; choose one of dsb"),
        (["--resume", "a", "--epochs", "3", "--seed", "1"], "from the run that it continues; remove --epochs, --seed"),
    ],
)
def test_a_wrong_command_line_ends_with_a_sentence(arguments, message, capsys):
    with pytest.raises(SystemExit):
        parse_command_line(arguments)
    assert message in capsys.readouterr().err


def helped(capsys, *arguments):
    with pytest.raises(SystemExit) as end:
        parse_command_line([*arguments, "--help"])
    assert end.value.code in (0, None)
    return capsys.readouterr().out


def test_help_explains_every_option_in_groups(capsys):
    text = helped(capsys)
    assert [line for line in text.splitlines() if line in ("data:", "network:", "training:", "prediction:", "machine:")] == [
        "data:", "network:", "training:", "prediction:", "machine:"
    ]  # fmt: skip
    text = " ".join(text.split())
    for item in dataclasses.fields(Config)[1:]:
        assert flag(item.name) in text
        if item.name not in read_recipe("dsb").unused:
            assert " ".join(item.metadata["help"].split())[:30] in text


@pytest.mark.parametrize("name", RECIPES)
def test_help_shows_the_defaults_of_the_recipe(name, capsys):
    text, recipe = " ".join(helped(capsys, name).split()), read_recipe(name)
    for setting in ("filters", "epochs", "tta"):
        help_text = next(item.metadata["help"] for item in dataclasses.fields(Config) if item.name == setting)
        assert f"{help_text} (default: {getattr(recipe.config, setting)})" in text
    assert f"These options have no effect: {', '.join(map(flag, recipe.unused))}." in text


def test_several_values_that_could_be_one_number_are_still_several():
    assert parse_command_line(["--augment", "0,1", "--seed", "0,1,2", "--filters", "4,16", "--epochs", "10,100"])[2] == {
        "augment": [0.0, 1.0], "seed": [0, 1, 2], "filters": [4, 16], "epochs": [10, 100]
    }  # fmt: skip

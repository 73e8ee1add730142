"""Settings are checked, kept, and refused in one sentence when they cannot work."""

import dataclasses

import pytest

from config import Config, flag, parse_command_line

RECIPES = {"dsb": "nuclei"}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"loss": "hinge"}, "--loss is 'hinge'; choose one of cross_entropy, dice"),
        ({"epochs": 0}, "--epochs is 0; it must be at least 1"),
        ({"learning_rate": -1.0}, "--learning-rate is -1.0; it must be above 0"),
        ({"learning_rate": float("nan")}, "--learning-rate is nan"),
        ({"augment": 1.5}, "--augment is 1.5; it must be from 0 to 1"),
        ({"classes": 1}, "--classes is 1; background counts as one"),
        ({"classes": 257}, "it must be from 2 to 256"),
        ({"validation_share": 0.6, "test_share": 0.4}, "leave images to fit"),
        ({"test_share": 0.0}, "--test-share 0.0 must be above 0"),
        ({"tile": 100}, "--tile 100 is not a multiple of 16"),
        ({"prediction_tile": 1000}, "--prediction-tile 1000 is not a multiple of 16"),
        ({"overlap": 256}, "--overlap 256 must be from 0 to --tile 256"),
        ({"border_weights": True, "loss": "dice"}, "not with --loss dice"),
        ({"tta": 9}, "--tta is 9; an image has 8 turned and mirrored tta"),
        ({"seed": -1}, "--seed, --workers and --border must be 0 or more"),
        ({"dropout": 1.0}, "--dropout 1 drops everything"),
        ({"train_images": 0}, "--train-images is 0; it must be above 0"),
        ({"pixel_size": -0.1}, "--pixel-size is -0.1; it must be above 0"),
        ({"border": 3, "classes": 3}, "turn them off by --border 0 and --no-distance"),
        ({"distance": True, "classes": 3}, "turn them off by --border 0 and --no-distance"),
        ({"distance": True, "border": 3}, "turn one off by --border 0 or --no-distance"),
        ({"border": 3, "border_weights": True}, "not with --loss dice, --border or more --classes"),
        ({"split": "random"}, "--split is 'random'; choose one of independent, shuffled"),
    ],
)
def test_settings_that_cannot_work(wrong, message):
    with pytest.raises(ValueError, match=message):
        Config(**wrong)


def test_it_is_frozen_and_comes_back_from_json():
    config = Config(filters=16)
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.filters = 8
    assert Config.from_json(config.to_json()) == config


def test_unknown_settings_are_refused_with_their_file():
    with pytest.raises(ValueError, match=r"run/config\.json: unknown settings colour"):
        Config.from_json({"colour": 1}, "run/config.json")


def test_every_option_is_read():
    arguments = []
    for item in dataclasses.fields(Config)[1:]:
        default = getattr(Config(), item.name)
        default = 1 if default is None else default
        arguments += [flag(item.name)] if isinstance(default, bool) else [flag(item.name), str(default)]
    name, given, several, resume = parse_command_line(RECIPES, ["dsb", *arguments])
    assert (name, several, resume) == ("dsb", {}, None)
    assert set(given) == {item.name for item in dataclasses.fields(Config)[1:]}
    assert {key: type(value) for key, value in given.items()}["learning_rate"] is float


def test_as_published_is_kept_apart_and_not_for_resuming(capsys):
    assert parse_command_line(RECIPES, ["--as-published"])[1] == {"as_published": True}
    with pytest.raises(SystemExit):
        parse_command_line(RECIPES, ["--resume", "--as-published"])
    assert "--resume takes all settings from the run; remove --as-published" in capsys.readouterr().err


def test_only_what_was_given_is_returned():
    assert parse_command_line(RECIPES, []) == ("dsb", {}, {}, None)
    assert parse_command_line(RECIPES, ["--no-normalisation"]) == ("dsb", {"normalisation": False}, {}, None)
    assert parse_command_line(RECIPES, ["--resume"]) == ("dsb", {}, {}, "")
    assert parse_command_line(RECIPES, ["dsb", "--resume", "runs/a", "--workers", "3"]) == ("dsb", {"workers": 3}, {}, "runs/a")


def test_several_values_are_kept_apart():
    given = parse_command_line(RECIPES, ["--seed", "0,1", "--loss", "dice,focal", "--epochs", "3", "--data", "a,b"])[1:3]
    assert given == ({"epochs": 3, "data": "a,b"}, {"seed": [0, 1], "loss": ["dice", "focal"]})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--colour", "1"], "unrecognized arguments: --colour"),
        (["--epoch", "1"], "unrecognized arguments: --epoch"),
        (["--loss", "hinge"], "invalid choice: 'hinge'"),
        (["--loss", "dice,hinge"], "invalid choice: 'hinge'"),
        (["--seed", "1,x"], "invalid int value: '1,x'"),
        (["--epochs", "many"], "invalid int value: 'many'"),
        (["cats"], "no recipe is called 'cats'; choose one of dsb"),
        (["--resume", "a", "--epochs", "3", "--seed", "1"], "takes all settings from the run; remove --epochs, --seed"),
    ],
)
def test_a_wrong_command_line_ends_with_a_sentence(arguments, message, capsys):
    with pytest.raises(SystemExit):
        parse_command_line(RECIPES, arguments)
    assert message in capsys.readouterr().err


def test_help_explains_every_option(capsys):
    with pytest.raises(SystemExit):
        parse_command_line(RECIPES, ["--help"])
    text = " ".join(capsys.readouterr().out.split())
    for item in dataclasses.fields(Config)[1:]:
        assert flag(item.name) in text
        assert " ".join(item.metadata["help"].split())[:30] in text

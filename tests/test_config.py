"""Settings are checked, kept, and refused in one sentence when they cannot work."""

import dataclasses

import pytest

from config import Config


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"loss": "hinge"}, "--loss is 'hinge'; choose one of cross_entropy, dice"),
        ({"epochs": 0}, "--epochs is 0; it must be at least 1"),
        ({"learning_rate": -1.0}, "--learning-rate is -1.0; it must be above 0"),
        ({"learning_rate": float("nan")}, "--learning-rate is nan"),
        ({"augment": 1.5}, "--augment is 1.5; it must be from 0 to 1"),
        ({"classes": 1}, "--classes is 1; background is one of the classes"),
        ({"classes": 256}, "it must be from 2 to 255"),
        ({"validation_share": 0.6, "test_share": 0.4}, "so that images are left to train"),
        ({"test_share": 0.0}, "--test-share 0.0 must be above 0"),
        ({"tile": 100}, "--tile 100 is not a multiple of 16"),
        ({"prediction_tile": 1000}, "--prediction-tile 1000 is not a multiple of 16"),
        ({"overlap": 256}, "--overlap 256 must be from 0 to --tile 256"),
        ({"border_weights": True, "loss": "dice"}, "it does not work with --loss dice"),
        ({"tta": 9}, "--tta is 9; an image has 8 mirrored and turned copies"),
        ({"seed": -1}, "--seed, --workers and --border must be 0 or more"),
        ({"dropout": 1.0}, "--dropout 1 drops everything"),
        ({"train_images": 0}, "--train-images is 0; it must be at least 1"),
        ({"pixel_size": -0.1}, "--pixel-size is -0.1; it must be above 0"),
        ({"distance": True, "border": 3}, "turn one off: --border 0 or --no-distance"),
        ({"border": 3, "border_weights": True}, "it does not work with --loss dice, --border or more --classes"),
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

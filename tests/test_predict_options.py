"""The options of ``predict.py``: defaults, groups of the help, and messages for values that cannot be."""

import pytest

from inference.command_line import parse_command_line
from segmentation import DEFAULT_TTA
from system.paths import SHIPPED


def error_of(capsys, *options):
    """The last line that is printed for a command line which ends the program."""
    with pytest.raises(SystemExit) as end:
        parse_command_line(["a.png", *options])
    assert end.value.code == 2
    return capsys.readouterr().err.splitlines()[-1].removeprefix("predict.py: error: ")


PX, COPIES = "expected a number of px such as 25, auto or none", "expected a whole number from 1 to 8"
UM, CHANNEL = "expected µm per px, for example 0.65", "expected the number of a channel; the first one is 1"
ADDRESS = "expected a number of processes, or the address of a scheduler such as tcp://10.0.0.1:8786"


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--diameter", "abc", f"'abc' is not a number; {PX}"),
        ("--diameter", "25px", f"'25px' is not a number; {PX}"),
        ("--diameter", "0", f"'0' is not above 0 and finite; {PX}"),
        ("--diameter", "-3", f"'-3' is not above 0 and finite; {PX}"),
        ("--diameter", "nan", f"'nan' is not above 0 and finite; {PX}"),
        ("--diameter", "inf", f"'inf' is not above 0 and finite; {PX}"),
        ("--diameter", "12,5", "'12,5' is not a number; decimals have a point: 12.5"),
        ("--diameter", "", f"'' is not a number; {PX}"),
        ("--pixel-size", "0,65", "'0,65' is not a number; decimals have a point: 0.65"),
        ("--pixel-size", "0.65um", f"'0.65um' is not a number; {UM}"),
        ("--pixel-size", "0", f"'0' is not above 0 and finite; {UM}"),
        ("--pixel-size", "1,2,3", f"'1,2,3' is not a number; {UM}"),
        ("--tta", "9", f"'9' is out of range; {COPIES}"),
        ("--tta", "0", f"'0' is out of range; {COPIES}"),
        ("--tta", "two", f"'two' is not a whole number; {COPIES}"),
        ("--tta", "2.5", f"'2.5' is not a whole number; {COPIES}"),
        ("--channel", "x", f"'x' is not a whole number; {CHANNEL}"),
        ("--channel", "0", f"'0' is out of range; {CHANNEL}"),
        ("--channel", "-1", f"'-1' is out of range; {CHANNEL}"),
        ("--channel", "1,2", f"'1,2' is not a whole number; {CHANNEL}"),
        ("--engine", "onnx", "invalid choice: 'onnx' (choose from "),
        ("--dask", "0", f"'0' is out of range; {ADDRESS}"),
        ("--dask", "-2", f"'-2' is out of range; {ADDRESS}"),
        ("--dask", "my_images", f"'my_images' is no address; {ADDRESS}. If it is an image or a folder, put it before --dask"),
        ("--dask", "slide.zarr", f"'slide.zarr' is no address; {ADDRESS}. If it is an image or a folder, put it before --dask"),
        ("--dask", "10.0.0.1", f"'10.0.0.1' is no address; {ADDRESS}. If it is an image or a folder, put it before --dask"),
    ],
)
def test_values_that_cannot_be(capsys, option, value, message):
    assert error_of(capsys, option, value).startswith(f"argument {option}: {message}")


@pytest.mark.parametrize(("options", "message"), [(["--tta"], "argument --tta: expected one argument"), (["--fold", "2"], "")])
def test_options_without_a_value_and_unknown_ones(capsys, options, message):
    assert error_of(capsys, *options) == (message or "unrecognized arguments: --fold 2")


@pytest.mark.parametrize("address", ["tcp://10.0.0.1:8786", "tls://node-3:8786", "node-3:8786", "3", "local", "[::1]:8786"])
def test_addresses_of_a_dask_cluster(address):
    assert parse_command_line(["a.png", "--dask", address]).dask == address


def test_values_and_defaults():
    options = parse_command_line(["a.png"])
    assert (options.tta, options.diameter, options.channel, options.dask) == (DEFAULT_TTA, "auto", None, None)
    assert options.model == str(SHIPPED["nuclei"]) and options.output == "predictions"
    line = "a.png b --diameter NONE --pixel-size .5 --channel 3 --tta 8 --dask --model m.keras"
    given = parse_command_line(line.split())
    assert (given.diameter, given.pixel_size, given.channel, given.tta, given.dask) == (None, 0.5, 3, 8, "local")
    assert given.images == ["a.png", "b"] and given.model.endswith("/m.keras")


def test_the_help_has_groups_and_shows_every_default(capsys):
    with pytest.raises(SystemExit):
        parse_command_line(["--help"])
    text = " ".join(capsys.readouterr().out.split())
    places = [text.index(f" {group}: ") for group in ("data", "network", "prediction", "machine")]
    assert places == sorted(places) and text.count("(default: ") == 11
    for shown in ("(default: predictions)", "(default: nuclei)", "(default: auto)", "(default: 2)", "(default: keras)"):
        assert shown in text
    assert "test-time augmentation: " in text

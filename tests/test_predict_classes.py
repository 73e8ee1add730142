"""Networks with several classes on new images: class maps, overlays with a legend, areas and tables of each class."""

from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pandas as pd
import pytest
import tifffile

import inference
import predict
from experiment import run_folder
from segmentation import segment
from system.backend import keras
from system.files import read_json, write_json


@pytest.fixture
def of_three(network, small):
    """The network of a card with three classes: dark is background, gray is class 1, white is class 2."""
    inputs = keras.Input((None, None, 1))
    outputs = keras.layers.Conv2D(3, 1, activation="softmax", name="brightness")(inputs)
    model = keras.Model(inputs, outputs)
    # The lines 0, 40 x - 10 and 80 x - 40 cross at intensities of 1/4 and 3/4.
    kernel, bias = np.array([0.0, 40.0, 80.0]).reshape(1, 1, 1, 3), np.array([0.0, -10.0, -40.0])
    model.get_layer("brightness").set_weights([kernel, bias])
    run_folder.save_model(model, network)
    card = read_json(network.with_suffix(".json"))
    card["training"]["configuration"] = small.replace(classes=3).to_json()
    write_json(network.with_suffix(".json"), card)
    return network


def drawn():
    """A gray square of 20 px and a white one of 30 px with a gray corner, on a dark field."""
    image = np.zeros((80, 120), np.uint8)
    image[10:30, 10:30], image[30:60, 60:90] = 127, 255
    image[30:40, 60:70] = 127
    return image


def test_every_object_has_the_class_of_most_of_its_pixels(of_three):
    found = segment(drawn(), of_three, diameter=None)
    assert found.objects.max() == 2  # gray and white touch in the second square: one object, of class 2
    assert found.classes[15, 15] == 1 and (found.classes[30:60, 60:90] == 2).all() and found.classes[0, 0] == 0
    assert found.measurements.set_index("label")["class"].to_dict() == {1: 1, 2: 2}
    assert found.quality["area_share_class_1"] == pytest.approx(400 / 9600)
    assert found.quality["area_share_class_2"] == pytest.approx(900 / 9600)
    assert "1 of class 1, 1 of class 2" in repr(found)


def test_the_files_of_an_image_with_classes(of_three, tmp_path):
    folder, output = tmp_path / "images", tmp_path / "out"
    folder.mkdir()
    iio.imwrite(folder / "a.png", drawn())
    tifffile.imwrite(folder / "stack.tif", np.stack([drawn(), np.zeros_like(drawn())]), imagej=True, metadata={"axes": "ZYX"})
    with pytest.raises(SystemExit) as end:
        predict.main([str(folder), "-o", str(output), "--model", str(of_three), "--diameter", "none"])
    assert end.value.code == 0
    classes, objects = tifffile.imread(output / "a_classes.tif"), tifffile.imread(output / "a_objects.tif")
    assert classes.dtype == np.uint8 and ((classes > 0) == (objects > 0)).all()
    assert np.bincount(classes.ravel()).tolist() == [80 * 120 - 1300, 400, 900]
    pages = tifffile.imread(output / "stack_classes.tif")
    assert pages.shape == (2, 80, 120) and pages[1].max() == 0
    assert iio.imread(output / "a_overlay.png").shape[0] > 80  # a legend stands below
    images = pd.read_csv(output / "images.csv").set_index(["name", "page"])
    assert images.loc[("a", 1), "area_share_class_2"] == pytest.approx(900 / 9600)
    assert images.loc[("stack", 2), "area_share_class_1"] == 0
    measured = pd.read_csv(output / "measurements.csv")
    assert measured[measured["name"] == "a"]["class"].tolist() == [1, 2]


def test_two_classes_write_no_class_map(network, tmp_path):
    iio.imwrite(tmp_path / "a.png", drawn())
    with pytest.raises(SystemExit):
        predict.main([str(tmp_path / "a.png"), "-o", str(tmp_path / "out"), "--model", str(network)])
    assert not list((tmp_path / "out").glob("*_classes.tif")) and segment(drawn(), network).classes is None


def test_every_column_is_explained(of_three, tmp_path):
    iio.imwrite(tmp_path / "a.png", drawn())
    with pytest.raises(SystemExit):
        predict.main([str(tmp_path / "a.png"), "-o", str(tmp_path / "out"), "--model", str(of_three), "--pixel-size", "0.5"])
    page = (Path(inference.__file__).parent / "README.md").read_text(encoding="utf-8")
    for table in ("measurements", "images"):
        for column in pd.read_csv(tmp_path / f"out/{table}.csv").columns:
            assert f"`{column.removesuffix('_um').replace('class_2', 'class_1')}`" in page, column

"""TIFF files: pixel sizes in every notation, palettes, colours, and the TIFFs of a folder."""

import numpy as np
import PIL.Image
import pytest
import tifffile

from readers import tiff
from readers.images import read_image, read_planes
from readers.tiff import has_planar_colours, list_tiffs, read_pixel_size


def test_the_tiffs_of_a_folder_in_any_spelling_without_hidden_ones(tmp_path):
    for name in ("b.TIF", "a.tiff", "c.tif", "._a.tiff", ".d.tif", "e.png", "f.tif.txt"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "folder.tif").mkdir()
    assert [path.name for path in list_tiffs(tmp_path)] == ["a.tiff", "b.TIF", "c.tif"]
    assert list_tiffs(tmp_path / "nowhere") == []


@pytest.mark.parametrize(
    ("resolution", "unit", "expected"),
    [
        ((52631.6, 52631.6), "CENTIMETER", 0.19),
        ((50800, 50800), "INCH", 0.5),
        ((72, 72), "INCH", None),
        ((1200, 1200), "INCH", None),
        ((5, 5), "NONE", None),
        ((20000, 10000), "CENTIMETER", None),
    ],
)
def test_the_pixel_size_that_a_tiff_states(tmp_path, resolution, unit, expected):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((5, 6), np.uint8), resolution=resolution, resolutionunit=unit)
    assert read_pixel_size(tmp_path / "a.tif") == (pytest.approx(expected, rel=1e-3) if expected else None)


def test_the_pixel_size_that_imagej_states(tmp_path):
    tifffile.imwrite(
        tmp_path / "a.tif", np.zeros((5, 6), np.uint8), imagej=True, resolution=(4, 4), metadata={"unit": "micron"}
    )
    assert read_pixel_size(tmp_path / "a.tif") == pytest.approx(0.25)


@pytest.mark.parametrize(("size", "unit", "expected"), [(0.65, "µm", 0.65), (325, "nm", 0.325), (2, "furlong", None)])
def test_the_pixel_size_of_ome_tiff(tmp_path, size, unit, expected):
    metadata = {"axes": "YX", "PhysicalSizeX": size, "PhysicalSizeXUnit": unit}
    tifffile.imwrite(tmp_path / "a.ome.tif", np.zeros((9, 8), np.uint8), ome=True, metadata=metadata)
    assert read_pixel_size(tmp_path / "a.ome.tif") == (expected and pytest.approx(expected))
    tifffile.imwrite(tmp_path / "b.ome.tif", np.zeros((9, 8), np.uint8), ome=True)
    assert read_pixel_size(tmp_path / "b.ome.tif") is None


@pytest.mark.parametrize(
    "text", ["<OME><BinaryOnly/></OME>", "<OME><Image><Pixels PhysicalSizeX='abc'/></Image></OME>", "<OME"]
)
def test_a_pixel_size_that_cannot_be_read_is_none(text):
    assert tiff._ome_pixel_size(text) is None


def test_a_pixel_size_that_is_not_a_number_is_none(tmp_path):
    tifffile.imwrite(tmp_path / "a.ome.tif", np.zeros((4, 5), np.uint8), metadata={"axes": "YX", "PhysicalSizeX": float("nan")})
    assert read_pixel_size(tmp_path / "a.ome.tif") is None
    tifffile.imwrite(tmp_path / "b.ome.tif", np.zeros((4, 5), np.uint8),
                     metadata={"axes": "YX", "PhysicalSizeX": 0.0005, "PhysicalSizeXUnit": "mm"})  # fmt: skip
    assert read_pixel_size(tmp_path / "b.ome.tif") == pytest.approx(0.5)


def test_slices_that_look_like_colours(tmp_path):
    for pages, options, expected in ((3, {}, True), (4, {}, True), (5, {}, False), (3, {"metadata": {"axes": "ZYX"}}, False)):
        tifffile.imwrite(tmp_path / "a.tif", np.zeros((pages, 40, 50), np.uint16), **options)
        assert has_planar_colours(tmp_path / "a.tif") == expected, (pages, options)


def test_a_palette_gives_its_colours(tmp_path):
    for bits in (257, 1):  # of 16 bits, as TIFF asks for, and of 8, as some programs write
        palette = np.zeros((3, 256), np.uint16)
        palette[:, 7] = 10 * bits, 20 * bits, 30 * bits
        tifffile.imwrite(tmp_path / "a.tif", np.full((4, 5), 7, np.uint8), photometric="palette", colormap=palette)
        assert read_planes(tmp_path / "a.tif")[0, 0, 0].tolist() == [10, 20, 30]


def test_a_palette_of_imagej_only_shows_the_values(tmp_path):
    palette = np.zeros((3, 256), np.uint16)
    palette[2] = np.arange(256) * 257  # blue
    image = np.arange(20, dtype=np.uint8).reshape(4, 5)
    tifffile.imwrite(tmp_path / "a.tif", image, photometric="palette", colormap=palette, description="ImageJ=1.54f\n")
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif"), image)


def test_high_values_that_are_dark_become_bright_ones_except_those_of_imagej(tmp_path):
    image = np.arange(20, dtype=np.uint8).reshape(4, 5)
    for description, expected in (("", 255 - image), ("ImageJ=1.54f\n", image)):
        tifffile.imwrite(tmp_path / "a.tif", image, photometric="miniswhite", description=description, metadata=None)
        np.testing.assert_array_equal(read_image(tmp_path / "a.tif"), expected)


def test_colours_other_than_rgb_are_read_in_jpeg_only(tmp_path):
    PIL.Image.new("RGB", (40, 30), (200, 100, 50)).convert("YCbCr").save(tmp_path / "a.tif")
    with pytest.raises(ValueError, match="a.tif: its colours are YCBCR, which this program does not read; save it as RGB"):
        read_image(tmp_path / "a.tif")

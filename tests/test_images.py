"""Image files of every bit depth and kind, stacks, and files that are refused by name."""

import re

import imagecodecs
import imageio.v3 as iio
import numpy as np
import PIL.Image
import pytest
import tifffile

from readers.images import as_image, read_image, read_planes, read_stack

RGBA = np.array([[[255, 0, 0, 255], [10, 10, 10, 255]]], np.uint8)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".bmp"])
def test_images_come_back_as_stored(tmp_path, suffix):
    image = np.random.default_rng(0).integers(0, 255, (5, 7, 3), dtype=np.uint8)
    iio.imwrite(tmp_path / f"a{suffix}", image)
    np.testing.assert_array_equal(read_image(tmp_path / f"a{suffix}"), image)


@pytest.mark.parametrize("compression", [None, "lzw", "deflate", "zstd"])
def test_sixteen_bit_and_compressed_tiff(tmp_path, compression):
    image = np.random.default_rng(0).integers(0, 65535, (9, 8), dtype=np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", image, compression=compression)
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif"), image)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("kept", [0, 20, 0.6])
def test_a_truncated_image_is_refused_by_name(tmp_path, suffix, kept):
    path = tmp_path / f"cell7{suffix}"
    iio.imwrite(path, np.random.default_rng(0).integers(0, 255, (64, 64), dtype=np.uint8))
    whole = path.read_bytes()
    path.write_bytes(whole[: int(kept * len(whole)) if isinstance(kept, float) else kept])
    with pytest.raises(ValueError, match=rf"cell7\{suffix}: unreadable or truncated"):
        read_image(path)


def test_a_file_of_another_kind_is_refused():
    with pytest.raises(ValueError, match=r"notes\.txt: not an image this program reads"):
        read_image(b"hello", "notes.txt")


@pytest.mark.parametrize("options", [{}, {"compression": "lzw"}, {"metadata": {"axes": "ZYX"}}])
def test_every_page_of_a_stack_is_read(tmp_path, options):
    stack = np.arange(4 * 5 * 6, dtype=np.uint16).reshape(4, 5, 6)
    tifffile.imwrite(tmp_path / "a.tif", stack, photometric="minisblack", **options)
    np.testing.assert_array_equal(read_stack(tmp_path / "a.tif"), stack)
    with pytest.raises(ValueError, match=r"a\.tif: holds 4 pages; expected one image"):
        read_image(tmp_path / "a.tif")


def test_an_imagej_stack_without_axes_is_one_of_pages(tmp_path):
    """ImageJ calls them channels."""
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((7, 5, 6), np.uint8), imagej=True)
    assert read_stack(tmp_path / "a.tif").shape == (7, 5, 6)


def test_a_stack_of_one_slice(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.eye(5, dtype=np.uint8))
    assert read_stack(tmp_path / "a.tif").shape == (1, 5, 5)


@pytest.mark.parametrize("shape", [(5, 6, 3), (4, 5, 6, 3)])
def test_a_stack_that_is_rgb_by_mistake(tmp_path, shape):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros(shape, np.uint8), photometric="rgb")
    with pytest.raises(ValueError, match=r"a\.tif: its pages have 3 channels \(RGB by mistake\?\)"):
        read_stack(tmp_path / "a.tif")


def test_colours_stored_one_after_the_other(tmp_path):
    image = np.arange(3 * 5 * 6, dtype=np.uint8).reshape(3, 5, 6)
    tifffile.imwrite(tmp_path / "a.tif", image, photometric="rgb", planarconfig="separate")
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif"), np.moveaxis(image, 0, -1))


def test_pages_of_different_sizes(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(np.zeros((5, 6), np.uint8))
        file.write(np.zeros((7, 6), np.uint8))
    with pytest.raises(ValueError, match=r"a\.tif: holds 2 images of different sizes or kinds"):
        read_image(tmp_path / "a.tif")


def test_jpeg_is_read_alone_and_inside_a_tiff(tmp_path):
    image = np.full((16, 24, 3), (200, 100, 50), np.uint8)
    iio.imwrite(tmp_path / "a.jpg", image, quality=95)
    tifffile.imwrite(tmp_path / "a.tif", image, compression="jpeg", photometric="rgb")
    for name in ("a.jpg", "a.tif"):
        np.testing.assert_allclose(read_image(tmp_path / name), image, atol=4)


@pytest.mark.parametrize(
    ("array", "shape", "dtype", "value"),
    [
        (np.ones((4, 5), bool), (4, 5, 1), np.uint8, 255),
        (np.full((4, 5, 4), 7, np.uint16), (4, 5, 3), np.uint16, 7),
        (np.full((4, 5, 2), 7, np.uint8), (4, 5, 1), np.uint8, 7),
        (np.full((4, 5), -3, np.int32), (4, 5, 1), np.float32, -3),
        (np.full((4, 5), 0.5), (4, 5, 1), np.float32, 0.5),
    ],
)
def test_what_a_sample_takes(array, shape, dtype, value):
    image = as_image(array, "a.tif")
    assert image.shape == shape and image.dtype == dtype and (image == value).all()


def test_values_that_are_no_numbers():
    with pytest.raises(ValueError, match=r"a\.tif: holds complex128 values"):
        as_image(np.zeros((4, 5), complex), "a.tif")


def test_pages_of_every_kind_are_read_one_by_one(tmp_path):
    stack = np.random.default_rng(0).integers(0, 999, (6, 9, 8), dtype=np.uint16)
    tifffile.imwrite(tmp_path / "pages.tif", stack, photometric="minisblack")
    tifffile.imwrite(tmp_path / "imagej.tif", stack.reshape(2, 3, 9, 8), imagej=True, metadata={"axes": "TZYX"})
    tifffile.imwrite(tmp_path / "ome.ome.tif", stack.reshape(3, 2, 9, 8), ome=True, metadata={"axes": "ZTYX"})
    for name in ("pages.tif", "imagej.tif", "ome.ome.tif"):
        np.testing.assert_array_equal(read_planes(tmp_path / name)[..., 0], stack)
    iio.imwrite(tmp_path / "a.png", RGBA)
    np.testing.assert_array_equal(read_planes(tmp_path / "a.png"), RGBA[None])
    np.testing.assert_array_equal(read_planes(tmp_path / "a.png", 2), RGBA[None, ..., 1:2])


def test_a_channel_must_be_chosen_and_be_there(tmp_path):
    stack = np.random.default_rng(0).integers(0, 999, (3, 2, 9, 8), dtype=np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", stack, imagej=True, metadata={"axes": "ZCYX"})
    np.testing.assert_array_equal(read_planes(tmp_path / "a.tif", 2)[..., 0], stack[:, 1])
    with pytest.raises(ValueError, match=r"a\.tif: holds 2 channels; choose the one .* --channel 1 to 2"):
        read_planes(tmp_path / "a.tif")
    with pytest.raises(ValueError, match=r"a\.tif: has no channel 3; its channels are 1 to 2"):
        read_planes(tmp_path / "a.tif", 3)


def test_an_image_of_a_single_row(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((1, 9), np.uint8), shaped=True, metadata={"axes": "YX"})
    assert read_planes(tmp_path / "a.tif").shape == (1, 1, 9, 1)


def test_colours_of_sixteen_bits_are_kept(tmp_path):
    image = np.random.default_rng(0).integers(0, 4000, (9, 8, 3), dtype=np.uint16)
    (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(image))
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), image)
    np.testing.assert_array_equal(read_image((tmp_path / "a.png").read_bytes(), "a.png"), image)


def test_channels_are_not_taken_for_colours(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((4, 9, 8), np.uint8), imagej=True, metadata={"axes": "CYX"})
    with pytest.raises(ValueError, match=r"a\.tif: holds 4 channels that are not colours"):
        read_image(tmp_path / "a.tif")


@pytest.mark.parametrize(
    "settings",
    [{"imagej": True, "metadata": {"axes": "ZYX"}}, {"compression": "deflate"}, {"ome": True, "metadata": {"axes": "ZYX"}}],
)
def test_a_truncated_stack_is_refused(tmp_path, settings):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.random.default_rng(0).integers(0, 255, (10, 60, 70), dtype=np.uint8), **settings)
    assert len(read_planes(path)) == 10
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * 0.6)])
    with pytest.raises(ValueError, match="a.tif: unreadable or truncated image"):
        read_planes(path)


def test_one_channel_as_the_last_axis_is_one_page(tmp_path):
    image = np.arange(75 * 131, dtype=np.uint16).reshape(75, 131, 1)
    tifffile.imwrite(tmp_path / "a.tif", image)
    np.testing.assert_array_equal(read_planes(tmp_path / "a.tif"), image[None])


@pytest.mark.parametrize("samples", [2, 4])
def test_samples_that_are_no_colours_are_channels(tmp_path, samples):
    image = np.random.default_rng(0).integers(0, 255, (30, 40, samples), dtype=np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", image, photometric="minisblack", planarconfig="contig")
    with pytest.raises(ValueError, match=f"a.tif: holds {samples} channels; choose the one"):
        read_planes(tmp_path / "a.tif")
    np.testing.assert_array_equal(read_planes(tmp_path / "a.tif", samples)[0, ..., 0], image[..., -1])
    tifffile.imwrite(tmp_path / "b.tif", image[..., :2], photometric="minisblack", planarconfig="contig", extrasamples=[2])
    np.testing.assert_array_equal(as_image(read_planes(tmp_path / "b.tif")[0], "b"), image[..., :1])  # gray and alpha


def test_positions_of_an_ome_tiff_are_pages_and_a_file_of_a_set_is_itself(tmp_path):
    pages = np.random.default_rng(0).integers(0, 255, (3, 30, 40), dtype=np.uint8)
    with tifffile.TiffWriter(tmp_path / "a.ome.tif", ome=True) as file:
        for page in pages:
            file.write(page, metadata={"axes": "YX"})
    np.testing.assert_array_equal(read_planes(tmp_path / "a.ome.tif")[..., 0], pages)
    description = tifffile.OmeXml()
    description.addimage("uint8", (3, 30, 40), (3, 1, 1, 30, 40, 1), axes="TYX")
    text = description.tostring().replace('IFD="0" PlaneCount="3"', "")
    parts = "".join(
        f'<TiffData FirstT="{i}" FirstC="0" FirstZ="0" IFD="0" PlaneCount="1">'
        f'<UUID FileName="{i}.ome.tif">urn:uuid:0000000{i}-0000-0000-0000-000000000000</UUID></TiffData>'
        for i in range(3)
    )
    text = re.sub(r"<TiffData[^>]*/>|<TiffData[^>]*></TiffData>", parts, text)
    assert parts in text
    for number, page in enumerate(pages):
        tifffile.imwrite(tmp_path / f"{number}.ome.tif", page, description=text.encode(), metadata=None)
    np.testing.assert_array_equal(read_planes(tmp_path / "1.ome.tif")[..., 0], pages[1:2])


@pytest.mark.parametrize(("photometric", "samples"), [("rgb", 3), ("minisblack", 4)])
def test_several_channels_of_several_samples_are_refused(tmp_path, photometric, samples):
    settings = {"photometric": photometric, "planarconfig": "contig", "metadata": {"axes": "CYXS"}}
    tifffile.imwrite(tmp_path / "a.ome.tif", np.zeros((2, 30, 40, samples), np.uint8), **settings)
    with pytest.raises(ValueError, match="a.ome.tif: holds several channels, each with several samples per pixel"):
        read_planes(tmp_path / "a.ome.tif", 1)


def test_of_a_photograph_with_a_preview_the_photograph_is_read(tmp_path):
    pictures = [PIL.Image.new("RGB", size, (200, 100, 50)) for size in ((40, 30), (4, 3))]
    pictures[0].save(tmp_path / "a.jpg", format="MPO", save_all=True, append_images=pictures[1:])
    assert read_image(tmp_path / "a.jpg").shape == (30, 40, 3)


def test_pictures_that_pillow_would_change(tmp_path):
    deep = np.random.default_rng(0).integers(0, 65535, (30, 40, 2), dtype=np.uint16)
    (tmp_path / "deep.png").write_bytes(imagecodecs.png_encode(deep))
    np.testing.assert_array_equal(read_planes(tmp_path / "deep.png")[0], deep)
    PIL.Image.new("CMYK", (40, 30), (0, 0, 0, 255)).save(tmp_path / "black.jpg")
    assert read_planes(tmp_path / "black.jpg").shape == (1, 30, 40, 3) and read_planes(tmp_path / "black.jpg").max() < 5
    frames = [PIL.Image.fromarray(deep[..., 0].astype(np.uint8)) for _ in range(3)]
    frames[1].putpixel((0, 0), 0 if frames[1].getpixel((0, 0)) else 255)
    frames[0].save(tmp_path / "moving.png", save_all=True, append_images=frames[1:])
    with pytest.raises(ValueError, match="moving.png: .*an animation of"):
        read_planes(tmp_path / "moving.png")

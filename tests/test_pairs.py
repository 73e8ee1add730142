"""A folder of images beside one of masks, numbered or binary; what does not fit is refused by name."""

import zipfile

import imageio.v3 as iio
import numpy as np
import pytest
import tifffile

import dsb
from readers.archives import open_archive
from readers.pairs import find_pairs

NUMBERED = np.zeros((6, 8), np.uint16)
NUMBERED[:3, :4], NUMBERED[:3, 4:], NUMBERED[5, 7] = 300, 7, 7


@pytest.fixture
def folder(tmp_path):
    """Two images, the mask of one with numbers in a TIFF, of the other with 0 and 255 in a PNG."""
    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()
    iio.imwrite(tmp_path / "images/a.png", np.arange(48, dtype=np.uint8).reshape(6, 8))
    iio.imwrite(tmp_path / "images/b.jpg", np.arange(48, dtype=np.uint8).reshape(6, 8))
    tifffile.imwrite(tmp_path / "masks/a.tif", NUMBERED)
    iio.imwrite(tmp_path / "masks/b.png", np.where(NUMBERED > 0, 255, 0).astype(np.uint8))
    return tmp_path


def test_numbers_are_kept_and_connected_parts_numbered(folder):
    first, second = dsb.load(folder, cache=None)
    assert (first.name, second.name) == ("a", "b")
    np.testing.assert_array_equal(first.mask, NUMBERED)
    assert second.mask[0, 0] == second.mask[2, 7] != second.mask[5, 7] != 0 and second.mask.max() == 2


def test_a_single_pair_of_one_name(folder):
    for name in ("images/b.jpg", "masks/b.png"):
        (folder / name).unlink()
    with open_archive(folder) as archive:
        assert find_pairs(archive) == {"a": ("images/a.png", ["masks/a.tif"])}
    assert dsb.load(folder, cache=None)[0].mask.max() == 300


def test_a_folder_per_image_with_a_single_numbered_mask_needs_the_same_name(folder):
    """ImageId/masks holds binary masks, one per object: numbers in them are a mistake."""
    for name in "ab":
        for kind in ("images", "masks"):
            (folder / name / kind).mkdir(parents=True)
            found = next((folder / kind).glob(f"{name}.*"))
            found.rename(folder / name / kind / f"{kind}{found.suffix}")
    with pytest.raises(ValueError, match=r"masks\.tif: mask values 0, 7, 300; a binary mask holds"):
        dsb.load(folder, cache=None)


def test_folders_in_datasets_are_found(folder):
    assert dsb.find(folder) == folder and not dsb.is_published(folder)


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("masks/a.tif", np.ones((6, 8), np.float32), "holds float32 values; a mask holds whole numbers"),
        ("masks/a.tif", np.full((6, 8), 70_000, np.uint32), "numbers from 70000 to 70000; objects have numbers from 1"),
        ("masks/a.tif", np.full((6, 8), -1, np.int16), "numbers from -1 to -1"),
        ("masks/a.tif", np.ones((6, 9), np.uint8), r"the mask is \(6, 9\) px, its image \(6, 8\) px"),
        ("masks/b.png", np.full((6, 8, 3), (0, 0, 255), np.uint8), "a coloured mask"),
        ("masks/c.png", np.ones((6, 8), np.uint8), "mask without image; expected .* of the same names"),
        ("images/c.png", np.ones((6, 8), np.uint8), "image without mask; expected .* of the same names"),
        ("images/a.tif", np.ones((6, 8), np.uint8), "a second image for a; expected one of each name"),
        ("masks/b.tif", np.ones((6, 8), np.uint8), "a second mask for b; expected one of each name"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(folder, name, values, message):
    (tifffile.imwrite if name.endswith("tif") else iio.imwrite)(folder / name, values)
    with pytest.raises(ValueError, match=f"{name}.*{message}"):
        dsb.load(folder, cache=None)


def test_a_jpeg_cannot_be_a_mask(folder):
    (folder / "masks/b.png").unlink()
    iio.imwrite(folder / "masks/b.jpg", np.zeros((6, 8), np.uint8))
    with pytest.raises(ValueError, match=r"b\.jpg: JPEG changes the values of a mask; save it as PNG or TIFF"):
        dsb.load(folder, cache=None)


def test_links_other_files_and_backslashes(folder, tmp_path_factory):
    """Folders that are links, a Thumbs.db beside the images, and a zip file packed with backslashes."""
    expected = [sample.name for sample in dsb.load(folder, cache=None)]
    (folder / "images/Thumbs.db").write_bytes(b"x")
    linked = tmp_path_factory.mktemp("linked")
    for kind in ("images", "masks"):
        (linked / kind).symlink_to(folder / kind)
    packed = linked / "packed.zip"
    with zipfile.ZipFile(packed, "w") as file:
        for path in folder.glob("*/*"):
            file.writestr(f"{path.parent.name}\\{path.name}", path.read_bytes())
    packed.rename(folder / "packed.zip")
    for source in (linked, folder / "packed.zip"):
        assert [sample.name for sample in dsb.load(source, cache=None)] == expected

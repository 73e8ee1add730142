"""A folder of images beside one of masks, numbered or binary; what does not fit is refused by name."""

import zipfile

import imageio.v3 as iio
import numpy as np
import pytest
import tifffile

from readers.archives import open_archive
from readers.pairs import find_pairs, read_pair

NUMBERED = np.zeros((6, 8), np.uint16)
NUMBERED[:3, :4], NUMBERED[:3, 4:], NUMBERED[5, 7] = 300, 7, 7


def load(source, classes=2):
    with open_archive(source) as archive:
        return [read_pair(archive, name, *files, classes) for name, files in find_pairs(archive).items()]


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
    first, second = load(folder)
    assert (first.name, second.name) == ("a", "b")
    np.testing.assert_array_equal(first.mask, NUMBERED)
    assert second.mask[0, 0] == second.mask[2, 7] != second.mask[5, 7] != 0 and second.mask.max() == 2


def test_a_single_pair_of_one_name(folder):
    for name in ("images/b.jpg", "masks/b.png"):
        (folder / name).unlink()
    with open_archive(folder) as archive:
        assert find_pairs(archive) == {"a": ("images/a.png", ["masks/a.tif"])}
    assert load(folder)[0].mask.max() == 300


def test_a_folder_per_image_with_a_single_numbered_mask_needs_the_same_name(folder):
    """ImageId/masks holds binary masks, one per object: numbers in them are a mistake."""
    for name in "ab":
        for kind in ("images", "masks"):
            (folder / name / kind).mkdir(parents=True)
            found = next((folder / kind).glob(f"{name}.*"))
            found.rename(folder / name / kind / f"{kind}{found.suffix}")
    with pytest.raises(ValueError, match=r"masks\.tif: mask values 0, 7, 300; a binary mask holds"):
        load(folder)


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("masks/a.tif", np.ones((6, 8), np.float32), "holds float32 values; a mask holds whole numbers"),
        ("masks/a.tif", np.full((6, 8), 2**31, np.uint32), "numbers from 2147483648 to 2147483648; objects have numbers"),
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
        load(folder)


def test_a_jpeg_cannot_be_a_mask(folder):
    (folder / "masks/b.png").unlink()
    iio.imwrite(folder / "masks/b.jpg", np.zeros((6, 8), np.uint8))
    with pytest.raises(ValueError, match=r"b\.jpg: JPEG changes the values of a mask; save it as PNG or TIFF"):
        load(folder)


def test_links_other_files_and_backslashes(folder, tmp_path_factory):
    """Folders that are links, a Thumbs.db beside the images, and a zip file packed with backslashes."""
    expected = [sample.name for sample in load(folder)]
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
        assert [sample.name for sample in load(source)] == expected


def test_numbers_above_16_bits_are_kept(folder):
    tifffile.imwrite(folder / "masks/a.tif", np.where(NUMBERED == 300, 70_000, NUMBERED.astype(np.uint32)))
    mask = load(folder)[0].mask
    assert mask.dtype == np.uint32 and np.unique(mask).tolist() == [0, 7, 70_000]


@pytest.mark.parametrize("high", [1, 255, 65_535])
def test_masks_for_single_objects_in_any_encoding(folder, high):
    (folder / "x/images").mkdir(parents=True)
    (folder / "x/masks").mkdir()
    (folder / "images/a.png").rename(folder / "x/images/x.png")
    for name, row in (("x.tif", 0), ("2.TIF", 4)):
        mask = np.zeros((6, 8), np.uint16)
        mask[row, [1, 5]] = high  # one object in two parts
        tifffile.imwrite(folder / "x/masks" / name, mask)
    mask = load(folder / "x")[0].mask
    assert mask.dtype == np.uint16 and mask[0, 1] == mask[0, 5] != mask[4, 1] == mask[4, 5] and set(mask.flat) == {0, 1, 2}


def test_class_numbers_become_objects_of_classes(folder):
    classes = (NUMBERED > 0).astype(np.uint8) + (NUMBERED == 300)
    tifffile.imwrite(folder / "masks/a.tif", classes)
    iio.imwrite(folder / "masks/b.png", np.uint8(NUMBERED > 0))  # shows the first class only
    first, second = load(folder, classes=3)
    np.testing.assert_array_equal(first.object_classes[first.mask], classes)
    assert second.object_classes.tolist() == [0, 1, 1]


def test_hidden_files_and_suffixes_in_capitals(folder):
    (folder / "images/a.png").rename(folder / "images/a.PNG")
    (folder / "masks/a.tif").rename(folder / "masks/a.TIFF")
    for name in ("images/._a.PNG", "masks/._b.png", "__MACOSX/images/c.png", ".cache/images/d.png"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")
    assert [sample.name for sample in load(folder)] == ["a", "b"]


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (["a.tif", "b.TIF", "c.tiff"], r"found 3 images \(3 in no folder\), but not both images and masks"),
        (["images/a.tif", "images/b.tif", "labels/a.tif"], r"found 3 images \(2 in images, 1 in labels\), but not both"),
        (["day1/a.tif", "day2/a.tif", "day2/b.tif"], r"found 3 images \(2 in day2, 1 in day1\), but not both"),
        (["a.czi", "b.czi", "notes.txt"], r"holds no images \(.png, .*\), only other files \(2 .czi, 1 .txt\)"),
        ([f"{number}/a.png" for number in range(6)], r"found 6 images \(1 in 0, 1 in 1, 1 in 2, 1 in 3, \.\.\.\)"),
        ([".DS_Store"], "holds no files"),
    ],
)
def test_a_folder_in_another_layout_is_told_what_is_expected(tmp_path, names, found):
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    with pytest.raises(ValueError, match=rf"{tmp_path}: {found}.*; expected ImageId/images/.* To train, put images into"):
        load(tmp_path)

"""Tomography: files, multi-page samples, whole samples held out."""

import numpy as np
import pytest
import tifffile

import tomography
from readers import ctc


def write(folder, name, pages=None, shape=(16, 20)):
    """An image and its label under inp and out; with ``pages`` a stack."""
    size = shape if pages is None else (pages, *shape)
    for kind, dtype in (("inp", np.uint16), ("out", np.uint8)):
        (folder / kind).mkdir(exist_ok=True)
        tifffile.imwrite(folder / kind / f"{name}.tiff", np.full(size, 255, dtype), photometric="minisblack")


@pytest.fixture
def folder(tmp_path):
    """Samples 1, 2 and 10 with two slices each."""
    for specimen in (1, 2, 10):
        for number in (0, 1):
            write(tmp_path, f"{specimen}_image_{number:04d}")
    return tmp_path


def test_slices_in_the_order_of_their_samples(folder):
    samples = tomography.load(folder)
    assert [s.name for s in samples] == [f"{s}_image_{n:04d}" for s in (1, 2, 10) for n in (0, 1)]
    assert [s.stratum for s in samples] == [1, 1, 2, 2, 3, 3]
    assert samples[0].image.dtype == np.uint16 and samples[0].mask.max() == 1
    assert tomography.hold_outs(samples) == ["1", "2", "10"]


def test_multi_page_samples_beside_single_slices(folder):
    write(folder, "9", pages=3)
    samples = tomography.load(folder)
    assert [s.name for s in samples if s.name.startswith("9")] == ["9_image_0000", "9_image_0001", "9_image_0002"]


def test_whole_samples_are_held_out(folder):
    split = tomography.split(tomography.load(folder), tomography.CONFIG.replace(hold_out="2"))
    assert [{tomography.specimen(s) for s in members} for _, members in split.items()] == [{"1"}, {"10"}, {"2"}]
    with pytest.raises(ValueError, match="--hold-out 7: not among the data, which has 1, 2, 10"):
        tomography.split(tomography.load(folder), tomography.CONFIG.replace(hold_out="7"))


def test_a_sample_with_one_slice(folder):
    write(folder, "11_image_0000")
    write(folder, "12", pages=1)
    split = tomography.split(tomography.load(folder), tomography.CONFIG.replace(hold_out="12"))
    assert [s.name for s in split.test] == ["12_image_0000"] and split.test[0].mask.shape == (16, 20)


def test_unequal_numbers_of_slices(folder):
    write(folder, "9", pages=3)
    tifffile.imwrite(folder / "out/9.tiff", np.zeros((2, 16, 20), np.uint8), photometric="minisblack")
    with pytest.raises(ValueError, match=r"out/9\.tiff: has 2 slices, its image 3; they must be equal"):
        tomography.load(folder)


def test_a_label_without_its_image_and_an_image_without_label(folder):
    (folder / "inp/2_image_0001.tiff").unlink()
    with pytest.raises(ValueError, match=r"out/2_image_0001\.tiff: label without image; expected .*inp/2_image_0001\.tiff"):
        tomography.load(folder)
    (folder / "out/2_image_0001.tiff").unlink()
    (folder / "out/1_image_0000.tiff").unlink()
    with pytest.raises(ValueError, match=r"inp/1_image_0000\.tiff: image without label"):
        tomography.load(folder)


def test_labels_of_another_size_and_of_other_values(folder):
    tifffile.imwrite(folder / "out/1_image_0000.tiff", np.zeros((16, 21), np.uint8))
    with pytest.raises(ValueError, match=r"the label is \(16, 21\) px, its image \(16, 20\) px"):
        tomography.load(folder)
    tifffile.imwrite(folder / "out/1_image_0000.tiff", np.full((16, 20), 0.5, np.float32))
    with pytest.raises(ValueError, match=r"1_image_0000\.tiff: holds float32 values; a mask holds whole numbers"):
        tomography.load(folder)


def test_an_empty_folder(tmp_path):
    (tmp_path / "inp").mkdir()
    with pytest.raises(ValueError, match="inp: holds no TIFF images"):
        tomography.load(tmp_path)
    with pytest.raises(ValueError, match="holds neither inp and out nor sequences"):
        tomography.load(tmp_path / "inp")
    assert tomography.find(tmp_path / "nowhere") is None


def test_sequences_of_the_cell_tracking_challenge_are_samples(tmp_path):
    for sequence in ("01", "02"):
        for kind, dtype in ((sequence, np.uint8), (f"{sequence}_ST/SEG", np.uint16)):
            (tmp_path / "a" / kind).mkdir(parents=True)
            name = "t000.tif" if kind == sequence else "man_seg000.tif"
            tifffile.imwrite(tmp_path / "a" / kind / name, np.full((16, 20), 9, dtype))
    samples = tomography.load(tmp_path)
    assert [s.name for s in samples] == ["a-01_image_0000", "a-02_image_0000"] and samples[0].mask.max() == 9
    assert tomography.find(tmp_path) == tmp_path and ctc.datasets(tmp_path) == [tmp_path / "a"]


def test_own_sequences_under_a_published_name_are_not_published(tmp_path):
    for kind, values in (("01", np.full((16, 20), 9, np.uint8)), ("01_ST/SEG", np.full((16, 20), 9, np.uint16))):
        folder = tmp_path / "sets/PhC-C2DH-U373" / kind
        folder.mkdir(parents=True)
        tifffile.imwrite(folder / ("t000.tif" if kind == "01" else "man_seg000.tif"), values)
    assert not tomography.RECIPE.is_published(tomography.load(tmp_path / "sets"), tmp_path / "sets")


def test_slices_of_class_numbers(folder):
    for path in (folder / "out").iterdir():
        tifffile.imwrite(path, np.kron([[0, 1], [2, 2]], np.ones((8, 10))).astype(np.uint8))
    samples = tomography.load(folder, tomography.CONFIG.replace(classes=3))
    assert all(sample.object_classes.tolist() == [0, 1, 2] and sample.mask.max() == 2 for sample in samples)


def test_names_that_do_not_say_the_sample(tmp_path):
    """Each slice would be a sample of its own, beside its neighbours in other roles."""
    for number in range(4):
        write(tmp_path, f"1_{number:04d}")
    with pytest.raises(ValueError, match=r"4 of 4 samples have one slice, for example 1_0000; expected names like"):
        tomography.load(tmp_path)


def test_a_colour_stack_and_a_sample_that_is_there_twice(folder):
    write(folder, "1", pages=2)
    with pytest.raises(ValueError, match="1_image_0000 exists as a file and in a multi-page file"):
        tomography.load(folder)
    tifffile.imwrite(folder / "inp/1.tiff", np.zeros((2, 16, 20, 3), np.uint8), photometric="rgb")
    with pytest.raises(ValueError, match=r"inp/1\.tiff: its pages have 3 channels \(RGB by mistake"):
        tomography.load(folder)


@pytest.mark.parametrize("pages", [None, 3])
def test_cells_are_numbered_in_each_slice(folder, pages):
    mask = np.zeros((16, 20), np.uint8)
    mask[:4, :4], mask[8:, 8:12], mask[8:, 16:] = 255, 255, 255
    name = "1_image_0000" if pages is None else "9"
    write(folder, name, pages)
    tifffile.imwrite(folder / f"out/{name}.tiff", mask if pages is None else np.stack([mask] * pages), photometric="minisblack")
    (folder / "inp/._1_image_0000.tiff").write_bytes(b"x")  # as macOS leaves them
    samples = [sample for sample in tomography.load(folder) if sample.name.startswith(name)]
    assert [np.unique(sample.mask).tolist() for sample in samples] == [[0, 1, 2, 3]] * (pages or 1)

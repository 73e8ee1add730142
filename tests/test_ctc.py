"""The layout of the Cell Tracking Challenge: labels, pixel size, and files that do not belong together."""

import numpy as np
import pytest
import tifffile

from readers import ctc


def write(path, array, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(path, array, **options)


@pytest.fixture
def folder(tmp_path):
    """Four frames of sequence 01; gold labels of frame 2, silver ones of frames 0, 1 and 2."""
    for frame in range(4):
        image = np.full((20, 30), frame, np.uint8)
        write(tmp_path / f"01/t{frame:03d}.tif", image, compression="lzw", resolution=(2e4, 2e4), resolutionunit="CENTIMETER")
    write(tmp_path / "01_GT/SEG/man_seg002.tif", np.full((20, 30), 7, np.uint16))
    for frame in range(3):
        write(tmp_path / f"01_ST/SEG/man_seg{frame:03d}.tif", np.full((20, 30), 300, np.uint16))
    return tmp_path


def test_every_labelled_frame_is_read_once_per_label(folder):
    samples = ctc.load(folder)
    assert [s.name for s in samples] == ["01_t000_silver", "01_t001_silver", "01_t002_gold", "01_t002_silver"]
    assert [s.stratum for s in samples] == [ctc.SILVER, ctc.SILVER, ctc.GOLD, ctc.SILVER]
    assert samples[2].mask.max() == 7 and samples[3].mask.max() == 300 and samples[1].image[0, 0, 0] == 1
    assert samples[0].pixel_size == pytest.approx(0.5) and ctc.place(samples[2]) == ("01", 2)


@pytest.mark.parametrize(
    ("labels", "expected"),
    [("gold", ["01_t002_gold"]), ("silver", ["01_t000_silver", "01_t001_silver", "01_t002_silver"]),
     ("both", ["01_t000_silver", "01_t001_silver", "01_t002_gold"])],
)  # fmt: skip
def test_gold_silver_or_the_better_of_both(folder, labels, expected):
    assert [s.name for s in ctc.select_labels(ctc.load(folder), labels)] == expected


def test_labels_that_are_not_there(folder):
    (folder / "01_GT/SEG/man_seg002.tif").unlink()
    with pytest.raises(ValueError, match="--labels gold: the data set has no such labels"):
        ctc.select_labels(ctc.load(folder), "gold")


def test_a_label_without_its_frame(folder):
    (folder / "01/t001.tif").unlink()
    with pytest.raises(ValueError, match=r"man_seg001\.tif: label without image; expected frame 1"):
        ctc.load(folder)


def test_labels_of_another_size(folder):
    write(folder / "01_ST/SEG/man_seg000.tif", np.zeros((20, 29), np.uint16))
    with pytest.raises(ValueError, match=r"man_seg000\.tif: the labels are \(20, 29\) px, their image \(20, 30\) px"):
        ctc.load(folder)


def test_three_dimensional_labels_are_refused(folder):
    write(folder / "01_GT/SEG/man_seg_002_001.tif", np.zeros((20, 30), np.uint16))
    with pytest.raises(ValueError, match=r"man_seg_002_001\.tif: .* three-dimensional data are not read"):
        ctc.load(folder)


def test_a_stack_where_a_frame_was_expected(folder):
    write(folder / "01/t000.tif", np.zeros((3, 20, 30), np.uint8), photometric="minisblack")
    with pytest.raises(ValueError, match=r"t000\.tif: holds 3 pages"):
        ctc.load(folder)


def test_no_labels_at_all(tmp_path):
    (tmp_path / "01").mkdir()
    with pytest.raises(ValueError, match="holds no labels; expected 01_GT/SEG"):
        ctc.load(tmp_path)


def test_data_sets_beside_each_other(folder, tmp_path):
    assert ctc.datasets(folder) == [folder]
    (tmp_path / "x" / "02").mkdir(parents=True)
    (tmp_path / "x" / "other").mkdir()
    assert ctc.datasets(tmp_path / "x") == [tmp_path / "x"]
    assert ctc.datasets(tmp_path / "nowhere") == []


def test_hidden_files_and_other_spellings_of_the_suffix(folder):
    (folder / "01/t000.tif").rename(folder / "01/t000.TIF")
    (folder / "01/t001.tif").rename(folder / "01/T001.tiff")
    (folder / "01_GT/SEG/man_seg002.tif").rename(folder / "01_GT/SEG/man_seg002.Tiff")
    for name in ("01/._t000.TIF", "01_GT/SEG/._man_seg002.Tiff", "01_ST/SEG/.DS_Store", "01_ST/SEG/notes.txt"):
        (folder / name).write_bytes(b"x")
    samples = ctc.load(folder)
    assert [s.name for s in samples] == ["01_t000_silver", "01_t001_silver", "01_t002_gold", "01_t002_silver"]
    assert [ctc.place(s) for s in samples[:2]] == [("01", 0), ("01", 1)]


def test_a_frame_that_is_there_twice(folder):
    write(folder / "01/t0001.tiff", np.zeros((20, 30), np.uint8))
    with pytest.raises(ValueError, match=r"t001\.tif: has the same number, 1, as t0001\.tiff; remove one of the two"):
        ctc.load(folder)


@pytest.mark.parametrize(("highest", "dtype"), [(65_535, np.uint16), (65_536, np.uint32)])
def test_numbers_above_16_bits_are_kept(folder, highest, dtype):
    mask = np.zeros((20, 30), np.uint32)
    mask[:3, :3], mask[9:, 9:] = 5, highest
    write(folder / "01_GT/SEG/man_seg002.tif", mask)
    found = ctc.load(folder)[2].mask
    assert found.dtype == dtype and np.unique(found).tolist() == [0, 5, highest]


def test_cells_in_a_mask_of_two_values_are_numbered(folder):
    mask = np.zeros((20, 30), np.uint8)
    mask[:3, :3], mask[9:, 9:] = 255, 255
    write(folder / "01_GT/SEG/man_seg002.tif", mask)
    assert np.unique(ctc.load(folder)[2].mask).tolist() == [0, 1, 2]

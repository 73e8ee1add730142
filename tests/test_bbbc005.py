"""BBBC005: names, pairs, the split by scene, counts; simulated cells like the published ones."""

import shutil

import numpy as np
import pytest
import tifffile
from scipy import ndimage

import bbbc005
from data import Predictions, Sample
from explore.tables import object_diameters
from objects import Watershed
from simulate import particles as simulate_particles


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """Simulated scenes in the layout of the published set; read only."""
    return simulate_particles.particles(tmp_path_factory.mktemp("data") / "bbbc005", scenes=8)


@pytest.fixture
def folder(tmp_path):
    """Two tiny images with masks, to be broken."""
    for name in ("SIMCEPImages_A01_C1_F1_s01_w1.TIF", "SIMCEPImages_A01_C1_F1_s01_w2.TIF"):
        for kind in (bbbc005.IMAGES, bbbc005.MASKS):
            (tmp_path / kind).mkdir(exist_ok=True)
            tifffile.imwrite(tmp_path / kind / name, np.eye(32, dtype=np.uint8) * 255)
    return tmp_path


def as_predicted(samples):
    """A prediction without a border class that is the truth."""
    masks = [(sample.mask > 0).astype(np.uint8) for sample in samples]
    return Predictions(samples, [mask[..., None].astype(np.float32) for mask in masks], masks)


def test_what_a_name_says():
    assert bbbc005.parse_name("x/SIMCEPImages_A24_C100_F48_s17_w2.TIF") == ("A24", 100, 48, 17, 2)


@pytest.mark.parametrize("name", ["image.TIF", "SIMCEPImages_A24_C_F48_s17_w2.TIF", "SIMCEPImages_Z24_C1_F1_s1_w1.TIF"])
def test_other_names_are_refused(folder, name):
    tifffile.imwrite(folder / bbbc005.IMAGES / name, np.zeros((32, 32), np.uint8))
    with pytest.raises(ValueError, match=rf"{name}: is no file name of BBBC005"):
        bbbc005.load(folder)


def test_images_and_masks_as_read(folder):
    samples = bbbc005.load(folder)
    assert [sample.name[-6:] for sample in samples] == ["w1.TIF", "w2.TIF"]
    assert samples[0].image.shape == (32, 32, 1) and samples[0].image.dtype == np.uint8
    np.testing.assert_array_equal(samples[0].mask > 0, np.eye(32))


def test_cells_have_the_numbers_that_the_data_gives(folder):
    name = "SIMCEPImages_A01_C1_F1_s01_w1.TIF"
    assert bbbc005.load(folder)[0].mask.max() == 1
    (folder / bbbc005.OBJECTS).mkdir()
    tifffile.imwrite(folder / bbbc005.OBJECTS / name, np.full((32, 32), 9, np.uint8))
    assert bbbc005.load(folder)[0].mask.max() == 9


def test_an_image_in_focus_without_mask(folder):
    (folder / bbbc005.MASKS / "SIMCEPImages_A01_C1_F1_s01_w2.TIF").unlink()
    with pytest.raises(ValueError, match=r"w2\.TIF: image in focus without mask"):
        bbbc005.load(folder)


def test_a_blurred_image_without_mask_is_left_out(folder):
    path = folder / bbbc005.IMAGES / "SIMCEPImages_A01_C1_F23_s01_w1.TIF"
    tifffile.imwrite(path, np.zeros((32, 32), np.uint8))
    assert len(bbbc005.load(folder)) == 2


def test_a_mask_without_image(folder):
    (folder / bbbc005.IMAGES / "SIMCEPImages_A01_C1_F1_s01_w1.TIF").unlink()
    with pytest.raises(ValueError, match=r"w1\.TIF: mask without image"):
        bbbc005.load(folder)


def test_sizes_that_differ(folder):
    tifffile.imwrite(folder / bbbc005.MASKS / "SIMCEPImages_A01_C1_F1_s01_w1.TIF", np.zeros((32, 30), np.uint8))
    with pytest.raises(ValueError, match=r"w1\.TIF: the mask is \(32, 30\) px, its image \(32, 32\) px"):
        bbbc005.load(folder)


def test_an_empty_folder(tmp_path):
    with pytest.raises(ValueError, match="BBBC005_v1_images: holds no TIFF images"):
        bbbc005.load(tmp_path)


def test_images_without_any_masks_are_only_predicted(folder):
    assert bbbc005.load_unlabelled(folder) == []
    for path in (folder / bbbc005.MASKS).iterdir():
        path.unlink()
    (folder / bbbc005.MASKS).rmdir()
    unlabelled = bbbc005.load_unlabelled(folder)
    assert len(unlabelled) == 2 and not unlabelled[0].mask.any()


def test_scenes_stay_in_one_role_and_focus_levels_are_shared(published):
    samples = bbbc005.load(published)
    split = bbbc005.split(samples, bbbc005.CONFIG)
    scenes = {role: {bbbc005.parse_name(s.name).scene for s in members} for role, members in split.items()}
    assert not scenes["train"] & scenes["test"] and not scenes["validation"] & (scenes["train"] | scenes["test"])
    assert len(split.test) == len(samples) / 2
    for members in (split.train, split.test):
        assert np.mean([s.stratum == 1 for s in members]) == pytest.approx(0.5)


def test_simulated_cells_have_the_published_number_area_and_blur():
    rng = np.random.default_rng(0)
    centres = simulate_particles.scatter_cells(rng, 60, (520, 696))
    assert len(centres) == 60
    for stain, area in ((1, 905), (2, 3350)):
        image, labels = simulate_particles.draw_stain(rng, centres[:1] * 0 + 260, stain, (520, 696))
        mask = labels > 0
        assert mask.sum() == pytest.approx(area, rel=0.3)
        assert image[mask].mean() > 0.3 > 0.05 > image[~ndimage.binary_dilation(mask, iterations=4)].mean()
        sharp, blurred = simulate_particles.defocus(image, 1), simulate_particles.defocus(image, 48)
        assert blurred.max() < 0.8 * sharp.max()
        assert blurred.sum(dtype=float) == pytest.approx(sharp.sum(dtype=float), rel=0.1)


def test_true_masks_give_the_true_count(published):
    """Compact cells (w1) touch and are separated; the watershed parameters are fitted on the same masks."""
    samples = [s for s in bbbc005.load(published) if "_F1_" in s.name and s.name.endswith("w1.TIF")]
    truth = as_predicted(samples)
    table = bbbc005.count_table(truth, bbbc005.fit_counts(truth))
    errors = bbbc005.count_errors(table)
    assert errors["images"].sum() == len(samples)
    assert errors["relative"].iloc[0] < 0.05


def test_count_errors_by_hand():
    mask = np.zeros((60, 60), np.uint16)
    mask[5:20, 5:20] = 1
    names = [f"SIMCEPImages_A01_C{count}_F1_s01_w{stain}.TIF" for stain, count in ((1, 1), (2, 2))]
    samples = [Sample(name, mask[..., None], mask) for name in names]
    table = bbbc005.count_table(as_predicted(samples), {1: Watershed(1.0)})
    assert table["error"].tolist() == [0, -1]
    row = bbbc005.count_errors(table.assign(stain=1)).iloc[0]
    assert (row["absolute"], row["relative"], row["bias"]) == (0.5, 0.25, -0.5)
    worst = bbbc005.worst_counts(samples, table)
    assert worst == {"F1 w1, 1 counted of 1": samples[0], "F1 w2, 1 counted of 2": samples[1]}


def test_measured_tables_figures_and_scores(published):
    samples = bbbc005.load(published)[:8]
    predicted = as_predicted(samples)
    measured = bbbc005.measure(predicted, predicted, predicted, bbbc005.CONFIG)
    assert {name for name in measured.tables if "errors" not in name} == {"counts", "counts_without_masks"}
    assert len(measured.tables["counts"]) == 8 and set(measured.figures) == {"counts"}
    assert measured.tables["errors_of_counts"]["images"].sum() == 8
    assert measured.scores["count_error"] == measured.tables["counts"]["error"].abs().mean()


def test_of_very_many_images_without_masks_some_are_predicted(folder, monkeypatch):
    shutil.rmtree(folder / bbbc005.MASKS)
    monkeypatch.setattr(bbbc005, "MOST", 1)
    assert len(bbbc005.load_unlabelled(folder)) == 1


def test_cells_are_numbered_where_the_data_gives_no_numbers(folder):
    name = "SIMCEPImages_A01_C1_F1_s01_w1.TIF"
    y, x = np.mgrid[:250, :250] % 50 - 24.5
    discs = y**2 + x**2 < 17**2  # 25 of 34 px
    for kind in (bbbc005.IMAGES, bbbc005.MASKS):
        tifffile.imwrite(folder / kind / name, discs.astype(np.uint8) * 255)
    sample = bbbc005.load(folder)[0]
    assert sample.mask.max() == 25 and object_diameters([sample])["median"] == pytest.approx(34, abs=1)


def test_more_cells_than_16_bits_can_number(folder):
    numbers = np.zeros((32, 32), np.uint32)
    numbers[:5], numbers[9:] = 7, 65_536
    (folder / bbbc005.OBJECTS).mkdir()
    for path in (folder / bbbc005.IMAGES).iterdir():
        tifffile.imwrite(folder / bbbc005.OBJECTS / path.name, numbers)
    assert np.unique(bbbc005.load(folder)[0].mask).tolist() == [0, 7, 65_536]


def test_hidden_files_of_macos_are_left_out(folder):
    for kind in (bbbc005.IMAGES, bbbc005.MASKS):
        (folder / kind / "._SIMCEPImages_A01_C1_F1_s01_w1.TIF").write_bytes(b"x")
    assert len(bbbc005.load(folder)) == 2

"""Simulated nuclei: exact, repeatable, in Kaggle's layout."""

import hashlib

import imageio.v3 as iio
import numpy as np
import pytest
from scipy import ndimage
from skimage.measure import regionprops

import dsb
from simulate import nuclei as simulate_nuclei

DIGEST = "78e94a5200837ea81ba043c1c7dd796381a3bcc2a1cc8ab4041505a46228f38e"


def test_kaggles_layout(nuclei_folder):
    folders = [path for path in nuclei_folder.iterdir() if path.is_dir()]
    assert len(folders) == 24  # every third of twelve photographs gives four crops
    image = iio.imread(folders[0] / "images" / f"{folders[0].name}.png")
    assert image.shape[2] == 4 and image.dtype == np.uint8 and (image[..., 3] == 255).all()
    mask = iio.imread(next((folders[0] / "masks").iterdir()))
    assert mask.shape == image.shape[:2] and set(np.unique(mask)) <= {0, 255}


@pytest.fixture(scope="module")
def two_kinds(tmp_path_factory):
    """Two photographs, 512x512 px, of two kinds of nuclei; read only."""
    return simulate_nuclei.nuclei(tmp_path_factory.mktemp("data") / "kinds", photographs=2, side=512, kinds=2)


def test_one_kind_gives_the_pixels_of_earlier_versions(tmp_path):
    """A digest taken before there were kinds: whoever changes pixels must raise ``simulate.scene.VERSION``."""
    folder = simulate_nuclei.nuclei(tmp_path / "nuclei", photographs=2, side=128, seed=1)
    pixels = [iio.imread(path).tobytes() for path in sorted(folder.rglob("*.png"))]
    assert not [*folder.glob("*/classes")]
    assert hashlib.sha256(b"".join(pixels)).hexdigest() == DIGEST


def test_kinds_stand_beside_images_as_class_numbers(two_kinds):
    folders = [path for path in two_kinds.iterdir() if path.is_dir()]
    assert len(folders) == 5
    for folder in folders:
        classes = iio.imread(folder / "classes" / f"{folder.name}.png")
        nuclei = [iio.imread(path) > 0 for path in (folder / "masks").iterdir()]
        assert classes.dtype == np.uint8 and set(np.unique(classes)) == {0, 1, 2}
        np.testing.assert_array_equal(classes > 0, np.any(nuclei, axis=0))
        assert all(len(np.unique(classes[nucleus])) == 1 for nucleus in nuclei)


def test_the_two_kinds_can_be_told_apart_by_size_shape_and_contrast():
    image, labels, classes = simulate_nuclei.photograph_of_kinds(
        np.random.default_rng(0), simulate_nuclei.MODALITIES[0], (512, 512)
    )
    regions = regionprops(labels, image[..., 0])
    kind = np.array([classes[labels == region.label][0] for region in regions])
    area, ratio, brightness = np.array(
        [(r.area, r.axis_major_length / r.axis_minor_length, r.intensity_mean) for r in regions]
    ).T
    assert min(np.bincount(kind)[1:]) > 10
    assert np.median(area[kind == 2]) > 2.5 * np.median(area[kind == 1])
    assert np.median(ratio[kind == 1]) < 1.3 < 1.7 < np.median(ratio[kind == 2])
    assert np.median(brightness[kind == 1]) > 1.3 * np.median(brightness[kind == 2])


@pytest.mark.parametrize("kinds", [0, 3])
def test_other_numbers_of_kinds_are_refused(tmp_path, kinds):
    with pytest.raises(ValueError, match=f"kinds is {kinds}; nuclei of 1 or 2 kinds"):
        simulate_nuclei.nuclei(tmp_path / "nuclei", kinds=kinds)
    assert not (tmp_path / "nuclei").exists()


def test_a_folder_of_one_kind_is_written_again_for_two(tmp_path):
    folder = simulate_nuclei.nuclei(tmp_path / "nuclei", photographs=1, side=64)
    note = (folder / "simulated.json").read_text(encoding="utf-8")
    assert "kinds" not in note  # so that folders of earlier versions are used again
    assert [*simulate_nuclei.nuclei(folder, photographs=1, side=64, kinds=2).glob("*/classes/*.png")]


@pytest.mark.parametrize("modality", simulate_nuclei.MODALITIES, ids=lambda m: m.name)
def test_nuclei_differ_from_the_background_as_the_modality_says(modality):
    image, labels = simulate_nuclei.photograph(np.random.default_rng(0), modality, (256, 256))
    assert image.shape == (256, 256, 3) and image.dtype == np.float32
    assert image.min() >= 0 and image.max() <= 1
    brighter = image[labels > 0].mean() > image[labels == 0].mean()
    assert brighter == modality.name.startswith("fluorescence")


def test_some_nuclei_touch_and_each_is_one_piece():
    labels = simulate_nuclei.draw_nuclei(np.random.default_rng(0), (512, 512), (9, 14), 0.1, touching=0.8)
    apart = simulate_nuclei.draw_nuclei(np.random.default_rng(0), (512, 512), (9, 14), 0.1, touching=0.0)
    pieces, pieces_apart = (ndimage.label(nuclei > 0)[1] / nuclei.max() for nuclei in (labels, apart))
    assert labels.max() > 20
    assert pieces < 0.6 < 0.8 < pieces_apart
    assert all(ndimage.label(labels == number)[1] == 1 for number in range(1, labels.max() + 1))


def test_equivalent_radii_are_those_asked_for():
    labels = simulate_nuclei.draw_nuclei(np.random.default_rng(0), (512, 512), (10, 12), 0.05, touching=0.0)
    inner = [
        n for n in range(1, labels.max() + 1) if n not in np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    ]
    radii = np.sqrt(np.bincount(labels.ravel())[inner] / np.pi)
    assert np.median(radii) == pytest.approx(11, abs=0.6)


def test_the_same_seed_gives_the_same_images(tmp_path):
    one, two = (simulate_nuclei.nuclei(tmp_path / name, photographs=2, side=64, seed=3) for name in "ab")
    for first, second in zip(dsb.load(one, cache=None), dsb.load(two, cache=None), strict=True):
        assert first.name == second.name
        np.testing.assert_array_equal(first.image, second.image)

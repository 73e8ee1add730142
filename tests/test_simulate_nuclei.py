"""Simulated nuclei: exact, repeatable, in Kaggle's layout."""

import imageio.v3 as iio
import numpy as np
import pytest
from scipy import ndimage

import dsb
from simulate import nuclei as simulate_nuclei


def test_kaggles_layout(nuclei_folder):
    folders = [path for path in nuclei_folder.iterdir() if path.is_dir()]
    assert len(folders) == 24  # every third of twelve photographs gives four crops
    image = iio.imread(folders[0] / "images" / f"{folders[0].name}.png")
    assert image.shape[2] == 4 and image.dtype == np.uint8 and (image[..., 3] == 255).all()
    mask = iio.imread(next((folders[0] / "masks").iterdir()))
    assert mask.shape == image.shape[:2] and set(np.unique(mask)) <= {0, 255}


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

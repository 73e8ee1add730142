"""Small simulated data and settings that the tests share."""

import numpy as np
import pytest

import backend  # noqa: F401  (before anything else imports Keras)
import simulate_nuclei
from config import Config
from data import Sample


@pytest.fixture(scope="session")
def nuclei_folder(tmp_path_factory):
    """Twelve simulated photographs, 24 images, in Kaggle's layout; read only."""
    return simulate_nuclei.nuclei(tmp_path_factory.mktemp("data") / "nuclei", photographs=12, side=128)


@pytest.fixture(scope="session")
def small():
    """Settings of a network that trains in seconds."""
    return Config(filters=4, depth=2, tile=64, overlap=16, batch_size=4, epochs=2, steps=2, workers=0, precision="float32")


@pytest.fixture
def discs():
    """A function that draws samples of one bright disc each on a dark, noisy field: (count, side) -> [Sample]."""

    def draw(count, side=64):
        samples = []
        for number in range(count):
            rng = np.random.default_rng(number)
            y, x = np.mgrid[:side, :side] - rng.integers(side // 4, 3 * side // 4, 2).reshape(2, 1, 1)
            mask = (y**2 + x**2 < (side // 5) ** 2).astype(np.uint16)
            image = (40 + 150 * mask + rng.normal(0, 8, mask.shape)).clip(0, 255).astype(np.uint8)
            samples.append(Sample(f"disc{number}", image[..., None], mask, group=number))
        return samples

    return draw

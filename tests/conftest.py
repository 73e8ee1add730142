"""Small simulated data and settings that the tests share."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from config import Config
from data import Sample
from experiment import run_folder
from parallel import cluster
from simulate import nuclei as simulate_nuclei
from system.backend import keras  # before anything else imports it
from system.files import write_json


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


@pytest.fixture
def scheduler():
    """A Dask scheduler with a worker, started as README.md says, in the folder of the program: its address, its process."""
    pytest.importorskip("distributed", reason="Dask is in requirements-machines.txt")
    where = {"cwd": Path(cluster.__file__).parents[1], "stderr": subprocess.PIPE, "text": True}
    serving = subprocess.Popen([sys.executable, "-m", "dask", "scheduler", "--port", "0", "--no-dashboard"], **where)
    address = next(found[0] for line in serving.stderr if (found := re.search(r"tcp://127\S+|tcp://\d\S+", line)))
    worker = subprocess.Popen(
        [sys.executable, "-m", "dask", "worker", address, "--nworkers", "1", "--nthreads", "1", "--no-dashboard"], **where
    )
    yield address, serving
    for process in (worker, serving):
        process.terminate()
        process.communicate()


@pytest.fixture
def network(small, tmp_path):
    """A network file with its card whose probability is the sigmoid of ten times (intensity - 0.5)."""
    inputs = keras.Input((None, None, 1))
    outputs = keras.layers.Conv2D(1, 1, activation="sigmoid", name="brightness")(inputs)
    model = keras.Model(inputs, outputs)
    model.get_layer("brightness").set_weights([np.full((1, 1, 1, 1), 10.0), np.array([-5.0])])
    run_folder.save_model(model, tmp_path / "model.keras")
    usual = {"low": 10.0, "median": 20.0, "high": 40.0}
    data = {"title": "drawn squares", "licence": None, "object_diameter": usual}
    card = {"threshold": 0.5, "scores": {}, "training": {"configuration": small.to_json()}, "training_data": data}
    write_json(tmp_path / "model.json", card)
    return tmp_path / "model.keras"

"""Two processes on one machine train together as two machines would, under JAX."""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import training
from batches import ValidationBatches, make_batch
from parallel import nodes
from system.files import read_json

ROOT = Path(__file__).parents[1]
SLURM_PORTS = 2**16 - 2**12  # JAX adds the last bits of the job's number
OPTIONS = (
    "dsb --filters 2 --depth 1 --tile 32 --overlap 8 --batch-size 4 --steps 2 --workers 0 --tta 1 --prediction-tile 128 "
    "--precision float32 --patience 100000 --device cpu"
)


def script(*arguments, **environment):
    """A process of the script under JAX."""
    environment = {**os.environ, "KERAS_BACKEND": "jax", **environment}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([sys.executable, "train_and_predict.py", *map(str, arguments)], cwd=ROOT, env=environment, **pipes)


def start(folder, output, *options, **environment):
    return script(*OPTIONS.split(), "--data", folder, "--output", output, *options, **environment)


def start_two(folder, output, *options, second=()):
    """One machine by an address, the other as SLURM would start it, which says the same in its variables.

    ``second``: more options of the other one.
    """
    job = next(number for number in range(4096) if is_free(SLURM_PORTS + number))
    slurm = {"SLURM_JOB_ID": job, "SLURM_STEP_NODELIST": "localhost", "SLURM_NTASKS": 2, "SLURM_PROCID": 1, "SLURM_LOCALID": 1}
    slurm = {name: str(value) for name, value in slurm.items()}
    first = start(folder, output, "--nodes", f"localhost:{SLURM_PORTS + job}/2/0", *options)
    return [first, start(folder, output, "--nodes", "auto", *options, *second, **slurm)]


def is_free(port):
    with socket.socket() as tried:
        return tried.connect_ex(("localhost", port)) != 0


def wait_for_epochs(folder, count, seconds=200):
    """How many epochs are saved in a run's folder, once there are ``count``."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        done = len(read_json(folder / "checkpoint.json")["history"]) if (folder / "checkpoint.json").exists() else 0
        if done >= count:
            return done
        time.sleep(0.1)
    raise TimeoutError(f"{folder}: {count} epochs are not saved after {seconds} s")


@pytest.fixture
def begun():
    """Processes that are killed when a test ends."""
    pytest.importorskip("jax", reason="JAX is in requirements-machines.txt")
    processes = []
    yield processes
    for process in processes:
        process.kill()
        process.communicate()


@pytest.mark.slow  # a minute or more
def test_two_processes_have_the_losses_of_one_and_their_network_opens_under_tensorflow(nuclei_folder, tmp_path, begun):
    begun += [start(nuclei_folder, tmp_path / "one", "--epochs", "2")]
    begun += start_two(nuclei_folder, tmp_path / "two", "--epochs", "2")
    told = [process.communicate(timeout=280) for process in begun]
    assert [process.returncode for process in begun] == [0, 0, 0], told
    assert "Everything is in" in told[1][0] and "Run folder" not in told[2][0]
    one, two = (pd.read_csv(tmp_path / name / "history.csv").drop(columns="minutes") for name in ("one", "two"))
    np.testing.assert_allclose(two, one, rtol=1e-5)
    model = training.keras.saving.load_model(tmp_path / "two" / "model.keras")
    assert (
        training.keras.backend.backend() == "tensorflow"
        and np.isfinite(model.predict(np.ones((1, 32, 32, 1)), verbose=0)).all()
    )


def test_machines_with_different_settings_all_end(nuclei_folder, tmp_path, begun):
    begun += start_two(nuclei_folder, tmp_path / "run", second=["--seed", "1"])
    for process in begun:
        _, error = process.communicate(timeout=100)
        assert process.returncode == 1 and "Settings differ from machine to machine; give all of them the same command" in error
    assert not (tmp_path / "run").exists()


def test_unlike_machines_are_told_what_to_do(monkeypatch):
    monkeypatch.setattr(nodes, "of_all", lambda value: [value, value + 1])
    with pytest.raises(ValueError, match="Precisions differ from machine to machine; begin with --precision float32"):
        nodes.compare(nodes.World(0, 2), "Precisions", {"is": "bfloat16"}, "begin with --precision float32")
    monkeypatch.setattr(nodes, "of_all", lambda value: [value, value])
    nodes.compare(nodes.World(0, 2), "Precisions", {"is": "bfloat16"})


@pytest.mark.slow  # a minute or more
def test_a_process_that_dies_ends_the_other_and_resume_goes_on(nuclei_folder, tmp_path, begun):
    folder = tmp_path / "run"
    begun += start_two(nuclei_folder, folder, "--epochs", "100000")
    wait_for_epochs(folder, 1)
    begun[1].kill()
    told, error = begun[0].communicate(timeout=100)
    assert begun[0].returncode == 1 and f"If one is lost, all stop; continue with --resume {folder} --nodes" in told
    assert "train_and_predict.py: rank 0 of 2 stopped. If another machine did so first, this is the reason:" in error
    done = wait_for_epochs(folder, 1)
    begun += [script("dsb", "--resume", folder)]
    assert wait_for_epochs(folder, done + 1) > done
    begun[2].terminate()
    assert "Stopped. To continue" in begun[2].communicate(timeout=60)[0] and begun[2].returncode == 130


@pytest.mark.parametrize("address", ["10.0.0.1:5000", "10.0.0.1/2/0", "10.0.0.1:5000/2/2", "a:1/two/0"])
def test_addresses_that_cannot_be(address):
    with pytest.raises(ValueError, match="expected host:port/world_size/rank"):
        nodes.join(address)


def test_auto_is_for_what_a_launcher_started(nuclei_folder, tmp_path, begun):
    begun += [start(nuclei_folder, tmp_path / "run", "--nodes", "auto")]
    _, error = begun[0].communicate(timeout=100)
    assert (
        begun[0].returncode == 1
        and "auto works only under srun or mpirun (Open MPI 4)" in error
        and not (tmp_path / "run").exists()
    )


def test_several_machines_need_jax():
    with pytest.raises(ValueError, match="requirements-machines\\.txt, and set KERAS_BACKEND=jax"):
        nodes.join("127.0.0.1:5000/2/0")


def test_the_parts_of_a_batch_are_the_batch(small, discs):
    config = small.replace(batch_size=5)
    whole, parts = make_batch(discs(3), config, 1), [make_batch(discs(3), config, 1, (rank, 2)) for rank in range(2)]
    for arrays in zip(whole, *parts, strict=True):
        np.testing.assert_array_equal(arrays[0], np.concatenate(arrays[1:]))


def test_the_parts_of_the_validation_set_are_the_validation_set(small, discs):
    whole, parts = ValidationBatches(discs(3), small), [ValidationBatches(discs(3), small, (rank, 2)) for rank in range(2)]
    assert len(whole) == len(parts[0]) == len(parts[1])
    for batch, *of_ranks in zip(map(whole.__getitem__, range(len(whole))), *parts, strict=False):
        for array, *pieces in zip(batch, *of_ranks, strict=True):
            np.testing.assert_array_equal(array, np.concatenate(pieces))

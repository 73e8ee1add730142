"""Training on several machines with JAX: join the other processes, compare settings with them, exchange values, and leave.

Each process has a rank, from 0; the world size is the number of processes.
"""

import contextlib
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from config import Config
from data import Split
from system.backend import keras
from system.files import digest

LONGEST = 4096  # bytes of a path
SILENCE = 30  # s without an answer, after which JAX regards a machine as lost and stops the others


class World(NamedTuple):
    """The rank of this process and the number of processes that train together."""

    rank: int = 0
    size: int = 1


@contextlib.contextmanager
def together(address: str | None) -> Iterator[World]:
    """Join the processes that train together, and yield the place of this one. Only rank 0 prints.

    ``address``: see ``join``. If this process fails, stop it at once and with it all others: they would wait for it.
    """
    world = join(address)
    if world.rank:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115  (rank 0 tells what happens)
    try:
        yield world
    except (Exception, KeyboardInterrupt) as error:
        if world.size == 1:
            raise
        stop(world, error)


def join(address: str | None) -> World:
    """Join the processes that train together. Every device of all of them becomes a replica.

    ``address``: "host:port/world_size/rank", with the host of rank 0; "auto" if SLURM's srun or the mpirun of Open MPI 4
    started the processes, one for each GPU, because JAX gives every process one device; None for a single process. Raises
    ValueError for another text, for "auto" without a launcher, when the others do not come, and without JAX.
    """
    if address is None:
        return World()
    where = () if address == "auto" else _parse(address)
    if keras.backend.backend() != "jax":
        raise ValueError(
            "--nodes works with JAX: pip install -r requirements-machines.txt, and set KERAS_BACKEND=jax in the environment."
        )
    import jax

    print(f"Waiting for the other machines: --nodes {address}", flush=True)
    try:
        jax.distributed.initialize(*where, heartbeat_timeout_seconds=SILENCE)
    except ValueError as error:
        raise ValueError(f"--nodes {address}: {error} auto works only under srun or mpirun (Open MPI 4).") from error
    except RuntimeError as error:
        raise ValueError(f"--nodes {address}: the machines did not find each other ({error}).") from error
    keras.distribution.set_distribution(keras.distribution.DataParallel(auto_shard_dataset=False))
    return World(jax.process_index(), jax.process_count())


def _parse(text):
    host, *numbers = text.split("/")
    try:
        size, rank = map(int, numbers)
        if ":" in host and 0 <= rank < size:
            return host, size, rank
    except ValueError:
        pass
    raise ValueError(f"--nodes is {text!r}; expected host:port/world_size/rank, for example 10.0.0.1:5000/2/0, or auto.")


def leave() -> None:
    """Leave the processes that ``join`` joined; all of them must call this. Then each one works alone."""
    import jax

    jax.distributed.shutdown()
    keras.distribution.set_distribution(None)


def check_same(world: World, config: Config, originals: Split, precision: str) -> None:
    """Raise ValueError on all machines if settings, images, precisions or numbers of devices differ among them."""
    if world.size == 1:
        return
    compare(world, "Settings", config.to_json() | dict.fromkeys(("nodes", "workers", "data", "output")))
    compare(world, "Images", originals.to_json())
    compare(world, "Precisions", {"is": precision}, "begin with --precision float32 on all of them")
    advice = "set CUDA_VISIBLE_DEVICES so that all have the same number"
    compare(world, "Numbers of devices", {"are": count_own_devices()}, advice)


def compare(
    world: World, name: str, values: dict, advice: str = "give all of them the same command, except for the rank"
) -> None:
    """Raise ValueError on all machines if ``values`` differ among them. ``name``: what the message calls the values."""
    if world.size > 1 and len(set(of_all(int(digest(json.dumps(values, sort_keys=True))[:7], 16)))) > 1:
        raise ValueError(f"{name} differ from machine to machine; {advice}.")


def share_folder(world: World, folder: Path | None) -> Path | None:
    """Return the folder of rank 0, on all machines."""
    if world.size == 1:
        return folder
    folder = Path(of_first(os.path.abspath(folder or "")))
    print(f"{world.size} machines. If one is lost, all stop; continue with --resume {folder} --nodes ... on all of them")
    return folder


def stop(world: World, error: BaseException) -> None:
    """Stop this process at once and say why. A normal exit would wait for a machine that is gone, and then abort."""
    why = str(error) or type(error).__name__
    reason = f"rank {world.rank} of {world.size} stopped. If another machine did so first, this is the reason: {why}"
    sys.stdout.flush()
    print(f"{Path(sys.argv[0]).name}: {reason}", file=sys.stderr, flush=True)
    os._exit(1)


def count_devices() -> int:
    """Count the devices of all machines; each device holds a copy of the network."""
    import jax

    return jax.device_count()


def count_own_devices() -> int:
    """Count the devices of this machine."""
    import jax

    return jax.local_device_count()


def of_all(value) -> list:
    """Return the value of each machine, in the order of their ranks. All machines must call this function."""
    from jax.experimental import multihost_utils

    return multihost_utils.process_allgather(np.asarray(value)).tolist()


def of_first(text: str) -> str:
    """Return a text of rank 0, on all machines. All machines must call this function."""
    from jax.experimental import multihost_utils

    padded = np.zeros(LONGEST, np.uint8)
    content = np.frombuffer(text.encode(), np.uint8)
    padded[: len(content)] = content
    return bytes(np.asarray(multihost_utils.broadcast_one_to_all(padded))).rstrip(b"\0").decode()

"""Several machines that train together, by JAX's own engine: they join, tell each other, and leave."""

import contextlib
import json
import os
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np

from system.backend import keras
from system.files import digest

LONGEST = 4096  # bytes of a path
SILENCE = 30  # s without a sign of life, after which JAX takes a machine for lost and ends the others


class Share(NamedTuple):
    """The number of this machine, from 0, and how many train together."""

    number: int = 0
    count: int = 1


def join(address):
    """Join the machines that train together: the Share of this process. Every device of all becomes a replica.

    ``address``: "host:port/count/number", the host that of number 0; "auto" for what SLURM's srun or the mpirun of Open MPI 4
    started, where JAX gives every process one device, so that there must be one for each GPU; None for one machine. Raises
    ValueError for another text, for "auto" elsewhere, when the others do not come, and without JAX, whose engine this is.
    """
    if address is None:
        return Share()
    where = () if address == "auto" else _parse(address)
    if keras.backend.backend() != "jax":
        raise ValueError(
            "--nodes works under JAX: pip install -r requirements-cluster.txt, and set KERAS_BACKEND=jax in the environment."
        )
    import jax

    print(f"Waiting for the other machines: --nodes {address}", flush=True)
    try:
        jax.distributed.initialize(*where, heartbeat_timeout_seconds=SILENCE)
    except ValueError as error:
        raise ValueError(f"--nodes {address}: {error} auto is for what srun or mpirun (Open MPI 4) started.") from error
    except RuntimeError as error:
        raise ValueError(f"--nodes {address}: the machines did not find each other ({error}).") from error
    keras.distribution.set_distribution(keras.distribution.DataParallel(auto_shard_dataset=False))
    return Share(jax.process_index(), jax.process_count())


def _parse(text):
    host, *numbers = text.split("/")
    try:
        count, number = map(int, numbers)
        if ":" in host and 0 <= number < count:
            return host, count, number
    except ValueError:
        pass
    raise ValueError(f"--nodes is {text!r}; expected host:port/count/number, as 10.0.0.1:5000/2/0, or auto.")


def leave():
    """End what ``join`` began; all machines must call it. What follows runs on this one alone."""
    import jax

    jax.distributed.shutdown()
    keras.distribution.set_distribution(None)


@contextlib.contextmanager
def together(share):
    """Inside, what ends this machine ends the others, too, and at once: they would wait for it."""
    try:
        yield
    except (Exception, KeyboardInterrupt) as error:
        if share.count == 1:
            raise
        stop(share, error)


def check_alike(share, what, values, advice="give all of them the same command, but for the last number"):
    """Raise ValueError on all machines when ``values``, a dictionary, differ among them; ``what`` they are called."""
    if share.count > 1 and len(set(of_all(int(digest(json.dumps(values, sort_keys=True))[:7], 16)))) > 1:
        raise ValueError(f"{what} differ from machine to machine; {advice}.")


def stop(share, error):
    """End this process at once, and say why: at a usual exit JAX would wait for a machine that is gone, and abort."""
    why = str(error) or type(error).__name__
    reason = f"machine {share.number} of {share.count} stopped; if another one did first, this is why: {why}"
    sys.stdout.flush()
    print(f"{Path(sys.argv[0]).name}: {reason}", file=sys.stderr, flush=True)
    os._exit(1)


def count_devices():
    """Devices of all machines together, each of which holds a copy of the network."""
    import jax

    return jax.device_count()


def count_own_devices():
    """Devices of this machine."""
    import jax

    return jax.local_device_count()


def of_all(value):
    """A number of every machine, in their order: list. All machines must call it."""
    from jax.experimental import multihost_utils

    return multihost_utils.process_allgather(np.asarray(value)).tolist()


def of_first(text):
    """What machine 0 has as text, on all of them. All machines must call it."""
    from jax.experimental import multihost_utils

    padded = np.zeros(LONGEST, np.uint8)
    content = np.frombuffer(text.encode(), np.uint8)
    padded[: len(content)] = content
    return bytes(np.asarray(multihost_utils.broadcast_one_to_all(padded))).rstrip(b"\0").decode()

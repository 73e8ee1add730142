"""Spread work over a Dask cluster: the workers of several machines, or processes of this one."""

import logging
import os
from functools import lru_cache
from pathlib import Path

from system.files import NotWrittenError
from system.progress import progress

LOCAL = "local"
PATIENCE = 15  # s to wait for the answer of a scheduler
WORKER_BYTES = 4 * 2**30  # network and block of a scan take 2.8 GiB (benchmarks/scaling.py), and Dask keeps some free
OF_ONE_CORE = {  # environment of a worker, which would otherwise take all cores and the GPU
    "TF_NUM_INTRAOP_THREADS": "1",
    "TF_NUM_INTEROP_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "CUDA_VISIBLE_DEVICES": "-1",
}


def connect(address: str):
    """Return a client of a Dask cluster: of the scheduler at ``address``, or of processes on this machine.

    ``address``: may also be a number of processes, or "local" for as many as cores and memory allow. Start scheduler and
    workers of other machines in the folder of this program, whose modules they need: ``python -m dask scheduler``, and
    ``python -m dask worker ADDRESS --nworkers -1 --nthreads 1``. They must see the same files under the same paths. Raises
    ValueError if Dask is not installed, if no scheduler answers, and if the scheduler has no worker.
    """
    try:
        from distributed import Client
    except ImportError as error:
        raise ValueError("--dask: Dask is not installed; pip install -r requirements-machines.txt") from error
    if address == LOCAL or address.isdigit():
        count = max(1, int(address)) if address.isdigit() else workers_here()
        logging.getLogger("distributed.nanny").setLevel(logging.ERROR)  # it warns that TensorFlow ends slowly
        client = Client(n_workers=count, threads_per_worker=1, dashboard_address=None)
        client.register_plugin(_worker_plugin(_set))
    else:
        client = _connect_to(address)
        client.register_plugin(_worker_plugin(_set_defaults))
    return client


def workers_here() -> int:
    """Return the number of workers that this machine has cores and memory for; at least one."""
    import dask.system
    import distributed.system

    return max(1, min(dask.system.CPU_COUNT, distributed.system.MEMORY_LIMIT // WORKER_BYTES))


def _worker_plugin(set_environment):
    from distributed import WorkerPlugin

    class OneCore(WorkerPlugin):
        """Set the environment of a worker before it imports TensorFlow, also of workers that join later."""

        name = "one core"

        def setup(self, worker):
            set_environment(OF_ONE_CORE)
            # By default a worker with little free memory pauses. TensorFlow keeps its memory, so the pause would not end.
            worker.memory_manager.memory_pause_fraction = False

    return OneCore()


def _set(variables):
    os.environ.update(variables)
    logging.getLogger("distributed.worker").setLevel(logging.CRITICAL)  # no traceback: the client prints the error


def _set_defaults(variables):
    for name, value in variables.items():
        os.environ.setdefault(name, value)


def _connect_to(address):
    """Return a client of the scheduler at an address."""
    from distributed import Client

    try:
        client = Client(address, timeout=PATIENCE)
    except (OSError, ValueError) as error:
        raise ValueError(
            f"--dask {address}: no scheduler answers there ({error}). Start one with: python -m dask scheduler"
        ) from error
    try:
        client.wait_for_workers(1, PATIENCE)
    except TimeoutError as error:
        client.close()
        raise ValueError(
            f"--dask {address}: the Dask cluster has no worker. Start some in the folder of this program: "
            f"python -m dask worker {address} --nworkers -1 --nthreads 1"
        ) from error
    return client


def open_once(model: str, engine: str = "keras"):
    """Return the network of a file. A worker opens it once, and again when the file or its model card has changed."""
    files = Path(model), Path(model).with_suffix(".json")
    return _open(model, engine, tuple(file.stat().st_mtime_ns for file in files if file.exists()))


@lru_cache(maxsize=1)
def _open(model, engine, _times):
    from segmentation import open_network

    return open_network(Path(model), engine)


def run(client, function, items, description, unit):
    """Run ``function(*item)`` for all items on the workers, and yield (item, result or exception) as they finish.

    If a worker is lost, another one repeats its item; Dask gives up an item that ended four workers. Raises NotWrittenError,
    because a full disk would stop all other items too, and ConnectionError if the scheduler is lost.
    """
    from distributed import KilledWorker, as_completed

    futures = {client.submit(function, *item, pure=False): item for item in items}
    try:
        for future in progress(as_completed(futures), description, unit, total=len(futures)):
            if future.cancelled():
                logging.getLogger("distributed.client").setLevel(logging.CRITICAL)  # it reports each attempt to reconnect
                raise ConnectionError(
                    "--dask: the connection to the scheduler is lost. Start it again, then continue with --resume."
                )
            item, error = futures.pop(future), future.exception()
            if isinstance(error, NotWrittenError):
                raise error
            if isinstance(error, KilledWorker):
                error = MemoryError("it ended several workers, perhaps because memory ran out. Try fewer workers: --dask 1.")
            yield item, error or future.result()
    finally:
        if futures:  # nobody waits for these results
            client.cancel(list(futures))

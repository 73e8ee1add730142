"""Work spread over the machines of a Dask cluster, or over processes of this one."""

import logging
import os
from functools import lru_cache
from pathlib import Path

from system.files import NotWrittenError
from system.progress import progress

LOCAL = "local"
PATIENCE = 15  # s, for a scheduler to answer
WORKER_BYTES = 4 * 2**30  # with its network and a block of a scan 2.8 (benchmarks/scaling.py), and what Dask keeps free
OF_ONE_CORE = {  # in the environment of a worker that does not say otherwise, which would take all cores and the GPU
    "TF_NUM_INTRAOP_THREADS": "1",
    "TF_NUM_INTEROP_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "CUDA_VISIBLE_DEVICES": "-1",
}


def connect(address):
    """A client of a Dask cluster: of the scheduler at ``address``, or of processes on this machine.

    ``address``: also a number of processes, or "local" for as many as the machine bears. Scheduler and workers elsewhere are
    started in the folder of this program, whose modules they need (``python -m dask scheduler``, ``python -m dask worker
    ADDRESS --nworkers -1 --nthreads 1``), and see the same files under the same paths. Raises ValueError when Dask is missing,
    when no scheduler answers, and when it has no worker.
    """
    try:
        from distributed import Client
    except ImportError as error:
        raise ValueError("--dask: Dask is not installed; pip install -r requirements-machines.txt") from error
    if address == LOCAL or address.isdigit():
        count = max(1, int(address)) if address.isdigit() else workers_here()
        logging.getLogger("distributed.nanny").setLevel(logging.ERROR)  # warns that TensorFlow is slow to end
        client = Client(n_workers=count, threads_per_worker=1, dashboard_address=None)
        client.register_plugin(_worker_plugin(_set))
    else:
        client = _connect_to(address)
        client.register_plugin(_worker_plugin(_set_defaults))
    return client


def workers_here():
    """How many workers this machine bears, each with one core and enough memory; at least one."""
    import dask.system
    import distributed.system

    return max(1, min(dask.system.CPU_COUNT, distributed.system.MEMORY_LIMIT // WORKER_BYTES))


def _worker_plugin(set_environment):
    from distributed import WorkerPlugin

    class OneCore(WorkerPlugin):
        """Sets the environment of a worker before it imports TensorFlow, also of one that joins later."""

        name = "one core"

        def setup(self, worker):
            set_environment(OF_ONE_CORE)
            # A worker that holds much memory pauses, by default; TensorFlow gives none back, so that it would pause for ever.
            worker.memory_manager.memory_pause_fraction = False

    return OneCore()


def _set(variables):
    os.environ.update(variables)
    logging.getLogger("distributed.worker").setLevel(logging.CRITICAL)  # else a traceback, of what the client tells


def _set_defaults(variables):
    for name, value in variables.items():
        os.environ.setdefault(name, value)


def _connect_to(address):
    """A client of the scheduler at an address."""
    from distributed import Client

    try:
        client = Client(address, timeout=PATIENCE)
    except (OSError, ValueError) as error:
        raise ValueError(f"--dask {address}: no scheduler answers there ({error}).") from error
    try:
        client.wait_for_workers(1, PATIENCE)
    except TimeoutError as error:
        client.close()
        raise ValueError(
            f"--dask {address}: the scheduler has no worker; start some, in the folder of this program: "
            f"python -m dask worker {address} --nworkers -1 --nthreads 1"
        ) from error
    return client


def open_once(model, engine="keras"):
    """The network of a file, opened once by every worker, and again when the file or its model card has changed."""
    files = Path(model), Path(model).with_suffix(".json")
    return _open(model, engine, tuple(file.stat().st_mtime_ns for file in files if file.exists()))


@lru_cache(maxsize=1)
def _open(model, engine, _times):
    from segmentation import open_network

    return open_network(Path(model), engine)


def run(client, function, items, description, unit):
    """Yield (item, what ``function(*item)`` returned, or the exception it raised) as the workers of a client finish them.

    What a lost worker had in hand another one does again; Dask gives up what has cost four workers their lives. Raises
    NotWrittenError, which would end everything else, too, and ConnectionError when the scheduler is gone.
    """
    from distributed import KilledWorker, as_completed

    futures = {client.submit(function, *item, pure=False): item for item in items}
    try:
        for future in progress(as_completed(futures), description, unit, total=len(futures)):
            if future.cancelled():
                logging.getLogger("distributed.client").setLevel(logging.CRITICAL)  # tells how it fails to find it again
                raise ConnectionError("--dask: the scheduler is gone; start it again, then go on with --resume.")
            item, error = futures.pop(future), future.exception()
            if isinstance(error, NotWrittenError):
                raise error
            if isinstance(error, KilledWorker):
                error = MemoryError("several workers died of it, for want of memory? Try fewer of them on a machine: --dask 1.")
            yield item, error or future.result()
    finally:
        if futures:  # which nobody waits for any more
            client.cancel(list(futures))

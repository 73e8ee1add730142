"""Work spread over the machines of a Dask cluster, or over processes of this one."""

import logging
import os
from functools import cache
from pathlib import Path

from tqdm import tqdm

from files import NotWrittenError

LOCAL = "local"
PATIENCE = 15  # s, for a scheduler to answer
OF_ONE_CORE = {  # in the environment of a worker, which would else take all cores and the GPU
    "TF_NUM_INTRAOP_THREADS": "1",
    "TF_NUM_INTEROP_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "CUDA_VISIBLE_DEVICES": "-1",
}


def connect(address):
    """A client of the Dask scheduler at ``address``, or of processes on this machine for "local", one for every core.

    Scheduler and workers elsewhere are started in the folder of this program, whose modules they need (``python -m dask
    scheduler``, ``python -m dask worker ADDRESS --nthreads 1``), and see the same files under the same paths. Raises
    ValueError when Dask is missing, when no scheduler answers, and when it has no worker.
    """
    try:
        from distributed import Client
    except ImportError as error:
        raise ValueError("--dask: Dask is not installed; pip install -r requirements-cluster.txt") from error
    if address == LOCAL:
        os.environ |= OF_ONE_CORE  # the workers inherit it
        return Client(threads_per_worker=1, dashboard_address=None)
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
            f"python -m dask worker {address} --nthreads 1"
        ) from error
    return client


@cache
def open_once(model, engine="keras"):
    """The network of a file, opened once by every worker."""
    from segmentation import open_network

    return open_network(Path(model), engine)


def run(client, function, items, description, unit):
    """Yield (item, what ``function(*item)`` returned, or the exception it raised) as the workers of a client finish them.

    What a lost worker had in hand another one does again; Dask gives up what has cost four workers their lives. Raises
    NotWrittenError, which would end everything else, too, and ConnectionError when the scheduler is gone.
    """
    from distributed import KilledWorker, as_completed

    futures = {client.submit(function, *item, pure=False): item for item in items}
    for future in tqdm(as_completed(futures), desc=description, unit=unit, total=len(futures), disable=None):
        if future.cancelled():
            logging.getLogger("distributed.client").setLevel(logging.CRITICAL)  # tells how it fails to find it again
            raise ConnectionError("--dask: the scheduler is gone; start it again, then go on with --resume.")
        item, error = futures.pop(future), future.exception()
        if isinstance(error, NotWrittenError):
            raise error
        if isinstance(error, KilledWorker):
            error = MemoryError("several workers died of it, for want of memory? Try fewer of them on a machine.")
        yield item, error or future.result()

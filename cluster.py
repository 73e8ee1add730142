"""Work spread over the machines of a Dask cluster, or over processes of this one."""

import os
from functools import cache
from pathlib import Path

from tqdm import tqdm

from files import NotWrittenError

LOCAL = "local"
PATIENCE = 15  # s, for a scheduler to answer
ONE_THREAD = {"TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1", "OMP_NUM_THREADS": "1"}


def connect(address):
    """A client of the Dask scheduler at ``address``, or of processes on this machine for "local", one for every core.

    Workers elsewhere are started in the folder of this program (``dask worker ADDRESS --nthreads 1``) and see the same
    files under the same paths. Raises ValueError when Dask is missing, and when no scheduler answers.
    """
    try:
        from distributed import Client, LocalCluster
    except ImportError as error:
        raise ValueError("--dask: Dask is not installed; pip install -r requirements-cluster.txt") from error
    if address == LOCAL:
        os.environ |= ONE_THREAD  # the workers inherit it; each has a core
        return Client(LocalCluster(os.cpu_count(), threads_per_worker=1, dashboard_address=None))
    try:
        return Client(address, timeout=PATIENCE)
    except (OSError, ValueError) as error:
        raise ValueError(f"--dask {address}: no scheduler answers there ({error}).") from error


@cache
def open_once(model):
    """The network of a file, opened once by every worker."""
    from segmentation import open_network

    return open_network(Path(model))


def run(client, function, items, description, unit):
    """Yield (item, what ``function(*item)`` returned, or the exception it raised) as the workers of a client finish them.

    What a lost worker had in hand another one does again; Dask gives up what has cost three workers their lives. Raises
    NotWrittenError, which would end everything else, too.
    """
    from distributed import as_completed

    futures = {client.submit(function, *item, pure=False): item for item in items}
    for future in tqdm(as_completed(futures), desc=description, unit=unit, total=len(futures), disable=None):
        item, error = futures.pop(future), future.exception()
        if isinstance(error, NotWrittenError):
            raise error
        yield item, error or future.result()

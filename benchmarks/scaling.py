"""Measure weak and strong scaling of segmentation in blocks over the Dask workers of one machine, each with one thread.

python benchmarks/scaling.py

A scan of simulated nuclei, three blocks high, is written as OME-Zarr and segmented by weights/nuclei.keras with --tta 1.
Strong scaling: more workers for the same scan. Weak scaling: the scan grows with the number of workers. At the end: the time
for a block of the size that predict.py uses, and the time that Dask needs for a task that does nothing.
"""

import argparse
import os
import platform
import resource
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from parallel import cluster

SIDE, OVERLAP, ROWS = 1024, 512, 3
TASKS = 5000
HEADER = "| workers | blocks | s | megapixels per s | per worker, of a single one's | peak GiB of a worker |"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2], help="default: 1 2")
    parser.add_argument("--blocks", type=int, default=9, help="in the scan for one worker, 3, 6, ... (default: %(default)s)")
    given = parser.parse_args()
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, blocks of {SIDE} px\n\n{HEADER}")
    print("|---" * (HEADER.count("|") - 1) + "|", flush=True)
    alone = None
    strong, weak = [(n, given.blocks) for n in given.workers], [(n, given.blocks * n) for n in given.workers]
    for workers, blocks in dict.fromkeys(strong + weak):
        seconds, peak = measure(workers, blocks)
        rate = blocks * SIDE**2 / 1e6 / seconds / workers
        alone = alone or rate
        print(f"| {workers} | {blocks} | {seconds:.1f} | {rate * workers:.2f} | {rate / alone:.0%} | {peak:.1f} |", flush=True)
    seconds, peak = large_block()
    print(f"\nFinding the objects of a block of the usual size inside a scan: {seconds:.1f} s, peak {peak:.1f} GiB")
    print(f"A task that does nothing: {1000 * empty_task():.2f} ms")


def empty_task():
    """Return the seconds per task of many tasks that do nothing, on one worker."""
    from distributed import Client

    with Client(n_workers=1, threads_per_worker=1, dashboard_address=None) as client:
        start = time.perf_counter()
        done = sum(1 for _ in cluster.run(client, abs, [(number,) for number in range(TASKS)], "Nothing", "task"))
        return (time.perf_counter() - start) / done


def measure(workers, blocks):
    """Segment a scan: (seconds until all objects are numbered, written and measured; peak memory of a worker, GiB)."""
    from parallel.blocks import segment_scan

    with tempfile.TemporaryDirectory() as folder:
        job = make_job(Path(folder), blocks // ROWS, SIDE, OVERLAP)
        return timed(workers, job, lambda client: segment_scan(client, job, Path(folder) / "labels.zarr"))


def large_block():
    """Find the objects of one block in the middle of a scan: (seconds, peak memory of the worker, GiB)."""
    from parallel import blocks, scans

    with tempfile.TemporaryDirectory() as folder:
        job = make_job(Path(folder), ROWS, scans.SIDE, scans.OVERLAP)
        middle = ROWS**2 // 2
        return timed(1, job, lambda client: client.submit(blocks.label_block, job, middle).result())


def make_job(folder, columns, side, overlap):
    """Write a scan that is ``ROWS`` blocks high and ``columns`` blocks wide, and return the Job that segments it."""
    from ome_zarr.writer import write_image
    from sizes import mosaic

    from parallel import scans
    from segmentation import open_network

    (folder / "pieces").mkdir()
    image = mosaic(side * max(ROWS, columns))[: side * ROWS, : side * columns]
    write_image(image, str(folder / "scan.zarr"), axes="yx", scale_factors=[2])
    model = str(ROOT / "weights/nuclei.keras")
    job = scans.Job(str(folder / "scan.zarr"), None, str(folder / "pieces"), model, tta=1, side=side, overlap=overlap)
    return scans.prepare(job, open_network(model), None)


def timed(workers, job, action):
    """Call ``action`` with a Dask client of so many workers: (seconds, peak memory of a worker, GiB)."""
    with cluster.connect(str(workers)) as client:
        client.run(lambda: bool(cluster.open_once(job.model)))  # warm; a network itself does not travel
        start = time.perf_counter()
        action(client)
        seconds = time.perf_counter() - start
        peaks = client.run(lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)
        return seconds, max(peaks.values())


if __name__ == "__main__":
    main()

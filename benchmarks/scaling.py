"""Weak and strong scaling of block by block segmentation over Dask workers of one machine, each with one thread.

python benchmarks/scaling.py

A scan of simulated nuclei, three blocks high, written as OME-Zarr; network of weights/nuclei.keras, one view. Strong: the same
scan by more workers. Weak: as much more of it as there are more workers. Then a block as large as predict.py takes it, and what
Dask itself needs for a task, by tasks that do nothing.
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
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--blocks", type=int, default=9, help="for one worker, a multiple of 3 (default: %(default)s)")
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
    """Seconds for each of many tasks that do nothing, on one worker."""
    from distributed import Client

    with Client(n_workers=1, threads_per_worker=1, dashboard_address=None) as client:
        start = time.perf_counter()
        done = sum(1 for _ in cluster.run(client, abs, [(number,) for number in range(TASKS)], "Nothing", "task"))
        return (time.perf_counter() - start) / done


def measure(workers, blocks):
    """Seconds until all objects are numbered, written and measured, and the highest memory of a worker, GiB."""
    from parallel import scans

    with tempfile.TemporaryDirectory() as folder:
        job = make_job(Path(folder), blocks // ROWS, SIDE, OVERLAP)
        return timed(workers, job, lambda client: scans.segment_scan(client, job, Path(folder) / "labels.zarr"))


def large_block():
    """Seconds until the objects of a block in the middle of a scan are found, and the memory of the worker, GiB."""
    from parallel import scans

    with tempfile.TemporaryDirectory() as folder:
        job = make_job(Path(folder), ROWS, scans.SIDE, scans.OVERLAP)
        middle = ROWS**2 // 2
        return timed(1, job, lambda client: client.submit(scans.label_block, job, middle).result())


def make_job(folder, columns, side, overlap):
    """A scan in a folder, ``ROWS`` blocks high and so many wide, and how it is segmented: Job."""
    from ome_zarr.writer import write_image
    from sizes import mosaic

    from parallel import scans
    from segmentation import open_network

    (folder / "pieces").mkdir()
    image = mosaic(side * max(ROWS, columns))[: side * ROWS, : side * columns]
    write_image(image, str(folder / "scan.zarr"), axes="yx", scale_factors=[2])
    model = str(ROOT / "weights/nuclei.keras")
    job = scans.Job(str(folder / "scan.zarr"), None, str(folder / "pieces"), model, tta=1, side=side, overlap=overlap)
    return scans.looked_at(job, open_network(model), None)


def timed(workers, job, action):
    """Seconds of what a client of so many workers does with a job, and the highest memory of a worker, GiB."""
    with cluster.connect(str(workers)) as client:
        client.run(lambda: bool(cluster.open_once(job.model)))  # warm; a network itself does not travel
        start = time.perf_counter()
        action(client)
        seconds = time.perf_counter() - start
        peaks = client.run(lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)
        return seconds, max(peaks.values())


if __name__ == "__main__":
    main()

"""Weak and strong scaling of block by block segmentation over Dask workers of one machine, each with one thread.

python benchmarks/scaling.py

A scan of simulated nuclei, written as OME-Zarr; network of weights/nuclei.keras, one view. Strong: the same scan by more
workers. Weak: as much more of it as there are more workers. At last, what Dask itself needs for a task, by tasks that do nothing.
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

import cluster

SIDE, OVERLAP = 1024, 512
TASKS = 5000
HEADER = "| workers | blocks | s | megapixels per s | per worker, of a single one's | peak GiB of a worker |"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--blocks", type=int, default=12, help="for one worker (default: %(default)s)")
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
    print(f"\nA task that does nothing: {1000 * empty_task():.2f} ms")


def empty_task():
    """Seconds for each of many tasks that do nothing, on one worker."""
    from distributed import Client

    with Client(n_workers=1, threads_per_worker=1, dashboard_address=None) as client:
        start = time.perf_counter()
        done = sum(1 for _ in cluster.run(client, abs, [(number,) for number in range(TASKS)], "Nothing", "task"))
        return (time.perf_counter() - start) / done


def measure(workers, blocks):
    """Seconds until all objects are numbered, written and measured, and the highest memory of a worker, GiB."""
    from ome_zarr.writer import write_image
    from sizes import mosaic

    import scans
    from segmentation import open_network

    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        (folder / "pieces").mkdir()
        write_image(mosaic(SIDE * blocks)[:SIDE], str(folder / "scan.zarr"), axes="yx", scale_factors=[2])
        model = str(ROOT / "weights/nuclei.keras")
        job = scans.Job(str(folder / "scan.zarr"), None, str(folder / "pieces"), model, views=1, side=SIDE, overlap=OVERLAP)
        job = scans.looked_at(job, open_network(model), None)
        with cluster.connect(str(workers)) as client:
            client.run(lambda: bool(cluster.open_once(model)))  # warm; a network itself does not travel
            start = time.perf_counter()
            scans.segment_scan(client, job, folder / "labels.zarr")
            seconds = time.perf_counter() - start
            peaks = client.run(lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)
            return seconds, max(peaks.values())


if __name__ == "__main__":
    main()

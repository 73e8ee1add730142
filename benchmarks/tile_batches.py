"""Compare predicting batches of tiles with predicting one tile after the other, by weights/nuclei.keras.

python benchmarks/tile_batches.py
"""

import sys
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from segmentation import open_network

LARGEST = 2 * 1024**2  # px in a batch
REPEATS = 7


def main():
    network = open_network(ROOT / "weights" / "nuclei.keras")
    generator = np.random.default_rng(0)
    print("| side, px | tiles in a batch | tiles/s | ratio |\n|---|---|---|---|")
    for side in (128, 256, 512, 1024):
        sizes = [size for size in (1, 2, 4, 8) if size * side**2 <= LARGEST]
        batches = [generator.random((size, side, side, network.config.channels), np.float32) for size in sizes]
        rates = [1 / seconds for seconds in median_seconds_per_tile(network.predict, batches)]
        for size, rate in zip(sizes, rates, strict=True):
            print(f"| {side} | {size} | {rate:.2f} | {rate / rates[0]:.2f} |", flush=True)


def median_seconds_per_tile(predict, batches):
    """Return the median time per tile of each batch, after one call to warm up: list.

    The batches take turns. Each one is predicted so often that all of them predict the same number of tiles in a turn.
    """
    seconds = [[] for _ in batches]
    for turn in range(REPEATS + 1):
        for batch, row in zip(batches, seconds, strict=True):
            calls = len(batches[-1]) // len(batch)
            start = time.perf_counter()
            for _ in range(calls):
                predict(batch)
            if turn:
                row.append((time.perf_counter() - start) / calls / len(batch))
    return [float(np.median(row)) for row in seconds]


if __name__ == "__main__":
    main()

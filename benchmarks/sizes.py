"""Measure time and peak memory of segmenting one image, for several sizes of it: a mosaic of simulated nuclei.

    python benchmarks/sizes.py                      256, 1024, 4096 and 8192 px
    python benchmarks/sizes.py --sides 20000        one size

Each row is measured in its own process, so that its peak memory is right.
"""

import argparse
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

HEADER = "| side, px | network, s | objects and measurements, s | megapixels per s, all | objects | peak GiB | before, GiB |"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sides", type=int, nargs="+", default=[256, 1024, 4096, 8192], help="of the images, in px")
    parser.add_argument("--tta", type=int, default=1, help="as of predict.py (default: %(default)s)")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        print(measure(given.one, given.tta))
        return
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, --tta {given.tta}\n\n{HEADER}")
    print("|---" * (HEADER.count("|") - 1) + "|", flush=True)
    for side in given.sides:
        command = [sys.executable, __file__, "--one", str(side), "--tta", str(given.tta)]
        finished = subprocess.run(command, stdout=subprocess.PIPE, text=True)
        print(f"| {side} | failed |" if finished.returncode else finished.stdout.strip().splitlines()[-1], flush=True)


def measure(side, tta):
    """Return a row of the table."""
    import segmentation
    from segmentation import open_network, segment

    network = open_network(ROOT / "weights/nuclei.keras")
    segment(mosaic(256), network, tta=tta)  # warm
    image, before = mosaic(side), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    seconds, predict = [], segmentation._predict
    segmentation._predict = lambda *given: timed(lambda: predict(*given), seconds)
    found = timed(lambda: segment(image, network, tta=tta), seconds)
    *looks, whole = seconds  # the looks that find the scale count, too
    inside = sum(looks)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    rate = side**2 / 1e6 / whole
    return f"| {side} | {inside:.2f} | {whole - inside:.2f} | {rate:.2f} | {found.objects.max()} | {peak:.1f} | {before:.1f} |"


def mosaic(side):
    """Make a square image of simulated nuclei that repeat: uint8 (side, side)."""
    import numpy as np

    import dsb
    from simulate import nuclei as simulate_nuclei

    with tempfile.TemporaryDirectory() as folder:
        samples = dsb.load(simulate_nuclei.nuclei(Path(folder) / "dsb", photographs=4, side=256), cache=None)
    gray = next(sample.image[..., 0] for sample in samples if dsb.is_fluorescence(sample))
    return np.tile(gray, [-(-side // part) for part in gray.shape])[:side, :side].copy()


def timed(action, seconds):
    """Return what an action returns, and append the time that it took to ``seconds``."""
    start = time.perf_counter()
    result = action()
    seconds.append(time.perf_counter() - start)
    return result


if __name__ == "__main__":
    main()

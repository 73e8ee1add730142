"""Score a network on images unlike those of its training: changed validation images, without and with --diameter auto.

python benchmarks/unfamiliar.py runs/dsb/<run>
"""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.tta import read_run
from data import evenly
from metrics import count_pixels, pixel_scores
from results.collect import markdown
from scores.matching import detection_table
from segmentation import inverted, open_network, segment
from system.progress import progress


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of a finished run")
    parser.add_argument("--images", type=int, default=40, help="number of validation images (default: %(default)s)")
    options = parser.parse_args()
    network = open_network(options.run / "model.keras")
    samples, rows = evenly(read_run(options.run)[3].validation, options.images), []
    for name, change in CHANGES.items():
        changed = [replace(sample, **change(sample)) for sample in samples]
        rows += [
            {"images": name, "--diameter": diameter or "none", **scores(changed, network, diameter)}
            for diameter in (None, "auto")
        ]
    print(markdown(pd.DataFrame(rows)))


def scores(samples, network, diameter):
    """Segment samples, and return their mean Dice and mean average precisions: {name: score}."""
    found = [segment(sample.image, network, diameter=diameter) for sample in progress(samples, "Segmenting", "image")]
    dice = [pixel_scores(count_pixels(s.mask, f.mask))["dice"] for s, f in zip(samples, found, strict=True)]
    table = detection_table(samples, [f.objects for f in found])
    return {"mean Dice": np.mean(dice), "mean AP 0.5 to 0.95": table["map"].mean(), "AP 0.5": table["ap50"].mean()}


def magnified(factor):
    """Return a change that makes image and mask ``factor`` times as high and wide."""

    def change(sample):
        size = tuple(max(1, round(side * factor)) for side in sample.mask.shape[::-1])
        image = cv2.resize(sample.image, size, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC)
        mask = cv2.resize(sample.mask, size, interpolation=cv2.INTER_NEAREST)
        return {"image": image.reshape(*mask.shape, -1), "mask": mask}

    return change


def sixteen_bit(sample):
    """Change an image to 16 bits as a camera writes them: it uses a fiftieth of their range, above an offset of 100."""
    return {"image": (sample.image.astype(np.float32) / 255 * 1300 + 100).round().astype(np.uint16)}


def noisy(sample):
    """Add noise as a dim image has it, with a standard deviation of a tenth of the contrast."""
    low, high = sample.limits
    noise = np.random.default_rng(0).normal(0, 0.1 * (high - low), sample.image.shape)
    return {"image": np.clip(sample.image + noise, 0, 255).round().astype(np.uint8)}


CHANGES = {
    "as they are": lambda sample: {},
    "16 bit, a fiftieth of the range": sixteen_bit,
    "noise, a tenth of the contrast": noisy,
    "dark as bright": lambda sample: {"image": inverted(sample.image)},
    "0.5 times as large": magnified(0.5),
    "2 times as large": magnified(2),
    "4 times as large": magnified(4),
}

if __name__ == "__main__":
    main()

"""Changes of a 512x512 image and its mask per second, each alone, together, and elasticdeform beside ours.

python benchmarks/augmentation.py
"""

import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

import augment

REPEATS = 40


def main():
    rng = np.random.default_rng(0)
    image = augment.cv2.GaussianBlur(rng.random((512, 512), dtype=np.float32), (0, 0), 3)[..., None]
    mask = (image[..., 0] > 0.5).astype(np.uint16)
    names = ("elastic", "rotate", "scale", "flip", "brightness", "contrast", "gamma", "noise")
    actions = {name: lambda name=name: getattr(augment, name)(rng, image, mask) for name in names}
    actions["all in one, 512x512"] = lambda: augment.intensity(rng, *augment.geometry(rng, image, mask))
    tile = {"origin": (128, 128), "shape": (256, 256)}
    actions["all in one, 256x256 tile"] = lambda: augment.intensity(rng, *augment.geometry(rng, image, mask, **tile))
    try:
        import elasticdeform

        planes = [image[..., 0].astype(float), mask.astype(float)]
        knots = rng.normal(0, 10, (2, 3, 3))
        actions["elasticdeform's elastic"] = lambda: elasticdeform.deform_grid(planes, knots, order=[3, 0], mode="mirror")
    except ImportError:
        print("elasticdeform is not installed: pip install -r requirements-dev.txt")
    print("| change | ms | per second |\n|---|---|---|")
    for name, action in actions.items():
        seconds = []
        for _ in range(REPEATS):
            start = time.perf_counter()
            action()
            seconds.append(time.perf_counter() - start)
        median = sorted(seconds)[REPEATS // 2]
        print(f"| {name} | {1000 * median:.2f} | {1 / median:.0f} |")


if __name__ == "__main__":
    main()

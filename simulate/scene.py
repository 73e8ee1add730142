"""Simulated microscopy with exact truth, written in the layout in which the real images are published.

Simulated images let everything run on an empty machine and give tests a truth. They are no substitute for real ones,
and every score from them says so.
"""

import os
import shutil
import tempfile
from pathlib import Path

import numpy as np
from scipy import ndimage

from system.files import read_json, write_json

VERSION = 2  # raise it when the images change


def make_once(folder, arguments, write):
    """Run ``write(folder, **arguments)`` in a temporary folder and rename it, unless the same was made before.

    Returns ``folder``. One made earlier with the same arguments is left as it is, one with others is made anew, and one
    that no simulation made is refused with ValueError. It appears only when it is complete; of several processes that
    make the same at once, as ``--nodes`` does, all return that of the first.
    """
    note, made = "simulated.json", {"version": VERSION, **arguments}

    def is_there():
        return (folder / note).exists() and read_json(folder / note) == made

    if is_there():
        return folder
    if folder.exists() and any(folder.iterdir()) and not (folder / note).exists():
        raise ValueError(f"{folder}: holds files that this program did not make; move them away or choose another folder.")
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        write(temporary, **arguments)
        write_json(temporary / note, made)
        os.chmod(temporary, 0o755)
        if (folder / note).exists() and not is_there():
            shutil.rmtree(folder, ignore_errors=True)
        try:
            os.replace(temporary, folder)
        except OSError:  # there is one by now
            if not is_there():
                raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder


def smooth_noise(rng, shape, sigma):
    """Noise smoothed by ``sigma`` px (one number, or one per axis): float32 of ``shape``, standard deviation 1."""
    noise = ndimage.gaussian_filter(rng.standard_normal(shape, dtype=np.float32), sigma)
    return noise / max(float(noise.std()), 1e-6)


def illumination(rng, shape):
    """A smooth slope and a bright spot: float32 (H, W), roughly -0.5 to 0.5."""
    y, x = np.meshgrid(*(np.linspace(-1, 1, side, dtype=np.float32) for side in shape), indexing="ij")
    angle, spot = rng.uniform(0, 2 * np.pi), rng.uniform(-0.5, 0.5, 2)
    slope = 0.25 * (np.cos(angle) * y + np.sin(angle) * x)
    return (slope + 0.5 * np.exp(-((y - spot[0]) ** 2 + (x - spot[1]) ** 2)) - 0.25).astype(np.float32)

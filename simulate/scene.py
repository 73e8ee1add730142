"""Folders of simulated images with exact labels, in the layout of the published images; noise and illumination.

With simulated images everything runs without a download, and tests know the truth. They do not replace real images; each
score of simulated images says that it is one.
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
    """Run ``write(folder, **arguments)`` in a temporary folder, rename this folder when it is complete, and return it.

    If an earlier simulation with the same arguments wrote the folder, keep it; with other arguments, write it again. Raises
    ValueError for a folder with other files. If several processes do this at the same time (``--nodes``), all return the
    folder of the first one.
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
        except OSError:  # another process was faster
            if not is_there():
                raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder


def smooth_noise(rng, shape, sigma):
    """Return noise smoothed by ``sigma`` px (one number, or one per axis): float32 of ``shape``, standard deviation 1."""
    noise = ndimage.gaussian_filter(rng.standard_normal(shape, dtype=np.float32), sigma)
    return noise / max(float(noise.std()), 1e-6)


def illumination(rng, shape):
    """Return a smooth slope with a bright spot: float32 (H, W), roughly -0.5 to 0.5."""
    y, x = np.meshgrid(*(np.linspace(-1, 1, side, dtype=np.float32) for side in shape), indexing="ij")
    angle, spot = rng.uniform(0, 2 * np.pi), rng.uniform(-0.5, 0.5, 2)
    slope = 0.25 * (np.cos(angle) * y + np.sin(angle) * x)
    return (slope + 0.5 * np.exp(-((y - spot[0]) ** 2 + (x - spot[1]) ** 2)) - 0.25).astype(np.float32)

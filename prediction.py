"""Probabilities for whole images of any size from a trained network, through one compiled call."""

import numpy as np
from tqdm import tqdm

import tiles
from data import normalise
from unet import reach

BLEND_WIDTH = 32  # px over which two tiles fade into each other, beyond what neither can know


def predict_samples(model, samples, config, description="Predicting"):
    """Probabilities of every sample: list of float32 (H, W, maps)."""
    return [
        predict_image(model, sample.image, sample.limits, config)
        for sample in tqdm(samples, desc=description, unit="image", disable=None)
    ]


def predict_image(model, image, limits, config):
    """Probabilities of one image (H, W, C) of any size: float32 (H, W, maps).

    ``limits``: see ``data.normalise``. An image larger than ``config.prediction_tile`` is predicted in overlapping
    tiles, which give what one large tile would give.
    """
    margin = reach(config.depth, config.upsampling)
    return tiles.predict_tiled(
        predict_function(model),
        normalise(image, limits),
        tile=config.prediction_tile,
        overlap=2 * margin + BLEND_WIDTH,
        margin=margin,
        multiple=2**config.depth,
        blend=config.blend,
    )


def predict_function(model):
    """The model as a function of a batch, compiled once for all sizes: (N, h, w, C) -> float32 (N, h', w', maps)."""
    model.jit_compile = model.jit_compile if model.compiled else False
    return lambda batch: np.asarray(model.predict_on_batch(batch), np.float32)

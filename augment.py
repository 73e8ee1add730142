"""Random changes of an image and its mask: elastic, rotation, scale, flips, brightness, contrast, gamma, noise.

Every public function is pure: ``(rng, image, mask, ...) -> (image, mask)``, image float32 or as read (H, W, C), mask
integer (H, W). Images are interpolated with cubic splines, masks take the nearest pixel, and beyond its border an image is
reflected. The geometric changes are grids of source coordinates: ``geometry`` adds them up and interpolates once. This
module never imports TensorFlow, so that worker processes start fast.

Source of the elastic deformation: Ronneberger et al. 2015, displacements drawn on a 3x3 grid with a standard deviation
of 10 px at 512x512 px.
"""

from functools import lru_cache

import cv2
import numpy as np
from scipy import ndimage

cv2.setNumThreads(1)  # the worker processes are the parallelism; OpenCV's own threads would only fight over the cores

EXAMPLE_SEED = 31  # draws strong changes, so that a figure shows them


def geometry(rng, image, mask, *, origin=(0, 0), shape=None, strength=1.0):
    """Cut one tile from an image, deformed, turned, magnified and mirrored at random, in a single interpolation.

    ``origin``, ``shape``: the first pixel and the size of the tile before it is turned. Its corners then show the image
    around it, and a reflection only beyond the border of the image. ``strength``: 0 (only cut) to 1.
    """
    shape = shape or mask.shape
    coordinates = identity_grid(shape)
    if strength:
        coordinates = coordinates + elastic_displacement(rng, shape, 10 * strength * min(shape) / 512)
        magnify = 2 ** rng.uniform(-0.5 * strength, 0.5 * strength)
        coordinates = turn(coordinates, rng.uniform(-180, 180), magnify, mirror=bool(rng.integers(2)))
    return warp(image, mask, coordinates + np.float32(origin).reshape(2, 1, 1))


def intensity(rng, image, mask, *, strength=1.0):
    """Change contrast, brightness, gamma and noise of a normalised float32 image at random; the mask stays."""
    image, mask = contrast(rng, image, mask, 0.3 * strength)
    image, mask = brightness(rng, image, mask, 0.1 * strength)
    image, mask = gamma(rng, image, mask, 0.3 * strength)
    return noise(rng, image, mask, 0.04 * strength)


def elastic(rng, image, mask, sigma=10.0, points=3):
    """Deform elastically: displacements of standard deviation ``sigma`` px on a ``points`` x ``points`` grid."""
    shape = mask.shape
    return warp(image, mask, identity_grid(shape) + elastic_displacement(rng, shape, sigma, points))


def rotate(rng, image, mask, degrees=180.0):
    """Turn about the centre by an angle drawn evenly from -``degrees`` to ``degrees``."""
    return warp(image, mask, turn(identity_grid(mask.shape), rng.uniform(-degrees, degrees)))


def scale(rng, image, mask, octaves=0.5):
    """Enlarge or shrink about the centre by up to 2**``octaves``, both equally likely."""
    return warp(image, mask, turn(identity_grid(mask.shape), 0.0, 2 ** rng.uniform(-octaves, octaves)))


def flip(rng, image, mask):
    """Mirror left-right and top-bottom, each with probability 1/2."""
    steps = (slice(None, None, 1 - 2 * int(rng.integers(2))), slice(None, None, 1 - 2 * int(rng.integers(2))))
    return np.ascontiguousarray(image[steps]), np.ascontiguousarray(mask[steps])


def brightness(rng, image, mask, amount=0.1):
    """Add up to ``amount`` (normalised intensity, range 0 to 1) to a float image."""
    return image + np.float32(rng.uniform(-amount, amount)), mask


def contrast(rng, image, mask, amount=0.3):
    """Multiply the distance from the mean of a float image by up to 1 + ``amount`` or down to its inverse."""
    mean = image.mean(dtype=np.float32)
    return (image - mean) * np.float32((1 + amount) ** rng.uniform(-1, 1)) + mean, mask


def gamma(rng, image, mask, amount=0.3):
    """Raise a normalised float image to a power between 1 / (1 + ``amount``) and 1 + ``amount``; negatives keep sign."""
    power = np.float32((1 + amount) ** rng.uniform(-1, 1))
    return np.sign(image) * np.abs(image) ** power, mask


def noise(rng, image, mask, amount=0.04):
    """Add Gaussian noise whose standard deviation is drawn from 0 to ``amount`` (normalised intensity)."""
    sigma = np.float32(rng.uniform(0, amount))
    return image + sigma * rng.standard_normal(image.shape, dtype=np.float32), mask


def examples(image, mask):
    """Return {name: (image, mask)}: as read, each change alone, all together; a drawn grid shows how the image moves."""
    image = image.copy()
    image[::32], image[:, ::32] = 0.8, 0.8
    alone = {change.__name__: change(np.random.default_rng(EXAMPLE_SEED), image, mask) for change in CHANGES}
    rng = np.random.default_rng(EXAMPLE_SEED)
    return {"as read": (image, mask), **alone, "all together": intensity(rng, *geometry(rng, image, mask))}


CHANGES = (elastic, rotate, scale, flip, brightness, contrast, gamma, noise)


def identity_grid(shape):
    """Return the source coordinates (y, x) of every pixel when nothing moves: float32 (2, H, W)."""
    return np.stack(np.meshgrid(*(np.arange(side, dtype=np.float32) for side in shape), indexing="ij"))


def elastic_displacement(rng, shape, sigma, points=3):
    """Draw smooth random displacements in px, float32 (2, H, W): a cubic spline through ``points`` x ``points`` draws."""
    return spline_displacement(rng.normal(0, sigma, (2, points, points)), shape)


def spline_displacement(knots, shape):
    """Return the cubic spline through (2, points, points) displacements, whose corner knots lie on the corner pixels.

    ``elasticdeform.deform_grid`` uses the same field; a test compares the two.
    """
    down, across = (_spline_basis(side, count) for side, count in zip(shape, knots.shape[1:], strict=True))
    return np.stack([down @ knot.astype(np.float32) @ across.T for knot in knots])


def turn(coordinates, degrees, factor=1.0, mirror=False):
    """Rotate source coordinates about their centre, magnify the picture by ``factor``, mirror left-right."""
    shape = coordinates.shape[1:]
    centre = (np.float32(shape).reshape(2, 1, 1) - 1) / 2
    y, x = (coordinates - centre) / np.float32(factor)
    x = -x if mirror else x
    cosine, sine = np.float32(np.cos(np.deg2rad(degrees))), np.float32(np.sin(np.deg2rad(degrees)))
    return np.stack([cosine * y - sine * x, sine * y + cosine * x]) + centre


def warp(image, mask, coordinates):
    """Look image and mask up at source coordinates (2, h, w), in px: arrays of height h and width w."""
    rows, columns = (np.ascontiguousarray(axis, dtype=np.float32) for axis in coordinates)
    border = cv2.BORDER_REFLECT_101

    def look_up(array, interpolation):
        for axis in (0, 1):  # OpenCV's cubic interpolation never returns for a reflected side of 1 px
            array = np.repeat(array, 2, axis) if array.shape[axis] == 1 else array
        return cv2.remap(array, columns, rows, interpolation, borderMode=border)

    # OpenCV takes at most four channels at once, and no 32-bit integers.
    parts = [look_up(image[..., i : i + 4], cv2.INTER_CUBIC) for i in range(0, image.shape[-1], 4)]
    parts = [part.reshape(*rows.shape, -1) for part in parts]
    exact = mask if mask.dtype in (np.uint8, np.uint16, np.int16) else mask.astype(np.float64)
    warped = look_up(exact, cv2.INTER_NEAREST).astype(mask.dtype)
    return np.concatenate(parts, axis=-1), warped


@lru_cache(maxsize=32)
def _spline_basis(length, points):
    """Return the weights (length, points) of a cubic interpolating spline whose first and last knot lie on the end pixels."""
    position = np.linspace(0, points - 1, length)
    columns = [ndimage.map_coordinates(unit, [position], order=3, mode="mirror") for unit in np.eye(points)]
    return np.stack(columns, axis=1).astype(np.float32)

"""The batches that feed ``fit``: tiles drawn, augmented and stacked, the same ones whatever the number of workers is.

Worker processes are Google's grain: measured side by side with the alternatives by ``benchmarks/loaders.py``. They
import neither TensorFlow nor Keras.
"""

import itertools
import multiprocessing
import os
import signal
import threading
from functools import partial

import cv2
import numpy as np

import augment
import tiles
from data import class_of_objects, normalise
from maps import class_target, distance_target
from system.loading import grain

BATCHES_AHEAD = 4  # that every worker may have waiting


class TrainingBatches:
    """The batches of one epoch as a sequence, prepared ahead by worker processes; ``close()`` ends them.

    Each is (images, targets) or, with border weights, (images, targets, weights): float32 (N, tile, tile, C),
    normalised; uint8 (N, tile, tile, 1), or float32 (N, tile, tile, 2) with ``data.distance_map``; float32 (N, tile, tile).
    Of several machines that train together each has its part of every batch; ``world``: (rank, world size).
    Set ``epoch`` (from 0) before an epoch begins. The workers run through the batches of the whole run in order; one
    asked for out of turn is made here, and is the same. An exception in a worker reaches the caller and names the image.
    """

    def __init__(self, samples, config, epoch=0, world=(0, 1)):
        self.samples, self.config, self.epoch, self.world = samples, config, epoch, world
        self.next_number = epoch * config.steps
        self.lock = threading.Lock()  # tf.data asks from several threads
        self.error = None
        self.stream = _start_workers(samples, config, self.next_number, world)

    def __len__(self):
        return self.config.steps

    def __getitem__(self, index):
        number = self.epoch * self.config.steps + index
        try:
            with self.lock:
                if number == self.next_number:
                    batch = next(self.stream)
                    self.next_number += 1
                    return tuple(np.array(part) for part in batch)  # a copy: the shared memory is given back at once
            return make_batch(self.samples, self.config, number, self.world)
        except Exception as error:
            self.error = error  # backends wrap it; ``train`` raises it as it was
            raise

    def close(self):
        """End the worker processes."""
        with self.lock:
            self.stream.close()
            self.stream = None


def _start_workers(samples, config, first, world):
    numbers = grain.MapDataset.range(first, max(config.epochs * config.steps, first + 1))
    workers = grain.multiprocessing.MultiprocessingOptions(config.workers, BATCHES_AHEAD)
    # Without read-ahead threads: grain's default makes 500 batches in each worker before anybody asks.
    no_threads = grain.ReadOptions(num_threads=0, prefetch_buffer_size=0)
    batches = numbers.map(partial(make_batch, samples, config, world=world)).to_iter_dataset(no_threads)
    return iter(batches.mp_prefetch(workers, worker_init_fn=_start_worker))


def check_batch_size(samples, config, replicas=1):
    """Raise ValueError when a batch is larger than the data; of ``train_images`` it may hold one image more than once."""
    if config.train_images is None and config.batch_size > len(samples):
        most = len(samples) // replicas * replicas
        advice = f"make it {most} or less." if most else f"there are fewer than devices, {replicas}: add --device cpu."
        raise ValueError(f"--batch-size {config.batch_size} is larger than the {len(samples)} images to fit; {advice}")


def make_batch(samples, config, number, world=(0, 1)):
    """Batch ``number`` of a run, or one machine's part of it, as ``TrainingBatches`` describes it.

    Everything random is keyed to (seed, number of the tile in the run), never to the process that happens to draw it.
    """
    first = number * config.batch_size
    drawn = [_draw(samples, config, first + i) for i in part(config.batch_size, world)]
    return tuple(np.stack(parts) for parts in zip(*drawn, strict=True))


def part(size, world):
    """The places of a batch of ``size`` tiles that a machine prepares; ``world``: (rank, world size)."""
    rank, count = world
    return range(size * rank // count, size * (rank + 1) // count)


def _draw(samples, config, index):
    round_, place = divmod(index, len(samples))  # every image once before any image twice
    sample = samples[_order([sample.stratum for sample in samples], (config.seed, 0, round_))[place]]
    rng = np.random.default_rng((config.seed, 1, index))
    try:
        return _draw_tile(rng, sample, config)
    except Exception as error:
        raise ValueError(f"{sample.name}: no tile could be drawn from this image ({error}).") from error


def _order(strata, key):
    """A random order in which every stretch holds the strata in their proportions.

    Batch normalisation learns from single batches and predicts with their average: the two agree when all batches
    are alike.
    """
    rng, strata = np.random.default_rng(key), np.array(strata)
    position = np.empty(len(strata))
    for stratum in np.unique(strata):
        members = rng.permutation(np.flatnonzero(strata == stratum))
        position[members] = (np.arange(len(members)) + rng.random()) / len(members)
    return np.argsort(position)


def _draw_tile(rng, sample, config):
    places = tiles.grid(*sample.mask.shape, config.tile, config.overlap)
    image, mask = augment.geometry(
        rng,
        sample.image,
        sample.mask,
        origin=places[rng.integers(len(places))],
        shape=(config.tile, config.tile),
        strength=config.augment,
    )
    image = normalise(image, sample.limits)
    image, mask = augment.intensity(rng, image, mask, strength=config.augment)
    tile = image, _target(mask, sample.object_classes, config)
    return (*tile, border_weights(mask)) if config.border_weights else tile


def _target(mask, object_classes, config):
    """What the network shall predict for a tile: class numbers and, if it learns one, the distance map, (H, W, 1 or 2)."""
    truth = class_target(mask, class_of_objects(mask, object_classes), config.maps, config.border)
    return np.stack([truth, distance_target(mask)], axis=-1) if config.distance else truth[..., None]


def border_weights(mask, w0=10.0, sigma=5.0):
    """Weights that make the network learn the gaps between touching objects: float32 (H, W), mean 1.

    ``mask``: instance numbers. 1 + w0 * exp(-(d1 + d2)**2 / (2 * sigma**2)) on the background, with d1 and d2 the
    distances in px to the two nearest objects (Ronneberger et al. 2015, equation 2), 1 on the objects; then divided
    by the mean, so that the loss keeps its scale.
    """
    weights = np.ones(mask.shape, np.float32)
    numbers = np.unique(mask[mask > 0])
    if len(numbers) > 1:
        nearest = np.full((2, *mask.shape), np.inf, np.float32)
        for number in numbers:
            distance = cv2.distanceTransform((mask != number).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
            nearest[1] = np.minimum(nearest[1], np.maximum(nearest[0], distance))
            nearest[0] = np.minimum(nearest[0], distance)
        gap = np.exp(-np.square(nearest.sum(axis=0)) / (2 * sigma**2))
        weights += np.where(mask == 0, np.float32(w0) * gap, 0)
    return weights / weights.mean()


class ValidationBatches:
    """The validation set as a sequence of (images, targets, weights) batches, never augmented, every pixel counted once.

    Weights are 1, and 0 for reflected padding, for pixels that an earlier tile holds already, and for the empty tiles
    that fill the last batch: every batch has ``config.batch_size`` tiles, so that it divides by the replicas. ``world`` as
    in ``TrainingBatches``.
    """

    def __init__(self, samples, config, world=(0, 1)):
        self.config, self.world = config, world
        self.places = [(sample, *place) for sample in samples for place in _places(sample.mask.shape, config.tile)]

    def __len__(self):
        return -(-len(self.places) // self.config.batch_size)

    def __getitem__(self, number):
        size = self.config.batch_size
        places = self.places[number * size : (number + 1) * size]
        mine = part(size, self.world)
        drawn = [self._tile(*place) for place in places[mine.start : mine.stop]]
        empty = drawn[0] if drawn else self._tile(*places[0])
        drawn += [tuple(np.zeros_like(array) for array in empty)] * (len(mine) - len(drawn))
        return tuple(np.stack(parts) for parts in zip(*drawn, strict=True))

    def _tile(self, sample, y, x, top, left):
        tile = self.config.tile
        height, width = sample.mask.shape
        image = normalise(tiles.cut(sample.image, y, x, tile), sample.limits)
        truth = _target(tiles.cut(sample.mask, y, x, tile), sample.object_classes, self.config)
        weight = np.zeros((tile, tile), np.float32)
        weight[top : height - y, left : width - x] = 1
        return image, truth, weight


def _places(shape, tile):
    """(y, x, top, left) of the tiles that cover an image, and where in each the pixels begin that none held before."""

    def fresh(side):
        starts = tiles.origins(max(side, tile), tile, 0)
        return [(0, 0), *((start, before + tile - start) for before, start in itertools.pairwise(starts))]

    rows, columns = fresh(shape[0]), fresh(shape[1])
    return [(y, x, top, left) for (y, top), (x, left) in itertools.product(rows, columns)]


def _start_worker(_worker, _workers):
    """Ctrl-C reaches every process of a terminal; the main process decides when the workers end, or ends itself."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_the_main_process, daemon=True).start()


def _end_with_the_main_process():
    multiprocessing.parent_process().join()
    os._exit(1)  # it was killed: nobody takes the batches any more

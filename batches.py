"""The batches for ``fit``: tiles are drawn, augmented and stacked; the number of worker processes does not change them.

Worker processes are Google's grain; ``benchmarks/loaders.py`` compares it with the alternatives. They import neither
TensorFlow nor Keras, and read the samples from a file that they share.
"""

import contextlib
import itertools
import multiprocessing
import os
import shutil
import signal
import threading
from functools import partial

import numpy as np

import augment
import tiles
from data import class_of_objects, normalise
from maps import class_target, distance_target, distance_to_outside
from system.arrays import SharedList
from system.loading import grain

BATCHES_AHEAD = 4  # batches that wait in each worker at most


class TrainingBatches:
    """The batches of one epoch as a sequence, prepared ahead by worker processes; ``close()`` ends the workers.

    A batch is (images, targets) or, with border weights, (images, targets, weights): images float32 (N, tile, tile, C),
    normalised; targets uint8 (N, tile, tile, 1), with a distance map float32 (N, tile, tile, 2); weights float32 (N, tile,
    tile). If several machines train together, each one has its part of every batch; ``world``: (rank, world size). Set
    ``epoch`` (from 0) before an epoch begins. The workers prepare the batches of the whole run in order. A batch that is
    requested in another order is made in this process, and is the same. An exception in a worker reaches the caller and names
    the image.
    """

    def __init__(self, samples, config, epoch=0, world=(0, 1)):
        self.config, self.epoch = config, epoch
        self.next_number = epoch * config.steps
        self.lock = threading.Lock()  # tf.data asks from several threads
        self.error = None
        self.make_batch = BatchMaker(samples, config, world)
        self.shared = _share(samples) if config.workers else None
        make = BatchMaker(self.shared, config, world) if config.workers else self.make_batch
        self.stream = _start_workers(make, config, self.next_number, self.shared and self.shared.folder.path)

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
            return self.make_batch(number)
        except Exception as error:
            self.error = error  # backends wrap it; ``train`` raises it as it was
            raise

    def close(self):
        """End the worker processes and delete their copy of the samples."""
        with self.lock:
            self.stream.close()
            self.stream = None
        if self.shared:
            self.shared.close()


def _share(samples):
    """Write the samples to the file that the workers read, with their intensity limits, which no worker computes again."""
    for sample in samples:
        with _naming(sample):
            sample.limits  # noqa: B018  (a cached property)
    return SharedList(samples, ("image", "mask"))


def _start_workers(make_batch, config, first, folder):
    numbers = grain.MapDataset.range(first, max(config.epochs * config.steps, first + 1))
    workers = grain.multiprocessing.MultiprocessingOptions(config.workers, BATCHES_AHEAD)
    # Without read-ahead threads: grain's default makes 500 batches in each worker before anybody asks.
    no_threads = grain.ReadOptions(num_threads=0, prefetch_buffer_size=0)
    batches = numbers.map(make_batch).to_iter_dataset(no_threads)
    return iter(batches.mp_prefetch(workers, worker_init_fn=partial(_start_worker, folder)))


def check_batch_size(samples, config, replicas=1):
    """Raise ValueError when a batch is larger than the data; with ``train_images`` it may hold an image more than once."""
    if config.train_images is None and config.batch_size > len(samples):
        most = len(samples) // replicas * replicas
        advice = f"make it {most} or less." if most else f"there are fewer than devices, {replicas}: add --device cpu."
        raise ValueError(f"--batch-size {config.batch_size} is larger than the {len(samples)} training images; {advice}")


class BatchMaker:
    """Make a batch from its number in the run, see ``TrainingBatches``.

    All random choices depend on (seed, number of the tile in the run), never on the process that draws the tile.
    """

    def __init__(self, samples, config, world=(0, 1)):
        self.samples, self.config, self.world = samples, config, world
        self.strata = np.array([sample.stratum for sample in samples])
        self.orders = {}  # of the current round, because sorting many samples for each tile takes time

    def __call__(self, number):
        first = number * self.config.batch_size
        drawn = [self._draw(first + i) for i in part(self.config.batch_size, self.world)]
        return tuple(np.stack(parts) for parts in zip(*drawn, strict=True))

    def _draw(self, index):
        round_, place = divmod(index, len(self.samples))  # every image once before any image twice
        sample = self.samples[self._order_of(round_)[place]]
        rng = np.random.default_rng((self.config.seed, 1, index))
        with _naming(sample):
            return _draw_tile(rng, sample, self.config)

    def _order_of(self, round_):
        order = self.orders.get(round_)
        if order is None:
            order = _order(self.strata, (self.config.seed, 0, round_))
            self.orders = {round_: order}
        return order


def make_batch(samples, config, number, world=(0, 1)):
    """Make batch ``number`` of a run, or one machine's part of it, as ``TrainingBatches`` describes it."""
    return BatchMaker(samples, config, world)(number)


@contextlib.contextmanager
def _naming(sample):
    try:
        yield
    except Exception as error:
        raise ValueError(f"{sample.name}: no tile could be drawn from this image ({error}).") from error


def part(size, world):
    """Return the places in a batch of ``size`` tiles that one machine prepares, a range; ``world``: (rank, world size)."""
    rank, count = world
    return range(size * rank // count, size * (rank + 1) // count)


def _order(strata, key):
    """Draw an order in which every part holds the strata in their proportions.

    Batch normalisation learns from single batches and predicts with their average: the two agree when all batches
    are alike.
    """
    rng, strata = np.random.default_rng(key), np.asarray(strata)
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
    """Return the target of a tile: class numbers and, if the network learns one, the distance map: (H, W, 1 or 2)."""
    truth = class_target(mask, class_of_objects(mask, object_classes), config.maps, config.border)
    return np.stack([truth, distance_target(mask)], axis=-1) if config.distance else truth[..., None]


def border_weights(mask, w0=10.0, sigma=5.0):
    """Return weights that make the network learn the gaps between touching objects: float32 (H, W), mean 1.

    ``mask``: numbers of the objects. The weights are 1 + w0 * exp(-(d1 + d2)**2 / (2 * sigma**2)) on the background, with d1
    and d2 the distances in px to the two nearest objects (Ronneberger et al. 2015, equation 2), and 1 on the objects; then
    they are divided by their mean, so that the loss keeps its scale.
    """
    weights = np.ones(mask.shape, np.float32)
    numbers = np.unique(mask[mask > 0])
    if len(numbers) > 1:
        nearest = np.full((2, *mask.shape), np.inf, np.float32)
        for number in numbers:
            distance = distance_to_outside(mask != number)
            nearest[1] = np.minimum(nearest[1], np.maximum(nearest[0], distance))
            nearest[0] = np.minimum(nearest[0], distance)
        gap = np.exp(-np.square(nearest.sum(axis=0)) / (2 * sigma**2))
        weights += np.where(mask == 0, np.float32(w0) * gap, 0)
    return weights / weights.mean()


class ValidationBatches:
    """The validation set as a sequence of (images, targets, weights) batches, without augmentation; each pixel counts once.

    Weights are 0 for reflected padding, for pixels that an earlier tile contains, and for the empty tiles that fill the last
    batch; all others are 1. Every batch has ``config.batch_size`` tiles, a multiple of the number of devices. ``world``: as in
    ``TrainingBatches``.
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
    """Return (y, x, top, left) of the tiles that cover an image: first pixel, and first pixel that no earlier tile contains."""

    def fresh(side):
        starts = tiles.origins(max(side, tile), tile, 0)
        return [(0, 0), *((start, before + tile - start) for before, start in itertools.pairwise(starts))]

    rows, columns = fresh(shape[0]), fresh(shape[1])
    return [(y, x, top, left) for (y, top), (x, left) in itertools.product(rows, columns)]


def _start_worker(folder, _worker, _workers):
    """Ignore Ctrl-C, which every process of a terminal receives: the main process stops its workers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_the_main_process, args=(folder,), daemon=True).start()


def _end_with_the_main_process(folder):
    multiprocessing.parent_process().join()
    shutil.rmtree(folder, ignore_errors=True)  # the main process was killed: it could not do this, and takes no batches
    os._exit(1)

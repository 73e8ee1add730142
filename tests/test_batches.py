"""Batches do not depend on the workers, errors name the image, and no worker loads TensorFlow."""

import contextlib
import dataclasses
import os
import pickle
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

import batches
from maps import distance_to_outside

ROOT = str(Path(batches.__file__).parent)


def take(samples, config, count, epoch=0):
    with contextlib.closing(batches.TrainingBatches(samples, config, epoch)) as stream:
        drawn = []
        for number in range(count):
            stream.epoch, index = divmod(epoch * config.steps + number, config.steps)
            drawn.append(stream[index])
        return drawn


def assert_same(one, other):
    assert len(one) == len(other) > 0
    for left, right in zip(one, other, strict=True):
        for a, b in zip(left, right, strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("options", [{}, {"distance": True}, {"border_weights": True, "loss": "cross_entropy"}], ids=str)
def test_the_same_batches_whatever_the_number_of_workers(discs, small, workers, options):
    config = small.replace(steps=6, epochs=1, **options)
    assert_same(take(discs(5), config, 6), take(discs(5), config.replace(workers=workers), 6))


def test_resuming_goes_on_with_the_batch_that_was_next(discs, small):
    config = small.replace(steps=3)
    assert_same(take(discs(5), config, 6)[3:], take(discs(5), config, 3, epoch=1))


def test_a_batch_asked_for_again_or_out_of_turn_is_the_same(discs, small):
    """Keras looks at the first batch before training, and several GPUs fetch ahead."""
    config = small.replace(steps=6, workers=1)
    expected = take(discs(5), config.replace(workers=0), 6)
    with contextlib.closing(batches.TrainingBatches(discs(5), config)) as stream:
        order = [0, 1, 0, 1, 2, 3, 5, 4]
        assert_same([stream[index] for index in order], [expected[index] for index in order])


def test_no_two_tiles_of_a_run_are_equal(discs, small):
    config = small.replace(steps=4)
    tiles = np.concatenate([images for images, _ in take(discs(4), config.replace(workers=2), 8)])
    assert len(np.unique(tiles.reshape(len(tiles), -1), axis=0)) == len(tiles) == 32


def test_another_seed_draws_other_tiles(discs, small):
    for count in (1, 4):
        assert not np.array_equal(take(discs(count), small, 1)[0][0], take(discs(count), small.replace(seed=1), 1)[0][0])


def test_shapes_types_and_values(discs, small):
    images, targets = take(discs(4), small, 1)[0]
    assert images.shape == (4, 64, 64, 1) and images.dtype == np.float32
    assert targets.shape == (4, 64, 64, 1) and targets.dtype == np.uint8
    assert set(np.unique(targets)) == {0, 1}
    assert -0.5 < images.min() < images.max() < 2.5  # normalised before brightness, contrast, gamma and noise


def test_every_image_is_drawn_once_before_any_is_drawn_twice(discs, small, monkeypatch):
    drawn = []
    monkeypatch.setattr(batches, "_draw_tile", lambda rng, sample, config: drawn.append(sample.name) or (np.zeros(1),) * 2)
    for number in range(6):
        batches.make_batch(discs(8), small, number)
    for first in (0, 8, 16):
        assert len(set(drawn[first : first + 8])) == 8


@pytest.mark.parametrize("workers", [0, 2])
def test_an_error_in_a_worker_names_the_image(discs, small, workers):
    samples = discs(4)
    samples[2] = dataclasses.replace(samples[2], name="plate7.png")
    object.__setattr__(samples[2], "image", "not an array")
    with pytest.raises(ValueError, match=r"plate7\.png: no tile could be drawn"):
        take(samples, small.replace(workers=workers), 2)


def test_workers_stay_free_of_tensorflow_and_end(discs, small, tmp_path):
    """A program like the script: what its workers imported, and that it ends although batches are left over."""
    program = tmp_path / "program.py"
    program.write_text(
        "import sys\n"
        f"sys.path.insert(0, {ROOT!r})\n"
        "import numpy as np\n"
        "import batches\n"
        "from config import Config\n"
        "from data import Sample\n"
        "class Spy:\n"
        "    def __init__(self, samples, config, world):\n"
        "        self.samples = samples\n"
        "    def __call__(self, number):\n"
        "        assert self.samples[number % 4].image.shape == (64, 64, 1)\n"
        "        return np.array(['tensorflow' in sys.modules or 'keras' in sys.modules]), np.zeros(300_000)\n"
        "if __name__ == '__main__':\n"
        "    import tensorflow\n"
        "    batches.BatchMaker = Spy\n"
        "    sample = Sample('a', np.zeros((64, 64, 1), np.uint8), np.zeros((64, 64), np.uint8))\n"
        "    stream = batches.TrainingBatches([sample] * 4, Config(batch_size=2, workers=2))\n"
        "    print('loaded', [bool(stream[i][0][0]) for i in range(4)])\n"
        "    stream.close()\n"
    )
    finished = subprocess.run([sys.executable, program], capture_output=True, text=True, timeout=60)
    assert "loaded [False, False, False, False]" in finished.stdout, finished.stderr
    assert "leaked" not in finished.stderr and "Exception ignored" not in finished.stderr


PROGRAM = """
import multiprocessing, os, signal, time, sys
sys.path.insert(0, {root!r})
import numpy as np
import batches
from config import Config
from data import Sample
if __name__ == "__main__":
    sample = Sample("a", np.zeros((64, 64, 1), np.uint8), np.zeros((64, 64), np.uint8))
    stream = batches.TrainingBatches([sample] * 4, Config(batch_size=2, workers=2))
    stream[0]
    print(stream.shared.folder.path, *[child.pid for child in multiprocessing.active_children()], flush=True)
    {ending}
"""
ENDINGS = {
    "killed": "os.kill(os.getpid(), signal.SIGKILL)",
    # Again and again: Python loses a signal that arrives while it runs a callback whose errors are ignored.
    "Ctrl-C": "for _ in range(99): os.kill(os.getpid(), signal.SIGINT); time.sleep(1)",
    "terminated": "for _ in range(99): os.kill(os.getpid(), signal.SIGTERM); time.sleep(1)",
    "closed": "stream.close()",
    "error": "raise SystemError",
}


@pytest.mark.parametrize("ending", ENDINGS.values(), ids=ENDINGS)
def test_neither_workers_nor_samples_outlive_the_main_process(tmp_path, ending):
    program = tmp_path / "program.py"
    program.write_text(PROGRAM.format(root=ROOT, ending=ending))
    (tmp_path / "temporary").mkdir()
    with open(tmp_path / "printed", "w") as printed:  # not a pipe: a worker that lives on would hold it open
        environment = os.environ | {"TMPDIR": str(tmp_path / "temporary")}
        subprocess.run([sys.executable, program], stdout=printed, stderr=subprocess.DEVNULL, timeout=120, env=environment)
    folder, *workers = (tmp_path / "printed").read_text().split()
    assert len(workers) == 2 and Path(folder).parent == tmp_path / "temporary"
    deadline = time.monotonic() + 30
    while (Path(folder).exists() or any(map(alive, workers))) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(map(alive, workers)) and not Path(folder).exists()


def alive(pid):
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True).stdout.strip()
    return bool(state) and not state.startswith("Z")


def test_a_batch_larger_than_the_data_is_refused(discs, small):
    batches.check_batch_size(discs(4), small)
    with pytest.raises(ValueError, match="--batch-size 4 is larger than the 3 training images"):
        batches.check_batch_size(discs(3), small)
    with pytest.raises(ValueError, match="--batch-size 9 is larger than the 8 training images; make it 6 or less"):
        batches.check_batch_size(discs(8), small.replace(batch_size=9), replicas=3)
    with pytest.raises(ValueError, match="there are fewer than devices, 4: add --device cpu"):
        batches.check_batch_size(discs(3), small, replicas=4)


def test_border_weights_of_two_touching_squares():
    """Between two objects a pixel has d1 = 1 and d2 = 2, or 2 and 1: w0 * exp(-9 / 50) above the rest."""
    mask = np.zeros((40, 40), np.uint16)
    mask[10:30, 5:19], mask[10:30, 21:35] = 1, 2
    weights = batches.border_weights(mask)
    assert weights.dtype == np.float32
    assert weights.mean() == pytest.approx(1, rel=1e-5)
    assert weights[20, 19] / weights[20, 10] == pytest.approx(1 + 10 * np.exp(-9 / 50), rel=1e-4)
    assert weights[20, 20] == weights[20, 19] > weights[0, 0] > weights[20, 10] * 0.999


def test_one_object_has_no_border_to_weigh():
    assert (batches.border_weights(np.eye(8, dtype=np.uint16)) == 1).all()


def test_batches_carry_border_weights_when_asked(discs, small):
    parts = take(discs(4), small.replace(border_weights=True, loss="cross_entropy"), 1)[0]
    assert parts[2].shape == (4, 64, 64)


def test_the_validation_set_counts_every_pixel_once_and_fills_its_batches(discs, small):
    samples = [*discs(2, side=100), *discs(1, side=40)]
    validation = batches.ValidationBatches(samples, small)
    drawn = [validation[number] for number in range(len(validation))]
    assert all(len(part) == small.batch_size for batch in drawn for part in batch)
    weights = np.concatenate([batch[2] for batch in drawn])
    assert weights.sum() == 2 * 100 * 100 + 40 * 40
    foreground = sum((batch[1][..., 0] * batch[2]).sum() for batch in drawn)
    assert foreground == sum(sample.mask.sum() for sample in samples)


def test_the_validation_set_is_never_augmented(discs, small):
    sample = discs(1)[0]
    image = batches.ValidationBatches([sample], small)[0][0][0]
    np.testing.assert_array_equal(image, batches.normalise(sample.image, sample.limits))


def test_distances_do_not_depend_on_where_an_array_lies_in_memory():
    inside = np.kron(np.random.default_rng(0).integers(0, 5, (4, 4)), np.ones((16, 16), int)) > 0
    expected = ndimage.distance_transform_edt(inside).astype(np.float32)
    for more in range(20):
        shifted = np.empty((64, 64 + more), bool)[:, :64]
        shifted[:] = inside
        np.testing.assert_array_equal(distance_to_outside(shifted), expected)
    assert np.isfinite(distance_to_outside(np.ones((3, 3), bool))).all()


def test_every_stretch_of_the_order_holds_the_strata_in_proportion():
    strata = [0] * 60 + [1] * 30 + [2] * 10
    order = batches._order(strata, (0, 0, 0))
    assert sorted(order) == list(range(100))
    for start in range(0, 100, 20):
        drawn = np.bincount(np.array(strata)[order[start : start + 20]], minlength=3)
        assert np.abs(drawn - [12, 6, 2]).max() <= 1
    assert (order != batches._order(strata, (0, 0, 1))).any()


def test_the_order_is_sorted_once_for_each_round(discs, small, monkeypatch):
    sorted_for, order = [], batches._order
    monkeypatch.setattr(batches, "_order", lambda strata, key: sorted_for.append(key[2]) or order(strata, key))
    make = batches.BatchMaker(discs(6), small)  # batches of 4
    for number in range(6):
        make(number)
    assert sorted_for == [0, 1, 2, 3]


def test_workers_get_no_copy_of_the_samples_and_compute_no_limits(discs, small, monkeypatch):
    samples = discs(5, side=200)
    samples[1] = dataclasses.replace(samples[1], object_classes=np.array([0, 1], np.uint8), pixel_size=0.5)
    expected = [sample.limits for sample in samples]
    shared = batches._share([dataclasses.replace(sample) for sample in samples])
    pickled = pickle.dumps(batches.BatchMaker(shared, small))
    assert len(pickled) < 5_000 < sum(sample.image.nbytes for sample in samples)
    monkeypatch.setattr("data.intensity_limits", lambda image: 1 / 0)
    unpickled = pickle.loads(pickled).samples
    assert [sample.limits for sample in unpickled] == expected and len(unpickled) == 5
    assert vars(unpickled[1]).keys() == vars(shared[1]).keys() and unpickled[1].pixel_size == 0.5
    for mine, its in zip(samples, unpickled, strict=True):
        np.testing.assert_array_equal(mine.image, its.image)
        np.testing.assert_array_equal(mine.mask, its.mask)
        assert mine.image.dtype == its.image.dtype and not its.image.flags.writeable
    shared.close()


TINY = """
import sys
sys.path.insert(0, {root!r})
import numpy as np
import batches
from config import Config
from data import Sample
for shape in [(1, 9), (9, 1), (1, 1), (2, 3), (1, 300)]:
    mask = np.zeros(shape, np.uint16)
    mask[0, 0] = 3
    samples = [Sample("a", np.full((*shape, 1), 9, np.uint8), mask)] * 2
    for options in ({{}}, {{"border": 2}}, {{"distance": True}}, {{"border_weights": True, "loss": "cross_entropy"}}):
        config = Config(batch_size=2, tile=64, overlap=16, workers=0, augment=1.0).replace(**options)
        for part in (*batches.make_batch(samples, config, 0), *batches.ValidationBatches(samples, config)[0]):
            assert part.shape[:3] == (2, 64, 64) and np.isfinite(part).all()
print("done")
"""


def test_images_with_sides_of_one_pixel_make_batches():
    """In a process of its own: OpenCV would never return, and no test could stop it."""
    finished = subprocess.run([sys.executable, "-c", TINY.format(root=ROOT)], capture_output=True, text=True, timeout=60)
    assert finished.stdout == "done\n", finished.stderr

"""Training continues where it was interrupted, keeps the best epoch, and works on several devices."""

import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest

import devices
import training
from data import Split
from experiment import run_folder
from system.files import read_json


@pytest.fixture
def split(discs):
    samples = discs(9)
    return Split(samples[:5], samples[5:7], samples[7:])


def trained(config, split, folder):
    keras.utils.set_random_seed(config.seed)
    model = training.compiled_unet(config)
    return training.train(model, split, config, folder)


def test_history_and_best_epoch(small, split, tmp_path):
    model, history = trained(small.replace(epochs=3), split, tmp_path)
    assert history["epoch"].tolist() == [1, 2, 3]
    assert {"minutes", "loss", "dice", "iou", "val_loss", "val_dice", "val_iou"} <= set(history.columns)
    assert history["minutes"].is_monotonic_increasing
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "history.csv"), history, check_exact=False)
    batches = training._Batches(training.ValidationBatches(split.validation, small))
    best = model.evaluate(batches, verbose=0, return_dict=True)["dice"]
    assert best == pytest.approx(history["val_dice"].max(), abs=1e-6)
    assert list(tmp_path.glob("tensorboard/*/events*"))


def test_the_best_epoch_is_loaded_at_the_end(small, split, tmp_path, monkeypatch):
    config = small.replace(schedule="constant")
    first, _ = trained(config.replace(epochs=1), split, tmp_path / "one")
    monkeypatch.setattr(training.Checkpoint, "best_epoch", 1)
    best, history = trained(config.replace(epochs=3), split, tmp_path / "three")
    assert len(history) == 3
    for one, other in zip(first.get_weights(), best.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_a_checkpoint_of_another_network_is_refused(small, split, tmp_path):
    trained(small, split, tmp_path)
    other = small.replace(filters=8)
    with pytest.raises(ValueError, match=r"epoch-0002\.npz: holds another network than .*config\.json describes"):
        training.Checkpoint(training.compiled_unet(other), other, tmp_path).restore()


class _StopAfter(keras.callbacks.Callback):
    """Sends this process a signal in the middle of an epoch, as a user at a terminal does."""

    def __init__(self, epoch, number):
        super().__init__()
        self.epoch, self.number = epoch, number

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == self.epoch:
            os.kill(os.getpid(), self.number)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_ends_its_epoch_and_goes_on_to_the_same_end(small, split, tmp_path, monkeypatch, number):
    config = small.replace(epochs=4, schedule="cosine")
    whole, expected = trained(config, split, tmp_path / "whole")

    progress, before = training.Progress, signal.getsignal(number)
    monkeypatch.setattr(training, "Progress", lambda checkpoint: _StopAfter(1, number))
    with pytest.raises(training.InterruptedRunError):
        trained(config, split, tmp_path / "cut")
    assert len(read_json(tmp_path / "cut/checkpoint.json")["history"]) == 2
    assert signal.getsignal(number) == before

    monkeypatch.setattr(training, "Progress", progress)
    resumed, history = trained(config.replace(workers=1), split, tmp_path / "cut")
    columns = [column for column in expected.columns if column != "minutes"]
    pd.testing.assert_frame_equal(history[columns], expected[columns], rtol=1e-4)
    for one, other in zip(whole.get_weights(), resumed.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)


def test_a_finished_run_is_not_trained_again(small, split, tmp_path, monkeypatch):
    trained(small, split, tmp_path)
    monkeypatch.setattr(training, "TrainingBatches", None)
    _, history = trained(small, split, tmp_path)
    assert len(history) == small.epochs


def test_an_error_while_preparing_batches_names_the_image(small, split, tmp_path):
    object.__setattr__(split.train[1], "image", "not an array")
    config = small.replace(workers=1, steps=30, batch_size=1)
    with pytest.raises(ValueError, match="disc1: no tile could be drawn"):
        trained(config, split, tmp_path)


def test_early_stopping_and_what_is_kept(small, split, tmp_path):
    """The Dice falls from the second epoch on: two epochs of patience, and the first epoch's weights remain."""
    keras.utils.set_random_seed(0)
    config = small.replace(epochs=10, patience=2)
    checkpoint = training.Checkpoint(training.compiled_unet(config), config, tmp_path)
    checkpoint.set_model(checkpoint.network)
    checkpoint.on_train_begin()
    for epoch, dice in enumerate([0.9, 0.8, 0.7]):
        assert not checkpoint.finished
        checkpoint.on_epoch_end(epoch, {"loss": 1.0, "val_dice": dice})
    assert checkpoint.finished and checkpoint.model.stop_training
    assert checkpoint.best_epoch == 1
    assert sorted(path.name for path in tmp_path.glob("*.npz")) == ["epoch-0001.npz", "epoch-0003.npz"]


@pytest.mark.parametrize(("smoothing", "best"), [(1, 2), (2, 5), (9, 6)])
def test_a_lucky_epoch_is_not_the_best_of_several(small, tmp_path, smoothing, best):
    config = small.replace(epochs=6, smoothing=smoothing)
    checkpoint = training.Checkpoint(training.compiled_unet(config), config, tmp_path)
    checkpoint.set_model(checkpoint.network)
    checkpoint.on_train_begin()
    for epoch, dice in enumerate([0.1, 0.9, 0.6, 0.8, 0.85, 0.78]):
        checkpoint.on_epoch_end(epoch, {"loss": 1.0, "val_dice": dice})
    assert checkpoint.best_epoch == best
    assert sorted(path.name for path in tmp_path.glob("*.npz")) == sorted({f"epoch-{best:04d}.npz", "epoch-0006.npz"})


def test_a_full_disk_leaves_the_previous_checkpoint_whole(small, split, tmp_path):
    model, _ = trained(small.replace(epochs=1), split, tmp_path)
    config = small.replace(epochs=3)
    checkpoint = training.Checkpoint(model, config, tmp_path)
    assert checkpoint.restore() == 1
    checkpoint.on_train_begin()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(OSError, match=r"epoch-0002\.npz: could not be written"):
            checkpoint.on_epoch_end(1, {"loss": 1.0, "val_dice": 0.99})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)
    assert training.Checkpoint(training.compiled_unet(config), config, tmp_path).restore() == 1
    assert not list(tmp_path.glob(".*"))


def test_a_loss_that_is_not_a_number_ends_with_advice(small, tmp_path):
    checkpoint = training.Checkpoint(training.compiled_unet(small), small, tmp_path)
    checkpoint.on_train_begin()
    with pytest.raises(ValueError, match="The loss became nan in epoch 1; start again with a lower --learning-rate"):
        checkpoint.on_epoch_end(0, {"loss": float("nan"), "val_dice": 0.5})


@pytest.mark.slow  # a minute or more
@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="tf.distribute is TensorFlow's")
@pytest.mark.parametrize("normalisation", [False, True])
def test_two_replicas_train_as_one_device_does(tmp_path, normalisation):
    """Two logical CPUs under MirroredStrategy, from the workers to the checkpoints: the history of one device under Adam, and
    after SGD its weights.
    """
    program = tmp_path / "program.py"
    program.write_text(
        "import sys\n"
        "from pathlib import Path\n"
        f"sys.path.insert(0, {str(Path(training.__file__).parent)!r})\n"
        "import numpy as np, keras, tensorflow as tf\n"
        "cpu = tf.config.list_physical_devices('CPU')[0]\n"
        "tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)\n"
        "import devices, prediction, training\n"
        "from experiment import run_folder\n"
        "from config import Config\n"
        "from data import Sample, Split\n"
        "from unet import Overlap\n"
        "weights = []\n"
        "config = Config(filters=4, depth=2, tile=64, overlap=16, batch_size=4, epochs=2, steps=2, workers=0,\n"
        f"    dropout=0.0, normalisation={normalisation})\n"
        "rng = np.random.default_rng(0)\n"
        "images = [rng.integers(0, 255, (64, 64, 1), dtype=np.uint8) for _ in range(9)]\n"
        "samples = [Sample(str(i), image, (image[..., 0] > 150).astype(np.uint16)) for i, image in enumerate(images)]\n"
        "for names in ([], ['CPU:0', 'CPU:1']):\n"
        "    keras.utils.set_random_seed(0)\n"
        "    with devices.scope(devices.make_strategy(names)):\n"
        "        model = training.compiled_unet(config)\n"
        "    folder = Path(sys.argv[1]) / str(len(names))\n"
        "    model, history = training.train(model, Split(samples[:4], samples[4:9], []), config, folder)\n"
        "    probability = prediction.predict_samples(model, samples[:2], samples[:2], config)\n"
        "    run_folder.save_model(model, folder / 'model.keras')\n"
        "    loaded = keras.saving.load_model(folder / 'model.keras')\n"
        "    again = prediction.predict_samples(loaded, samples[:2], samples[:2], config)\n"
        "    np.testing.assert_allclose(probability, again, atol=1e-6)\n"
        "    assert np.shape(probability) == (2, 64, 64, 1)\n"
        "    assert not any(getattr(layer, 'synchronized', False) for layer in loaded.layers)\n"  # JAX would refuse it
        "    with devices.scope(devices.make_strategy(names)):\n"
        "        keras.utils.set_random_seed(0)\n"
        "        model = training.compiled_unet(config)\n"
        "        model.compile(keras.optimizers.SGD(0.01), model.loss, weighted_metrics=[Overlap('dice')])\n"
        "    training.train(model, Split(samples[:4], samples[4:9], []), config, folder / 'sgd')\n"
        "    weights.append(np.concatenate([np.ravel(weight) for weight in model.get_weights()]))\n"
        "    print('RESULT', len(names), *(f'{v:.5f}' for v in history[['loss', 'dice', 'val_loss', 'val_dice']].iloc[-1]))\n"
        "print('DIFFERENCE', np.abs(weights[0] - weights[1]).max())\n"
    )
    finished = subprocess.run([sys.executable, program, tmp_path], capture_output=True, text=True, timeout=300)
    results = [line.split()[1:] for line in finished.stdout.splitlines() if line.startswith("RESULT")]
    assert [result[0] for result in results] == ["0", "2"], finished.stderr
    assert np.array(results[0][1:], float) == pytest.approx(np.array(results[1][1:], float), abs=5e-4)
    difference = float(finished.stdout.split("DIFFERENCE")[1].split()[0])  # of weights after SGD: rounding is all
    assert difference < (1e-4 if normalisation else 1e-6)  # normalised values have few digits where the variance is small


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_fused_normalisation_trains_as_that_of_keras(small, discs, tmp_path, precision):
    samples = discs(4, side=16)  # 64 values of each feature at the bottom: few, as variances differ by their number
    images = np.stack([sample.image for sample in samples]).astype(np.float32) / 255
    masks = np.stack([sample.mask[..., None] for sample in samples]).astype(np.uint8)
    weights = {}
    before = keras.mixed_precision.dtype_policy()
    devices.set_precision(precision, [])
    try:
        for name in ("fused", "plain"):
            keras.utils.set_random_seed(0)
            model = training.compiled_unet(small.replace(dropout=0.0), fused=name == "fused")
            losses = [model.train_on_batch(images, masks)[0] for _ in range(4)]
            weights[name] = [np.array(losses), *model.get_weights()]
            run_folder.save_model(model, tmp_path / f"{name}.keras")
    finally:
        keras.mixed_precision.set_dtype_policy(before)
    tolerance = {"float32": 2e-4, "bfloat16": 2e-2}[precision]
    for fused, plain in zip(weights["fused"], weights["plain"], strict=True):
        np.testing.assert_allclose(fused, plain, atol=tolerance, rtol=1e-3)
    opened = keras.saving.load_model(tmp_path / "fused.keras", safe_mode=True)
    assert {type(layer).__module__.split(".")[0] for layer in opened.layers} == {"keras"}

"""Training that can be interrupted and continued: device, precision, the compiled network, checkpoints, ``fit``."""

import contextlib
import signal
import sys
import time
from pathlib import Path

import keras
import numpy as np
import pandas as pd
from tqdm import tqdm

from batches import choose_batches, training_batches
from files import read_json, write_json, write_text, written_whole
from unet import Overlap, PixelLoss, build_unet

MONITOR = "val_dice"


class InterruptedRunError(Exception):
    """Ctrl-C or SIGTERM ended training after a finished epoch; everything up to there is saved."""


def list_gpus(device="auto"):
    """Names of the GPUs to use; empty means the CPU. Raises ValueError when one is asked for and there is none."""
    gpus = [] if device == "cpu" else _BACKENDS[keras.backend.backend()]()
    if device == "gpu" and not gpus:
        raise ValueError(
            f"--device gpu, but {keras.backend.backend()} finds no GPU here; "
            "for NVIDIA cards install tensorflow[and-cuda], or leave --device out."
        )
    return gpus


def _tensorflow_gpus():
    import tensorflow as tf

    return [gpu.name.replace("/physical_device:", "") for gpu in tf.config.list_physical_devices("GPU")]


def _jax_gpus():
    import jax

    return [str(device) for device in jax.devices() if device.platform == "gpu"]


def _torch_gpus():
    import torch

    return [f"cuda:{i}" for i in range(torch.cuda.device_count())]


_BACKENDS = {"tensorflow": _tensorflow_gpus, "jax": _jax_gpus, "torch": _torch_gpus}


def make_strategy(devices):
    """Copies of the network on every device: tf.distribute.MirroredStrategy for two or more, else nothing special."""
    if len(devices) < 2 or keras.backend.backend() != "tensorflow":
        return None
    import tensorflow as tf

    return tf.distribute.MirroredStrategy(devices)


def scope(strategy):
    """The context in which the network is built: on every device of a strategy, or as usual for None."""
    return strategy.scope() if strategy else contextlib.nullcontext()


def divisible_batch(batch_size, replicas):
    """The batch size, rounded up so that every replica gets an equal share: uneven shares weigh gradients wrongly."""
    return -(-batch_size // replicas) * replicas


def set_precision(precision, gpus):
    """Set Keras' compute precision and return its name; weights, last activation and loss stay float32."""
    if precision == "auto":
        precision = "bfloat16" if (_gpus_have_bfloat16() if gpus else _cpu_has_bfloat16()) else "float32"
    keras.mixed_precision.set_global_policy("mixed_bfloat16" if precision == "bfloat16" else "float32")
    return precision


def _cpu_has_bfloat16(cpuinfo=Path("/proc/cpuinfo")):
    """Whether the processor multiplies bfloat16 itself; elsewhere it is emulated, and slower than float32."""
    flags = cpuinfo.read_text().split() if cpuinfo.exists() else []
    return "avx512_bf16" in flags or "amx_bf16" in flags


def _gpus_have_bfloat16():
    if keras.backend.backend() == "torch":
        import torch

        return torch.cuda.is_bf16_supported()
    if keras.backend.backend() == "jax":
        import jax

        return all(float(device.compute_capability) >= 8 for device in jax.devices())
    import tensorflow as tf

    details = [tf.config.experimental.get_device_details(gpu) for gpu in tf.config.list_physical_devices("GPU")]
    return all(detail.get("compute_capability", (0, 0)) >= (8, 0) for detail in details)


def compiled_unet(config, on_gpu=False):
    """The network of a configuration, compiled with its loss, Adam, and Dice and IoU as metrics."""
    model = build_unet(
        config.channels,
        config.classes,
        config.filters,
        config.depth,
        dropout=config.dropout,
        normalisation=config.normalisation,
        upsampling=config.upsampling,
    )
    rate = config.learning_rate
    if config.schedule == "cosine":
        rate = keras.optimizers.schedules.CosineDecay(rate, config.epochs * config.steps)
    maps = model.output_shape[-1]
    model.compile(
        optimizer=keras.optimizers.Adam(rate),
        loss=PixelLoss(config.loss),
        weighted_metrics=[Overlap("dice", maps), Overlap("iou", maps)],
        # XLA halves the speed on a CPU (benchmarks/): there oneDNN's own kernels are faster.
        jit_compile="auto" if on_gpu else False,
    )
    model.optimizer.build(model.trainable_variables)
    return model


def train(model, samples, config, folder):
    """Fit the network to ``samples.fit`` until the Dice on ``samples.choose`` stops rising; load the best epoch.

    Continues where a run in ``folder`` stopped. Writes checkpoints, history.csv and TensorBoard's log there and
    returns the history, a DataFrame with one row per epoch. Raises InterruptedRunError after Ctrl-C or SIGTERM.
    """
    checkpoint = Checkpoint(model, config, folder)
    done = checkpoint.restore()
    if not checkpoint.finished:
        stream = training_batches(samples.fit, config, first=done * config.steps)
        with contextlib.closing(stream), checkpoint.stop_on_signals():
            model.fit(
                stream,
                steps_per_epoch=config.steps,
                epochs=config.epochs,
                initial_epoch=done,
                validation_data=_Listed(choose_batches(samples.choose, config)),
                callbacks=[checkpoint, Progress(config, done), keras.callbacks.TensorBoard(str(folder / "tensorboard"))],
                shuffle=False,
                verbose=0,
            )
    if not checkpoint.finished:
        raise InterruptedRunError
    checkpoint.load_best()
    return checkpoint.history


class Checkpoint(keras.callbacks.Callback):
    """Saves every finished epoch, keeps the best one, stops early, and continues where an earlier process ended.

    checkpoint.json names the files that belong together and is replaced last, so that a process killed at any moment
    leaves the previous epoch whole. The weights file holds weights and optimiser, the index the history; batches are
    keyed to their number and dropout to the epoch, so that nothing else needs to be remembered.
    """

    def __init__(self, model, config, folder):
        super().__init__()
        self.network, self.config, self.folder = model, config, Path(folder)
        self.index = self.folder / "checkpoint.json"
        self.history = pd.DataFrame()
        self.stop_asked = False

    @property
    def best_epoch(self):
        """Number of the best epoch so far, from 1."""
        return int(self.history[MONITOR].idxmax()) + 1

    @property
    def finished(self):
        """Whether all epochs are done or the Dice has not risen for ``patience`` epochs."""
        done = len(self.history)
        return done > 0 and (done >= self.config.epochs or done - self.best_epoch >= self.config.patience)

    def restore(self):
        """Load the newest finished epoch, if there is one; returns how many epochs are done."""
        if self.index.exists():
            self.history = pd.DataFrame(read_json(self.index)["history"])
            self.network.load_weights(self._weights(len(self.history)))
        return len(self.history)

    def load_best(self):
        """Load the weights of the best epoch."""
        self.network.load_weights(self._weights(self.best_epoch))

    def on_train_begin(self, logs=None):
        minutes = float(self.history["minutes"].iloc[-1]) if len(self.history) else 0.0
        self.started = time.monotonic() - 60 * minutes

    def on_epoch_begin(self, epoch, logs=None):
        for layer in self.network.layers:
            if getattr(layer, "seed_generator", None) is not None:
                layer.seed_generator.state.assign([self.config.seed, epoch << 20])  # counts up once for each batch

    def on_epoch_end(self, epoch, logs=None):
        row = {"epoch": epoch + 1, "minutes": (time.monotonic() - self.started) / 60}
        row |= {name: float(value) for name, value in logs.items()}
        if not np.isfinite(row["loss"]):
            raise ValueError(f"The loss became {row['loss']} in epoch {epoch + 1}; lower --learning-rate and --resume.")
        self.history = pd.concat([self.history, pd.DataFrame([row])], ignore_index=True)
        with written_whole(self._weights(epoch + 1)) as temporary:
            self.network.save_weights(temporary)
        write_json(self.index, {"history": self.history.to_dict("records")})
        write_text(self.folder / "history.csv", self.history.to_csv(index=False))
        for old in self.index.parent.glob("epoch-*.weights.h5"):
            if old not in (self._weights(epoch + 1), self._weights(self.best_epoch)):
                old.unlink()
        self.model.stop_training = self.stop_asked or self.finished

    @contextlib.contextmanager
    def stop_on_signals(self):
        """Inside, the first Ctrl-C or SIGTERM ends training after the running epoch; the second at once."""

        def ask(number, _frame):
            if self.stop_asked:
                raise KeyboardInterrupt
            self.stop_asked = True
            tqdm.write("Finishing this epoch, then saving. Again Ctrl-C: stop at once and lose this epoch.", file=sys.stderr)

        before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _weights(self, epoch):
        return self.folder / f"epoch-{epoch:04d}.weights.h5"


class Progress(keras.callbacks.Callback):
    """A bar with the time left for all epochs, and one line for each finished epoch."""

    def __init__(self, config, done):
        super().__init__()
        self.config, self.done, self.best = config, done, 0.0

    def on_train_begin(self, logs=None):
        total = self.config.epochs * self.config.steps
        self.bar = tqdm(total=total, initial=self.done * self.config.steps, desc="Training", unit="batch", disable=None)

    def on_train_batch_end(self, batch, logs=None):
        self.bar.update()

    def on_epoch_end(self, epoch, logs=None):
        better, self.best = logs[MONITOR] > self.best, max(self.best, logs[MONITOR])
        tqdm.write(
            f"epoch {epoch + 1:3d}/{self.config.epochs}  loss {logs['loss']:.4f}  Dice fit {logs['dice']:.4f}  "
            f"choose {logs[MONITOR]:.4f}{'  best' if better else ''}",
            file=sys.stdout,
        )

    def on_train_end(self, logs=None):
        self.bar.close()


class _Listed(keras.utils.PyDataset):
    """A list of batches as ``fit`` takes it for validation."""

    def __init__(self, batches):
        super().__init__()
        self.batches = batches

    def __len__(self):
        return len(self.batches)

    def __getitem__(self, index):
        return self.batches[index]

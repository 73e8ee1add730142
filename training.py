"""Train a network so that the training can be interrupted and continued: compiled network, checkpoints, ``fit``."""

import contextlib
import signal
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd

import devices
from batches import TrainingBatches, ValidationBatches
from config import Config
from data import Split
from metrics import best_epoch
from parallel.nodes import World, leave, of_all
from system.backend import held_back_errors, keras
from system.files import read_json, write_json, write_text, written_whole
from system.progress import progress, write_line
from unet import Overlap, PixelLoss, build_unet


class InterruptedRunError(Exception):
    """Ctrl-C or SIGTERM stopped training after a finished epoch; all finished epochs are saved."""


def compiled_unet(config: Config, on_gpu: bool = False, fused: bool = True) -> keras.Model:
    """Build the network of a configuration, and compile it with its loss, Adam, and Dice and IoU as metrics.

    ``fused``: see ``devices.fuse_normalisation``.
    """
    model = build_unet(
        config.channels,
        config.maps,
        config.filters,
        config.depth,
        dropout=config.dropout,
        normalisation=config.normalisation,
        upsampling=config.upsampling,
    )
    if fused and keras.backend.backend() == "tensorflow" and not on_gpu and devices.replicas_of(model) == 1:
        devices.fuse_normalisation(model)
    rate = config.learning_rate
    if config.schedule == "cosine":
        rate = keras.optimizers.schedules.CosineDecay(rate, config.epochs * config.steps)
    model.compile(
        optimizer=keras.optimizers.Adam(rate),
        loss=PixelLoss(config.loss, config.maps),
        weighted_metrics=[Overlap(kind, config.maps) for kind in ("dice", "iou")],
        # On a CPU, TensorFlow's own kernels are faster than what XLA makes of them (benchmarks/network.py --xla).
        jit_compile="auto" if on_gpu or keras.backend.backend() != "tensorflow" else False,
    )
    model.optimizer.build(model.trainable_variables)
    return model


def build(config: Config, gpus: list[str]) -> keras.Model:
    """Build the compiled network on all GPUs of this machine, with first weights that depend on the seed only."""
    with held_back_errors():  # this imports TensorFlow, whatever the backend is
        keras.utils.set_random_seed(config.seed)
    with devices.scope(devices.make_strategy(gpus)):
        return compiled_unet(config, bool(gpus))


def train(
    model: keras.Model,
    samples: Split,
    config: Config,
    folder: Path,
    world: World = World(),  # noqa: B008  (it cannot be changed)
) -> tuple[keras.Model, pd.DataFrame]:
    """Fit the network to the training images until the validation Dice stops rising: (best network, history).

    A run that stopped in ``folder`` is continued. Checkpoints, history.csv and the log of TensorBoard are written there; the
    history has one row per epoch. If several machines train together (``world``: see ``nodes.together``), all of them must see
    this folder, and the first one writes. Raises InterruptedRunError after Ctrl-C or SIGTERM, ValueError with the name of the
    image if a batch cannot be made, and an error of JAX if another machine is gone.
    """
    checkpoint = Checkpoint(model, config, folder, world)
    done = checkpoint.restore()
    if world.size > 1 and len(set(of_all(done))) > 1:
        raise ValueError(f"{folder}: the machines see different files here; --output must lie on a disk that all of them see.")
    if not checkpoint.finished:
        with contextlib.closing(TrainingBatches(samples.train, config, done, world)) as batches, checkpoint.stop_on_signals():
            set_epoch = keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: setattr(batches, "epoch", epoch))
            told = [Progress(checkpoint), keras.callbacks.TensorBoard(str(folder / "tensorboard"))] if world.rank == 0 else []
            try:
                with devices.normalised_together(model):
                    model.fit(
                        _Batches(batches),
                        epochs=config.epochs,
                        initial_epoch=done,
                        validation_data=_Batches(ValidationBatches(samples.validation, config, world)),
                        callbacks=[set_epoch, checkpoint, *told],
                        shuffle=False,
                        verbose=0,
                    )
            except Exception as error:
                raise batches.error or error from None
    if not checkpoint.finished:
        raise InterruptedRunError
    if world.size > 1:  # one machine predicts and scores, with a network of its own
        leave()
        model = best_network(config, folder) if world.rank == 0 else model
    else:
        checkpoint.load_best()
    return model, checkpoint.history


def best_network(config: Config, folder: Path) -> keras.Model:
    """Build the network again, with the weights of the best epoch of the run in ``folder``."""
    checkpoint = Checkpoint(compiled_unet(config), config, folder)
    checkpoint.restore()
    checkpoint.load_best()
    return checkpoint.network


class Checkpoint(keras.callbacks.Callback):
    """Save every finished epoch, keep the best one, stop early, and continue where an earlier process stopped.

    The file of an epoch, .npz, holds the weights and the optimiser; checkpoint.json holds the history and is replaced last. So
    a process can be killed at any moment, and the previous epoch stays complete. Nothing else must be saved, because batches
    depend only on their number and dropout only on the epoch. (The weights files of Keras are HDF5. On a full disk, HDF5 ends
    the process with a segmentation fault.)
    """

    def __init__(self, model, config, folder, world=World()):  # noqa: B008
        super().__init__()
        self.network, self.config, self.folder, self.world = model, config, Path(folder), world
        self.index = self.folder / "checkpoint.json"
        self.history = pd.DataFrame()
        self.stop_asked = False

    @property
    def best_epoch(self):
        """Return the number of the best epoch so far, from 1."""
        return best_epoch(self.history, self.config.smoothing)

    @property
    def finished(self):
        """Return whether all epochs are done or the validation Dice has not risen for ``patience`` epochs."""
        done = len(self.history)
        return done > 0 and (done >= self.config.epochs or done - self.best_epoch >= self.config.patience)

    def restore(self):
        """Load the last finished epoch, if there is one, and return how many epochs are done."""
        if self.index.exists():
            self.history = pd.DataFrame(read_json(self.index)["history"])
            self._load(len(self.history))
        return len(self.history)

    def load_best(self):
        """Load the weights of the best epoch."""
        self._load(self.best_epoch)

    def on_train_begin(self, logs=None):
        minutes = float(self.history["minutes"].iloc[-1]) if len(self.history) else 0.0
        self.started = time.monotonic() - 60 * minutes

    def on_epoch_begin(self, epoch, logs=None):
        for layer in self.network.layers:
            if getattr(layer, "seed_generator", None) is not None:
                layer.seed_generator.state.assign([self.config.seed, (epoch << 20) % 2**31])  # counts up once for each batch

    def on_epoch_end(self, epoch, logs=None):
        row = {"epoch": epoch + 1, "minutes": (time.monotonic() - self.started) / 60}
        row |= {name: float(value) for name, value in logs.items()}
        if not np.isfinite(list(row.values())).all():
            raise ValueError(f"The loss became {row['loss']} in epoch {epoch + 1}; start again with a lower --learning-rate.")
        self.history = pd.concat([self.history, pd.DataFrame([row])], ignore_index=True)
        if self.world.rank == 0:
            self._write(epoch)
        stop = self.stop_asked
        if self.world.size > 1:
            stop = any(of_all(stop))  # this also makes the others wait until the first machine has written
        self.model.stop_training = stop or self.finished  # all machines decide the same; a later Ctrl-C counts next time

    def _write(self, epoch):
        with written_whole(self._path(epoch + 1)) as temporary:
            np.savez(temporary, *map(keras.ops.convert_to_numpy, self._variables()))
        write_json(self.index, {"history": self.history.to_dict("records")})
        write_text(self.folder / "history.csv", self.history.to_csv(index=False))
        for old in self.folder.glob("epoch-*.npz"):
            if old not in (self._path(epoch + 1), self._path(self.best_epoch)):
                old.unlink()

    @contextlib.contextmanager
    def stop_on_signals(self):
        """Catch signals: the first Ctrl-C or SIGTERM stops training after the current epoch, the second one at once."""

        def ask(number, _frame):
            if self.stop_asked:
                raise KeyboardInterrupt
            self.stop_asked = True
            write_line("Finishing this epoch, then saving. Press Ctrl-C again to stop at once and lose it.", file=sys.stderr)

        before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _load(self, epoch):
        variables = self._variables()
        with np.load(self._path(epoch), allow_pickle=False) as stored:
            if [stored[name].shape for name in stored.files] != [tuple(variable.shape) for variable in variables]:
                raise ValueError(
                    f"{self._path(epoch)}: holds another network than {self.folder / 'config.json'} describes; start a new run."
                )
            for variable, name in zip(variables, stored.files, strict=True):
                variable.assign(stored[name])

    def _variables(self):
        return [*self.network.weights, *self.network.optimizer.variables]

    def _path(self, epoch):
        return self.folder / f"epoch-{epoch:04d}.npz"


class Progress(keras.callbacks.Callback):
    """Show a bar with the time left for all epochs, and print one line for each finished epoch."""

    def __init__(self, checkpoint):
        super().__init__()
        self.checkpoint, self.config = checkpoint, checkpoint.config

    def on_train_begin(self, logs=None):
        steps, done = self.config.steps, len(self.checkpoint.history)
        self.bar = progress(description="Training", unit="batch", total=self.config.epochs * steps, initial=done * steps)

    def on_train_batch_end(self, batch, logs=None):
        self.bar.update()

    def on_epoch_end(self, epoch, logs=None):
        better = self.checkpoint.best_epoch == epoch + 1
        write_line(
            f"epoch {epoch + 1:3d}/{self.config.epochs}  loss {logs['loss']:.4f}  Dice train {logs['dice']:.4f}  "
            f"validation {logs['val_dice']:.4f}{'  best' if better else ''}",
            file=sys.stdout,
        )

    def on_train_end(self, logs=None):
        self.bar.close()


class _Batches(keras.utils.PyDataset):
    """Pass a sequence of batches to ``fit``."""

    def __init__(self, batches):
        super().__init__()
        self.batches = batches

    def __len__(self):
        return len(self.batches)

    def __getitem__(self, index):
        return self.batches[index]

"""Where a network computes, and how precisely: the GPUs there are, replicas on several of them, bfloat16."""

import contextlib
from functools import partial
from pathlib import Path

from system.backend import held_back_errors, keras


def list_gpus(device="auto"):
    """Names of the GPUs to use; empty means the CPU. Raises ValueError when one is asked for and there is none.

    All of them under TensorFlow; JAX and torch train on the first.
    """
    if device == "cpu":
        _hide_gpus()
    gpus = [] if device == "cpu" else _BACKENDS[keras.backend.backend()]()
    if device == "gpu" and not gpus:
        raise ValueError(
            f"--device gpu, but {keras.backend.backend()} finds no GPU here; "
            "for NVIDIA cards install tensorflow[and-cuda], or leave --device out."
        )
    return gpus


def _hide_gpus():
    """Keep TensorFlow off the GPUs; the other backends obey the environment that the script sets."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        tf.config.set_visible_devices([], "GPU")


def _tensorflow_gpus():
    import tensorflow as tf

    with held_back_errors():  # where JAX is installed too, that there is no GPU is written in spite of the log level
        found = tf.config.list_physical_devices("GPU")
    return [gpu.name.replace("/physical_device:", "") for gpu in found]


def _jax_gpus():
    import jax

    return [str(device) for device in jax.devices() if device.platform == "gpu"][:1]


def _torch_gpus():
    import torch

    return [f"cuda:{i}" for i in range(torch.cuda.device_count())][:1]


POLICIES = {"bfloat16": "mixed_bfloat16", "float32": "float32"}
_BACKENDS = {"tensorflow": _tensorflow_gpus, "jax": _jax_gpus, "torch": _torch_gpus}


def make_strategy(devices):
    """A copy of the network on each of two or more devices (tf.distribute.MirroredStrategy); None for fewer."""
    if len(devices) < 2:
        return None
    import tensorflow as tf

    return tf.distribute.MirroredStrategy(devices)


def scope(strategy):
    """The context in which the network is built: on every device of a strategy, or as usual for None."""
    return strategy.scope() if strategy else contextlib.nullcontext()


def replicas_of(model):
    """On how many devices a network is trained together."""
    return model.distribute_strategy.num_replicas_in_sync if keras.backend.backend() == "tensorflow" else 1


@contextlib.contextmanager
def normalised_together(model):
    """Inside, batch normalisation on several devices has the mean and variance of the whole batch, as one device has.

    Keras writes this into the file of a network, which other backends then refuse: hence while it trains only.
    """
    several = replicas_of(model) > 1
    norms = [layer for layer in model.layers if several and isinstance(layer, keras.layers.BatchNormalization)]
    for layer in norms:
        layer.synchronized = True
    try:
        yield
    finally:
        for layer in norms:
            layer.synchronized = False


def for_replicas(config, replicas):
    """The configuration with the batch size rounded up so that every replica gets an equal share, and says so.

    Uneven shares weigh gradients wrongly, and a last batch of one image leaves a replica without any.
    """
    batch_size = -(-config.batch_size // replicas) * replicas
    if batch_size != config.batch_size:
        print(f"Batch size: {batch_size} instead of {config.batch_size}, to divide by {replicas} devices")
    return config.replace(batch_size=batch_size)


def set_precision(precision, gpus):
    """Set Keras' compute precision and return its name; weights, last activation and loss stay float32."""
    precision = fast_precision(gpus) if precision == "auto" else precision
    keras.mixed_precision.set_global_policy(POLICIES[precision])
    return precision


def fast_precision(gpus):
    """The precision in which this machine computes fastest: "bfloat16" where the hardware has it, else "float32"."""
    return "bfloat16" if (_gpus_have_bfloat16() if gpus else _cpu_has_bfloat16()) else "float32"


def in_precision(model, precision):
    """The same network, with the same float32 weights, that computes in another precision; its output stays float32.

    A saved network remembers the precision of the machine that trained it, which may be slow on this one.
    """
    last = {output._keras_history.operation.name for output in model.outputs}

    def renew(layer):
        policy = "float32" if layer.name in last else POLICIES[precision]
        return type(layer).from_config(layer.get_config() | {"dtype": policy})

    plain = keras.Model(model.inputs, model.outputs, name=model.name)  # without loss and optimiser
    copy = keras.models.clone_model(plain, clone_function=renew)
    copy.set_weights(model.get_weights())
    return copy


def fuse_normalisation(model):
    """Let the batch normalisations of a network train by TensorFlow's fused kernel, for which Keras has a dozen operations.

    On a CPU this trains 1.5 times as fast with 16 feature maps, 1.15 times with 64 (benchmarks/parts.py), with equal losses.
    The layers stay Keras's own: what is saved or cloned knows nothing of it.
    """
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.call = partial(_normalise, layer, layer.call)


def _normalise(layer, call, inputs, training=None, mask=None):
    if not training:
        return call(inputs, training=False, mask=mask)
    import tensorflow as tf

    scale, offset, *moving = (tf.cast(weight.value, tf.float32) for weight in layer.weights)
    none = tf.zeros([0])
    options = {"epsilon": layer.epsilon, "exponential_avg_factor": 1.0, "is_training": True}
    result = tf.raw_ops.FusedBatchNormV3(x=inputs, scale=scale, offset=offset, mean=none, variance=none, **options)
    pixels = tf.cast(tf.size(inputs) // inputs.shape[-1], tf.float32)
    variance = result.batch_variance * (pixels - 1) / pixels  # that of the batch, as Keras has it; the kernel's is unbiased
    for weight, old, new in zip(layer.weights[2:], moving, (result.batch_mean, variance), strict=True):
        weight.assign(old * layer.momentum + new * (1 - layer.momentum))
    return result.y


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

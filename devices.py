"""Where and how a network computes: GPUs, precision, and batch normalisation in a faster form."""

import contextlib
from collections import Counter
from functools import partial
from pathlib import Path

import numpy as np

from system.backend import held_back_errors, keras


def list_gpus(device: str = "auto") -> list[str]:
    """Return the names of the GPUs to use; an empty list means the CPU.

    TensorFlow uses all GPUs, JAX and torch use the first one. Raises ValueError if ``device`` is "gpu" and there is none.
    """
    if device == "cpu":
        _hide_gpus()
    gpus = [] if device == "cpu" else _BACKENDS[keras.backend.backend()]()
    if device == "gpu" and not gpus:
        raise ValueError(
            f"--device gpu, but {keras.backend.backend()} finds no GPU here. For NVIDIA cards install tensorflow[and-cuda]; "
            "to compute on the CPU, leave --device out."
        )
    return gpus


def _hide_gpus():
    """Hide the GPUs from TensorFlow. For the other backends, the script sets environment variables that do this."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        tf.config.set_visible_devices([], "GPU")


def _tensorflow_gpus():
    import tensorflow as tf

    with held_back_errors():  # if JAX is installed too, TensorFlow complains about missing GPUs in spite of the log level
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


def make_strategy(devices: list[str]):
    """Return a tf.distribute.MirroredStrategy, which copies the network to each of two or more devices; None for fewer."""
    if len(devices) < 2:
        return None
    import tensorflow as tf

    return tf.distribute.MirroredStrategy(devices)


def scope(strategy):
    """Return the context in which the network is built: on each device of a strategy, or as usual for None."""
    return strategy.scope() if strategy else contextlib.nullcontext()


def replicas_of(model: keras.Model) -> int:
    """Return the number of devices that train a network together."""
    return model.distribute_strategy.num_replicas_in_sync if keras.backend.backend() == "tensorflow" else 1


@contextlib.contextmanager
def normalised_together(model):
    """Inside, batch normalisation on several devices uses mean and variance of the whole batch, as on one device.

    This holds during training only: Keras would save the setting with the network, and other backends refuse such a file.
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
    """Return the configuration with a batch size that divides evenly between the replicas, and print a change.

    Uneven parts would weigh gradients wrongly, and a last batch of one image would leave a replica without any.
    """
    batch_size = -(-config.batch_size // replicas) * replicas
    if batch_size != config.batch_size:
        print(f"Batch size: {batch_size} instead of {config.batch_size}, to divide by {replicas} devices")
    return config.replace(batch_size=batch_size)


def set_precision(precision: str, gpus: list[str]) -> str:
    """Set the precision in which Keras computes, and return its name. Weights, last activation and loss stay float32."""
    precision = fast_precision(gpus) if precision == "auto" else precision
    keras.mixed_precision.set_global_policy(POLICIES[precision])
    return precision


def fast_precision(gpus: list[str]) -> str:
    """Return the precision in which this machine computes fastest: "bfloat16" if the hardware has it, else "float32"."""
    return "bfloat16" if (_gpus_have_bfloat16() if gpus else _cpu_has_bfloat16()) else "float32"


def in_precision(model: keras.Model, precision: str) -> keras.Model:
    """Return the same network, with the same float32 weights, that computes in another precision; its output stays float32.

    A saved network keeps the precision of the machine that trained it, which may be slow on this machine.
    """
    exact = _output_layers(model)

    def renew(layer):
        policy = "float32" if layer.name in exact else POLICIES[precision]
        return type(layer).from_config(layer.get_config() | {"dtype": policy})

    plain = keras.Model(model.input, model.output, name=model.name)  # without loss and optimiser
    copy = keras.models.clone_model(plain, clone_function=renew)
    copy.set_weights(model.get_weights())
    return copy


def _output_layers(model):
    """Return the names of the layers that make the outputs: the last ones, and of layers without weights those before them."""
    names, to_do = set(), list(model.outputs)
    while to_do:
        layer, node, _ = to_do.pop()._keras_history
        names.add(layer.name)
        to_do += [] if layer.weights else layer._inbound_nodes[node].input_tensors
    return names


def without_normalisation(model: keras.Model) -> keras.Model:
    """Return the same network for prediction, with batch normalisations multiplied into the convolutions before them.

    A normalisation stays a layer where that would change the result, see ``_foldable``.
    """
    plain = keras.Model(model.input, model.output)
    norms = _foldable(plain)
    folded = {norm.name for norm in norms.values()}

    def renew(layer):
        return type(layer).from_config(layer.get_config() | ({"use_bias": True} if layer.name in norms else {}))

    def call(layer, *inputs, **options):
        return inputs[0] if layer.name in folded else layer(*inputs, **options)

    copy = keras.models.clone_model(plain, clone_function=renew, call_function=call)
    for layer in plain.layers:
        if layer.name in norms:
            copy.get_layer(layer.name).set_weights(_folded_weights(layer, norms[layer.name]))
        elif layer.weights and layer.name not in folded:
            copy.get_layer(layer.name).set_weights(layer.get_weights())
    return copy


def _foldable(model):
    """Return {name of a convolution: the batch normalisation that can be multiplied into it}.

    The convolution has no activation and is called once, only the normalisation reads its result, which is no output of the
    network, and the normalisation is called once and scales the channels with its fixed mean and variance.
    """
    nodes = [node for same_depth in model._nodes_by_depth.values() for node in same_depth if not node.is_input]
    calls = Counter(node.operation.name for node in nodes)
    readers = Counter(id(tensor) for node in nodes for tensor in node.input_tensors) + Counter(map(id, model.outputs))
    pairs = {}
    for node in nodes:
        norm, tensor = node.operation, node.input_tensors[0]
        convolution = tensor._keras_history.operation
        if (
            type(norm) is keras.layers.BatchNormalization
            and norm.axis in (-1, 3)
            and not node.arguments.kwargs.get("training")
            and type(convolution) in (keras.layers.Conv2D, keras.layers.Conv2DTranspose)
            and convolution.activation is keras.activations.linear
            and convolution.data_format == "channels_last"
            and convolution.compute_dtype == norm.compute_dtype
            and calls[convolution.name] == calls[norm.name] == readers[id(tensor)] == 1
        ):
            pairs[convolution.name] = norm
    return pairs


def _folded_weights(convolution, norm):
    """Return kernel and bias of a convolution that also does the work of the batch normalisation after it."""
    kernel, bias = convolution.kernel, convolution.bias if convolution.use_bias else np.float32(0)
    scale, offset = norm.gamma if norm.scale else np.float32(1), norm.beta if norm.center else np.float32(0)
    kernel, bias, scale, offset, mean, variance = (
        keras.ops.convert_to_numpy(part) for part in (kernel, bias, scale, offset, norm.moving_mean, norm.moving_variance)
    )
    factor = scale / np.sqrt(variance + norm.epsilon)
    transposed = isinstance(convolution, keras.layers.Conv2DTranspose)  # its kernel is (h, w, out, in), not (h, w, in, out)
    return [kernel * (factor[:, None] if transposed else factor), offset + (bias - mean) * factor]


def fuse_normalisation(model):
    """Let the batch normalisations of a network train by TensorFlow's fused kernel; Keras uses a dozen operations instead.

    On a CPU this trains 1.5 times as fast with 16 feature maps, 1.15 times with 64 (benchmarks/parts.py), with equal losses.
    The layers remain those of Keras, so that saved files and clones do not change.
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
    variance = result.batch_variance * (pixels - 1) / pixels  # biased, as in Keras; the kernel's variance is unbiased
    for weight, old, new in zip(layer.weights[2:], moving, (result.batch_mean, variance), strict=True):
        weight.assign(old * layer.momentum + new * (1 - layer.momentum))
    return result.y


def _cpu_has_bfloat16(cpuinfo=Path("/proc/cpuinfo")):
    """Return whether the processor multiplies bfloat16 in hardware; otherwise it is emulated and slower than float32."""
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

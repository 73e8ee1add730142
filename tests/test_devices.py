"""Devices and precision: what there is, what is refused, equal shares for replicas."""

import numpy as np
import pytest

import devices
from config import Config
from maps import OutputMaps
from system.backend import keras
from training import compiled_unet
from unet import build_unet


def test_batches_divide_by_the_number_of_replicas(capsys):
    sizes = [devices.for_replicas(Config(batch_size=8), replicas).batch_size for replicas in (1, 2, 3, 8, 16)]
    assert sizes == [8, 8, 9, 8, 16]
    assert "Batch size: 9 instead of 8, to divide by 3 devices" in capsys.readouterr().out


def test_bfloat16_where_the_processor_has_it(tmp_path):
    cpuinfo = tmp_path / "cpuinfo"
    assert not devices._cpu_has_bfloat16(cpuinfo)
    for flags, expected in (("fpu avx512f", False), ("fpu avx512_bf16", True), ("fpu amx_bf16", True)):
        cpuinfo.write_text(f"flags : {flags}\n")
        assert devices._cpu_has_bfloat16(cpuinfo) == expected


def test_a_gpu_that_is_not_there_is_refused():
    if devices.list_gpus():
        pytest.skip("this machine has a GPU")
    assert devices.list_gpus("cpu") == []
    with pytest.raises(ValueError, match="--device gpu, but .* finds no GPU here"):
        devices.list_gpus("gpu")


@pytest.mark.parametrize("before", ["bfloat16", "float32"])
def test_a_network_in_another_precision_is_the_same(before, small):
    usual = keras.config.dtype_policy()
    try:
        devices.set_precision(before, [])
        model = compiled_unet(small)
    finally:
        keras.config.set_dtype_policy(usual)
    after = {"bfloat16": "float32", "float32": "bfloat16"}[before]
    copy = devices.in_precision(model, after)
    assert copy.get_layer("bottom_conv1").compute_dtype == after and copy.get_layer("probability").compute_dtype == "float32"
    assert {weight.dtype for weight in copy.weights if weight.dtype != "uint32"} == {"float32"}  # uint32: dropout's seed
    image = np.random.default_rng(0).normal(size=(1, 16, 16, 1)).astype(np.float32)
    np.testing.assert_allclose(copy(image), model(image), atol=0.05)
    assert keras.config.dtype_policy() == usual


def test_all_layers_that_make_an_output_stay_float32():
    """Probabilities of classes and distances come from two layers, which a third one joins."""
    model = build_unet(filters=4, depth=2, maps=OutputMaps(3, distance=True))
    copy = devices.in_precision(model, "bfloat16")
    exact = {layer.name for layer in copy.layers[1:] if layer.compute_dtype == "float32"}  # the first is the input
    assert exact == {"class_probability", "distance_map", "probability"}
    image = np.random.default_rng(0).random((1, 16, 16, 1), np.float32)
    np.testing.assert_allclose(copy(image)[..., :3].numpy().sum(axis=-1), 1, atol=1e-6)  # in bfloat16: 1e-2


def test_a_network_of_layers_without_weights():
    inputs = keras.Input((4, 4, 1))
    copy = devices.in_precision(keras.Model(inputs, keras.layers.ReLU()(keras.layers.Rescaling(5)(inputs))), "bfloat16")
    assert copy(np.full((1, 4, 4, 1), 0.25, np.float32)).numpy().max() == 1.25

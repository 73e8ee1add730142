"""Devices and precision: what there is, what is refused, equal shares for replicas."""

import pytest

import devices
from config import Config


def test_batches_divide_by_the_number_of_replicas(capsys):
    sizes = [devices.for_replicas(Config(batch_size=8), replicas).batch_size for replicas in (1, 2, 3, 8, 16)]
    assert sizes == [8, 8, 9, 8, 16]
    assert "Batch size: 9 instead of 8, to divide by 3 GPUs" in capsys.readouterr().out


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

"""Work on Dask workers that are processes."""

import os
import signal
import time

import pytest

pytest.importorskip("distributed", reason="Dask is in requirements-machines.txt")
from distributed import LocalCluster

from parallel import cluster
from system.files import NotWrittenError


def square(number):
    if number == 3:
        raise ValueError("three is refused")
    return number**2


def die_once(path):
    """What a worker does that is killed in the middle of its work, and then what the next one does."""
    if not path.exists():
        path.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return "done"


def kill_me():
    os.kill(os.getpid(), signal.SIGKILL)


def fill_the_disk():
    raise NotWrittenError("the disk is full")


@pytest.fixture(scope="module")
def client():
    with cluster.connect(cluster.LOCAL) as client:
        yield client


def run(client, function, items):
    return list(cluster.run(client, function, items, "Testing", "item"))


def test_every_item_is_done_and_an_error_stops_no_other(client):
    results = dict(run(client, square, [(number,) for number in range(6)]))
    refused = results.pop((3,))
    assert results == {(0,): 0, (1,): 1, (2,): 4, (4,): 16, (5,): 25} and str(refused) == "three is refused"


def note_and_sleep(path, number):
    (path / str(number)).touch()
    if number == 0:
        raise ValueError("no")
    time.sleep(0.1)


def test_what_nobody_waits_for_any_more_is_not_done(client, tmp_path):
    results = cluster.run(client, note_and_sleep, [(tmp_path, number) for number in range(200)], "Testing", "item")
    next(results)
    results.close()
    time.sleep(0.5)
    begun = len(list(tmp_path.iterdir()))
    time.sleep(0.5)
    assert len(list(tmp_path.iterdir())) == begun < 100


def test_workers_take_one_core(client):
    found = client.run(lambda: {name: os.environ[name] for name in cluster.OF_ONE_CORE})
    assert set(map(str, found.values())) == {str(cluster.OF_ONE_CORE)}


def test_workers_elsewhere_take_one_core_and_do_not_pause(scheduler):
    with cluster.connect(scheduler[0]) as client:
        found = client.run(lambda: os.environ["TF_NUM_INTRAOP_THREADS"])
        pauses = client.run(lambda dask_worker: dask_worker.memory_manager.memory_pause_fraction)
    assert set(found.values()) == {"1"} and set(pauses.values()) == {False}


def test_as_many_processes_as_are_asked_for(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")  # as SLURM sets it; processes of one machine would share it
    with cluster.connect("2") as client:
        assert list(client.run(lambda: os.environ["CUDA_VISIBLE_DEVICES"]).values()) == ["-1", "-1"]


@pytest.mark.parametrize(("gigabytes", "count"), [(1, 1), (16, 4), (100, 8)])
def test_there_are_no_more_workers_than_cores_and_memory_allow(monkeypatch, gigabytes, count):
    monkeypatch.setattr("distributed.system.MEMORY_LIMIT", gigabytes * 2**30)
    monkeypatch.setattr("dask.system.CPU_COUNT", 8)
    assert cluster.workers_here() == count


def test_a_worker_opens_a_network_that_was_replaced(network):
    first = cluster.open_once(str(network))
    assert cluster.open_once(str(network)) is first
    os.utime(network, ns=(1, 1))
    assert cluster.open_once(str(network)) is not first


def test_what_a_killed_worker_had_in_hand_is_done_again(client, tmp_path):
    assert run(client, die_once, [(tmp_path / "begun",)]) == [((tmp_path / "begun",), "done")]


def test_a_scheduler_that_ends_in_the_middle_of_the_work(scheduler, caplog):
    address, serving = scheduler
    naps = [(0.2,)] * 20
    with cluster.connect(address) as client:
        results = cluster.run(client, time.sleep, naps, "Testing", "item")
        next(results)
        serving.kill()
        with pytest.raises(ConnectionError, match="the connection to the scheduler is lost. Start it again"):
            list(results)
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []  # Dask's own are tracebacks


def test_a_full_disk_ends_everything(client):
    with pytest.raises(NotWrittenError, match="the disk is full"):
        run(client, fill_the_disk, [()])


def test_a_scheduler_without_workers(monkeypatch):
    monkeypatch.setattr(cluster, "PATIENCE", 1)
    told = "the Dask cluster has no worker. Start some .* python -m dask worker tcp://"
    with LocalCluster(n_workers=0, dashboard_address=None) as alone, pytest.raises(ValueError, match=told):
        cluster.connect(alone.scheduler_address)


def test_what_kills_every_worker_is_given_up_with_a_sentence(client, monkeypatch):
    monkeypatch.setattr(client.cluster.scheduler, "allowed_failures", 0)
    ((_, error),) = run(client, kill_me, [()])
    assert "it ended several workers, perhaps because memory ran out" in str(error)


def test_nobody_answers_at_an_address(monkeypatch):
    monkeypatch.setattr(cluster, "PATIENCE", 1)
    with pytest.raises(ValueError, match=r"--dask tcp://127\.0\.0\.1:9: no scheduler answers there"):
        cluster.connect("tcp://127.0.0.1:9")

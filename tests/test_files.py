"""Files are written whole or not at all."""

import json
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from data import Split
from experiment import run_folder
from inference import outputs
from system import files
from system.files import NotWrittenError, read_json, remove_leftovers, write_json, write_text, written_whole


def test_a_failed_write_leaves_what_was_there(tmp_path):
    path = tmp_path / "scores.json"
    write_text(path, "before")

    def fail_half_way():
        with written_whole(path) as temporary:
            temporary.write_text("half of it")
            raise ValueError("mid-write")

    with pytest.raises(ValueError, match="mid-write"):
        fail_half_way()
    assert path.read_text() == "before"
    assert os.listdir(tmp_path) == ["scores.json"]


def test_a_full_disk_leaves_what_was_there(tmp_path):
    """The kernel refuses to let the file grow, as a full disk does; the error names the file."""
    path = tmp_path / "scores.csv"
    path.write_bytes(b"previous")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(OSError, match=r"scores\.csv: could not be written"), written_whole(path) as temporary:
            temporary.write_bytes(bytes(100_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)
    assert path.read_bytes() == b"previous"
    assert os.listdir(tmp_path) == [path.name]


def test_a_process_killed_in_mid_write_leaves_what_was_there(tmp_path):
    path = tmp_path / "history.csv"
    path.write_text("before")
    program = (
        "import os, signal, sys; sys.path.insert(0, '.')\n"
        "from system.files import written_whole\n"
        f"with written_whole({str(path)!r}) as temporary:\n"
        "    temporary.write_text('half')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    finished = subprocess.run([sys.executable, "-c", program])
    assert finished.returncode == -signal.SIGKILL
    assert path.read_text() == "before"
    assert len(os.listdir(tmp_path)) == 2
    remove_leftovers(tmp_path)
    assert os.listdir(tmp_path) == ["history.csv"]


def test_the_temporary_name_keeps_the_suffix(tmp_path):
    with written_whole(tmp_path / "model.keras") as temporary:
        assert temporary.suffix == ".keras"
        assert temporary.parent == tmp_path
        temporary.write_text("")


def test_names_as_long_as_file_systems_have_them_can_be_written(tmp_path):
    path = tmp_path / f"{'細' * 83}.txt"  # 253 bytes
    write_text(path, "all of it")
    assert path.read_text() == "all of it"


def test_a_nested_failure_is_told_once(tmp_path):
    with pytest.raises(NotWrittenError) as failure, written_whole(tmp_path / "outer"), written_whole(tmp_path / "inner"):
        raise OSError("the disk is full")
    assert str(failure.value).count("could not be written") == 1 and "inner" in str(failure.value)


def test_json_comes_back_and_broken_json_is_named(tmp_path):
    write_json(tmp_path / "new" / "a.json", {"dice": 0.5})
    assert read_json(tmp_path / "new" / "a.json") == {"dice": 0.5}
    (tmp_path / "broken.json").write_text(json.dumps({"a": 1})[:-1])
    with pytest.raises(ValueError, match=r"broken\.json: not readable as JSON"):
        read_json(tmp_path / "broken.json")


@pytest.fixture
def another(tmp_path):
    """Another process that has claimed a folder."""
    program = f"import sys, time; sys.path.insert(0, {str(Path(files.__file__).parents[1])!r}); from system import files; "
    program += f"files.claim({str(tmp_path)!r}); print('claimed', flush=True); time.sleep(100)"
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "claimed\n"
    yield process
    process.kill()
    process.communicate()


def test_a_folder_is_claimed_by_one_process_until_it_ends_however_it_ends(another, tmp_path):
    assert files.is_claimed(tmp_path)
    with pytest.raises(ValueError, match=f"{tmp_path}: another process works in this folder; wait until it has ended"):
        files.claim(tmp_path)
    another.kill()
    another.wait()
    assert not files.is_claimed(tmp_path)
    files.claim(tmp_path)
    files.claim(tmp_path)  # its own
    assert not files.is_claimed(tmp_path)
    files.release()
    assert os.listdir(tmp_path) == []


def test_a_run_at_which_another_process_works_is_not_the_one_to_resume(another, tmp_path):
    root = tmp_path.parent / f"{tmp_path.name}-runs"
    (root / "dsb").mkdir(parents=True)
    (root / "dsb" / "2026-01-02-000000").symlink_to(tmp_path)
    earlier = root / "dsb" / "2026-01-01-000000"
    for folder in (earlier, tmp_path):
        write_json(folder / "config.json", {})
    assert run_folder.find_run("dsb", root=root) == earlier
    another.kill()
    another.wait()
    assert run_folder.find_run("dsb", root=root).resolve() == tmp_path


def test_results_and_runs_are_claimed(another, tmp_path):
    with pytest.raises(ValueError, match="another process works in this folder"):
        outputs.enter(tmp_path)
    write_json(tmp_path / "split.json", {"train": {}, "validation": {}, "test": {}})
    with pytest.raises(ValueError, match="another process works in this folder"):
        run_folder.continue_run(tmp_path, Split([], [], []))
    made = run_folder.make_folder(tmp_path.parent / f"{tmp_path.name}-made", tmp_path)
    outputs.enter(tmp_path.parent / f"{tmp_path.name}-results")
    assert made.resolve() in files._claims and len(files._claims) == 2
    files.release()


@pytest.mark.parametrize("number", files.NO_LOCKS)
def test_a_file_system_without_locks_is_worked_in_all_the_same(tmp_path, monkeypatch, number):
    def refuse(*_, **__):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(files.FileLock, "acquire", refuse)
    files.claim(tmp_path)
    (tmp_path / files.LOCK).touch()
    assert not files.is_claimed(tmp_path)

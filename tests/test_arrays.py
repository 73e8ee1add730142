"""Arrays in files: lists that are read one by one or shared by processes, and folders that do not outlive their process."""

import errno
import os
import pickle
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from system import arrays
from system.arrays import SharedList, StoredArrays, TemporaryFolder
from system.files import NotWrittenError

ROOT = str(Path(arrays.__file__).parents[1])


def test_stored_arrays_are_a_list(tmp_path):
    stored = StoredArrays(tmp_path / "a" / "probabilities")
    expected = [np.random.default_rng(0).random((side, 4, 2), dtype=np.float32) for side in (1, 5, 9)]
    for array in expected:
        stored.append(array)
    assert len(stored) == 3 and stored[-1].dtype == np.float32 and type(stored[0]) is np.ndarray
    for mine, its in zip(expected, stored, strict=True):
        np.testing.assert_array_equal(mine, its)
    assert [len(array) for array in stored[1:]] == [5, 9] and [len(array) for array in stored[::-2]] == [9, 1]
    assert len(stored[:0]) == 0 and [len(array) for array in reversed(stored)] == [9, 5, 1]
    with pytest.raises(IndexError):
        stored[3]
    with pytest.raises(ValueError, match="read-only"):
        stored[0][:] = 0
    stored.close()
    assert not (tmp_path / "a" / "probabilities").exists()


def test_a_folder_of_stored_arrays_begins_empty(tmp_path):
    StoredArrays(tmp_path / "a").append(np.zeros(3))
    assert len(StoredArrays(tmp_path / "a")) == 0 and list((tmp_path / "a").iterdir()) == []


def full(*_, **__):
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk(tmp_path, monkeypatch):
    monkeypatch.setattr(np, "save", full)
    with pytest.raises(NotWrittenError, match=r"000000\.npy: could not be written \(No space left on device\). Make room"):
        StoredArrays(tmp_path / "a").append(np.zeros(3))
    monkeypatch.setattr(arrays, "_write_arrays", full)
    with pytest.raises(NotWrittenError, match=r"arrays: could not be written .* TMPDIR to a folder with more room"):
        SharedList([SimpleNamespace(a=np.zeros(3))], ["a"])


@pytest.mark.parametrize("dtype", [bool, np.uint8, ">u2", np.uint32, np.float32, np.float64])
def test_shared_objects_come_back_as_they_were(dtype):
    image = np.random.default_rng(0).integers(0, 2, (7, 5, 3)).astype(dtype)
    items = [
        SimpleNamespace(image=image, mask=image[::2, ::-1, 0], name="a"),
        SimpleNamespace(image=image.T, mask=np.zeros((0, 4), dtype), name="b"),
        SimpleNamespace(image=image, mask="no array", name="c"),
    ]
    shared = SharedList(items, ["image", "mask"])
    assert shared[1] is items[1] and len(shared) == 3
    opened = pickle.loads(pickle.dumps(shared))
    for mine, its in zip(items, opened, strict=True):
        assert type(its) is SimpleNamespace and its.name == mine.name and its.image.dtype == dtype
        np.testing.assert_array_equal(mine.image, its.image)
        np.testing.assert_array_equal(mine.mask, its.mask)
    assert opened[0].image.ctypes.data == opened[2].image.ctypes.data  # the same array is written once
    shared.close()
    assert not shared.path.exists()


def test_a_temporary_folder_ends_with_its_owner(tmp_path):
    folder = TemporaryFolder(tmp_path)
    assert folder.path.parent == tmp_path
    other = TemporaryFolder(tmp_path)  # does not take the first one for abandoned
    assert folder.path.exists() and other.path.exists() and folder.path != other.path
    path = folder.path
    del folder
    assert not path.exists() and other.path.exists()
    other.close()
    assert list(tmp_path.iterdir()) == []


def test_the_folder_of_a_killed_process_is_deleted_at_the_next_start(tmp_path):
    program = (
        f"import os, signal, sys; sys.path.insert(0, {ROOT!r})\n"
        "from system.arrays import TemporaryFolder\n"
        f"folder = TemporaryFolder({str(tmp_path)!r})\n"
        "(folder.path / 'large').write_bytes(b'x')\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", program], timeout=60)
    (left,) = tmp_path.iterdir()
    (tmp_path / "microscopy-unet-new").mkdir()  # another process is making it
    (tmp_path / "mine").mkdir()
    kept = TemporaryFolder(tmp_path)
    assert not left.exists() and {path.name for path in tmp_path.iterdir()} == {"microscopy-unet-new", "mine", kept.path.name}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows has no fork")
def test_a_forked_process_deletes_nothing(tmp_path):
    folder = TemporaryFolder(tmp_path)
    child = os.fork()
    if child == 0:
        folder.close()
        os._exit(0)
    os.waitpid(child, 0)
    assert folder.path.exists()
    folder.close()

"""Arrays that lie in files and are read when they are needed, and temporary folders that do not outlive their process."""

import contextlib
import mmap
import os
import shutil
import tempfile
import weakref
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from system.files import NotWrittenError

PREFIX = "microscopy-unet-"  # of temporary folders
LOCK = ".lock"  # file in a temporary folder that its process holds
ALIGNMENT = 64  # bytes


class StoredArrays(Sequence):
    """A list of arrays that lie in files of a folder: ``append`` writes one, an index maps one into memory (read only).

    A slice gives the same files as another list. The folder is emptied first; ``close()`` deletes it.
    """

    def __init__(self, folder: str | Path):
        self.folder, self.paths = Path(folder), []
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            part = object.__new__(StoredArrays)
            part.folder, part.paths = self.folder, self.paths[index]
            return part
        return np.asarray(np.load(self.paths[index], mmap_mode="r", allow_pickle=False))

    def append(self, array: NDArray) -> None:
        """Write an array as the last one; raises NotWrittenError that names the file when the disk is full."""
        path = self.folder / f"{len(self.paths):06d}.npy"
        with _named_errors(path):
            np.save(path, array, allow_pickle=False)
        self.paths.append(path)

    def close(self) -> None:
        """Delete the folder; no array can be read any more."""
        shutil.rmtree(self.folder, ignore_errors=True)


class SharedList(Sequence):
    """A list of objects that worker processes share: pickled, it names a file with the arrays instead of holding them.

    ``names``: attributes of the objects that are arrays. The other attributes are pickled as they are. In this process the
    list holds the objects themselves; in another one it builds each object when it is asked for, with read-only arrays.
    ``close()``, or the end of this process, deletes the file.
    """

    def __init__(self, items: Iterable[Any], names: Sequence[str]):
        self.items, self.names = list(items), tuple(names)
        self.folder = TemporaryFolder()
        self.path = self.folder.path / "arrays"
        with _named_errors(self.path, "Set the environment variable TMPDIR to a folder with more room."):
            self.states = _write_arrays(self.path, [vars(item) for item in self.items], self.names)

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Any:
        return self.items[index]

    def __reduce__(self):
        return _Mapped, (self.path, [type(item) for item in self.items], self.states, self.names)

    def close(self) -> None:
        """Delete the file; on Windows, the processes that read it must have ended."""
        self.folder.close()


class _Mapped(Sequence):
    """A ``SharedList`` in another process."""

    def __init__(self, path, kinds, states, names):
        self.kinds, self.states, self.names = kinds, states, names
        with open(path, "rb") as file:
            self.content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)

    def __len__(self):
        return len(self.kinds)

    def __getitem__(self, index):
        state = dict(self.states[index])
        for name in self.names:
            if isinstance(state[name], _Place):
                state[name] = state[name].map(self.content)
        item = self.kinds[index].__new__(self.kinds[index])  # without the checks of its constructor, which passed before
        item.__dict__.update(state)
        return item


class _Place:
    """Where an array lies in a file."""

    def __init__(self, offset, array):
        self.offset, self.shape, self.dtype = offset, array.shape, array.dtype.str

    def map(self, content):
        return np.ndarray(self.shape, self.dtype, content, self.offset)


def _write_arrays(path, states, names):
    """Write the arrays among some attributes into a file, each array once; return the attributes with places instead."""
    places, states = {}, [dict(state) for state in states]
    with open(path, "wb") as file:
        file.write(bytes(ALIGNMENT))
        for state in states:
            for name in names:
                array = state[name]
                if not isinstance(array, np.ndarray):
                    continue
                if id(array) not in places:
                    places[id(array)] = _Place(file.tell(), array)
                    file.write(np.ascontiguousarray(array).reshape(-1).view(np.uint8))
                    file.write(bytes(-file.tell() % ALIGNMENT))
                state[name] = places[id(array)]
    return states


class TemporaryFolder:
    """A new folder for files of this process: ``close()``, or the end of this process, deletes it.

    A killed process cannot delete its folder; the next one that makes a temporary folder does. ``parent``: where to make it,
    by default the system's temporary folder.
    """

    def __init__(self, parent: str | Path | None = None):
        parent = Path(parent or tempfile.gettempdir())
        remove_abandoned(parent)
        with _named_errors(parent):
            self.path = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
        lock = FileLock(self.path / LOCK, thread_local=False)
        with contextlib.suppress(OSError):  # file systems without locks: nobody else deletes the folder
            lock.acquire(blocking=False)
        self.close = weakref.finalize(self, _remove, self.path, lock, os.getpid())


def remove_abandoned(parent: Path) -> None:
    """Delete the temporary folders in ``parent`` whose processes have ended without deleting them."""
    for folder in parent.glob(f"{PREFIX}*"):
        if not (folder / LOCK).exists():  # another process is making it
            continue
        lock = FileLock(folder / LOCK, thread_local=False)
        with contextlib.suppress(OSError):  # includes Timeout: its process is at work; or it belongs to another user
            lock.acquire(blocking=False)
            _remove(folder, lock, os.getpid())


def _remove(folder, lock, process):
    if os.getpid() == process:  # not in a copy of the process that called fork
        lock.release()
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _named_errors(path, advice="Make room on the disk."):
    try:
        yield
    except OSError as error:
        raise NotWrittenError(f"{path}: could not be written ({error.strerror or error}). {advice}") from error

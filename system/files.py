"""Write files whole or not at all, in folders where one process works at a time."""

import errno
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

LOCK = ".lock"
NO_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS)
_claims = {}  # {folder: its lock} of this process


class NotWrittenError(OSError):
    """A file could not be written: the disk is full, or the folder cannot be written to."""


@contextmanager
def written_whole(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; rename it to ``path`` when the block ends without an error.

    A file that is already at ``path`` stays unchanged until the new one is complete on disk, also if the disk is full or the
    process is killed. The temporary name keeps the suffix, because many writers choose the format by it. Raises
    NotWrittenError that names ``path`` if the file cannot be written.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Only the start of its own name, because file systems allow 255 bytes.
        handle, name = tempfile.mkstemp(prefix=f".{path.stem[:8]}-", suffix=".part" + path.suffix, dir=path.parent)
    except OSError as error:
        raise NotWrittenError(f"{path.parent}: cannot write into this folder ({error.strerror}).") from error
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())  # mkstemp makes files that only their owner can read
        os.replace(temporary, path)
    except NotWrittenError:
        raise
    except (OSError, RuntimeError) as error:  # HDF5 reports a full disk as either
        raise NotWrittenError(f"{path}: could not be written ({error}); what was there before is unchanged.") from error
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    """Write ``text`` (UTF-8) to ``path``, whole or not at all."""
    with written_whole(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | Path, value) -> None:
    """Write ``value`` as indented JSON to ``path``, whole or not at all."""
    write_text(path, json.dumps(value, indent=1, allow_nan=False) + "\n")


def read_json(path: str | Path):
    """Read JSON. Raises ValueError that names the file if it is not JSON."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path}: not readable as JSON ({error}).") from error


def digest(content: str | bytes) -> str:
    """Return sixteen hexadecimal digits that differ for different contents."""
    return hashlib.sha256(content.encode() if isinstance(content, str) else content).hexdigest()[:16]


def remove_leftovers(folder: str | Path) -> None:
    """Delete the temporary files that a killed process left in ``folder`` and below."""
    for leftover in Path(folder).rglob(".*.part.*"):
        leftover.unlink()


def claim(folder: str | Path) -> None:
    """Keep other processes from working in a folder, until ``release`` or until this process ends in any way.

    Raises ValueError that names the folder if another process works there. On file systems without locks this does nothing.
    """
    folder = Path(folder).resolve()
    if folder in _claims:
        return
    lock = FileLock(folder / LOCK)
    try:
        lock.acquire(blocking=False)
    except Timeout as error:
        raise ValueError(f"{folder}: another process works in this folder; wait until it has ended.") from error
    except OSError as error:
        if error.errno in NO_LOCKS:
            return
        raise NotWrittenError(f"{folder}: cannot write into this folder ({error.strerror}).") from error
    _claims[folder] = lock


def release() -> None:
    """Release all folders that this process has claimed."""
    while _claims:
        _give_back(_claims.popitem()[1])


def is_claimed(folder: str | Path) -> bool:
    """Return whether another process works in a folder."""
    if Path(folder).resolve() in _claims or not (Path(folder) / LOCK).exists():
        return False
    lock = FileLock(Path(folder) / LOCK)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        return True
    except OSError:
        return False
    _give_back(lock)
    return False


def _give_back(lock):
    with suppress(OSError):  # Windows does not delete open files
        os.unlink(lock.lock_file)  # before the lock is released: after that the file may belong to another process
    lock.release()


def _umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask

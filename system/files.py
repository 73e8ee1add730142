"""Files that are written whole or not at all, in folders where one process works at a time."""

import errno
import hashlib
import json
import os
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

LOCK = ".lock"
NO_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS)
_claims = {}  # {folder: its lock} of this process


class NotWrittenError(OSError):
    """A file could not be written: the disk is full, or the folder cannot be written to."""


@contextmanager
def written_whole(path):
    """Yield a temporary path beside ``path``; rename it to ``path`` when the block ends without an error.

    What stood at ``path`` before stays untouched until the new file is complete on disk, also when the disk is full
    or the process is killed. The temporary name keeps the suffix, because many writers choose the format by it.
    Raises NotWrittenError naming ``path`` when the file cannot be written.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Not much of its own name: file systems allow 255 bytes.
        handle, name = tempfile.mkstemp(prefix=f".{path.stem[:8]}-", suffix=".part" + path.suffix, dir=path.parent)
    except OSError as error:
        raise NotWrittenError(f"{path.parent}: is no folder that can be written to ({error.strerror}).") from error
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


def write_text(path, text):
    """Write ``text`` (UTF-8) to ``path``, whole or not at all."""
    with written_whole(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path, value):
    """Write ``value`` as indented JSON to ``path``, whole or not at all."""
    write_text(path, json.dumps(value, indent=1, allow_nan=False) + "\n")


def read_json(path):
    """Read JSON; raises ValueError that names the file when it is not JSON."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path}: not readable as JSON ({error}).") from error


def digest(content):
    """Sixteen hexadecimal digits that change with a text or with bytes."""
    return hashlib.sha256(content.encode() if isinstance(content, str) else content).hexdigest()[:16]


def remove_leftovers(folder):
    """Delete the unfinished temporary files that a killed process left below ``folder``."""
    for leftover in Path(folder).rglob(".*.part.*"):
        leftover.unlink()


def claim(folder):
    """Keep other processes from working in a folder, until ``release`` or the end of this process, however it ends.

    Raises ValueError that names the folder when another process is at work there. File systems without locks have none.
    """
    folder = Path(folder).resolve()
    if folder in _claims:
        return
    lock = FileLock(folder / LOCK)
    try:
        lock.acquire(blocking=False)
    except Timeout as error:
        raise ValueError(f"{folder}: another process is at work here; wait until it has ended.") from error
    except OSError as error:
        if error.errno in NO_LOCKS:
            return
        raise NotWrittenError(f"{folder}: is no folder that can be written to ({error.strerror}).") from error
    _claims[folder] = lock


def release():
    """Give back all that this process has claimed."""
    while _claims:
        _give_back(_claims.popitem()[1])


def is_claimed(folder):
    """Whether another process is at work in a folder."""
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
    with suppress(OSError):  # Windows does not delete what is open
        os.unlink(lock.lock_file)  # first: afterwards it may be another process's
    lock.release()


def _umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask

"""Read the files of a data set from a folder, or from a zip file without unpacking it."""

import os
import zipfile
from pathlib import Path, PurePosixPath


class Folder:
    """The files below a folder: ``names`` are relative to ``path``, with forward slashes."""

    def __init__(self, path: Path):
        self.path = path
        found = [Path(folder, name) for folder, _, names in os.walk(path, followlinks=True) for name in names]
        self.names = sorted(file.relative_to(path).as_posix() for file in found)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def read(self, name: str) -> bytes:
        """Read a file."""
        return (self.path / name).read_bytes()

    def label(self, name: str) -> str:
        """Return the name of a file in messages."""
        return str(self.path / name)

    def state(self) -> str:
        """Return a text that changes whenever a file changes."""
        states = (os.stat(self.path / name) for name in self.names)
        return "\n".join(f"{n} {s.st_size} {s.st_mtime_ns} {s.st_ctime_ns}" for n, s in zip(self.names, states, strict=True))


class Zip:
    """The members of a zip file, used like the files of a ``Folder``; nothing is unpacked to disk."""

    def __init__(self, path: Path):
        self.path = path
        try:
            self.file = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, OSError) as error:
            raise ValueError(f"{path}: not a readable zip file ({error}); it may be truncated: download it again.") from error
        self.members = {i.filename.replace("\\", "/"): i.filename for i in self.file.infolist() if not i.is_dir()}
        self.names = sorted(self.members)
        for name in self.names:
            if name.startswith("/") or ".." in PurePosixPath(name).parts or ":" in name:
                raise ValueError(f"{path}: member {name!r} points outside its folder; this is not a safe zip file.")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()

    def read(self, name: str) -> bytes:
        """Read a member. Raises ValueError that names the member if it is damaged."""
        try:
            return self.file.read(self.members[name])
        except Exception as error:  # a damaged member raises BadZipFile, zlib.error, EOFError or NotImplementedError
            raise ValueError(f"{self.label(name)}: the zip file is damaged here ({error}); fetch or pack it again.") from error

    def label(self, name: str) -> str:
        """Return the name of a member in messages."""
        return f"{self.path}: {name}"

    def state(self) -> str:
        """Return a text that changes whenever a member changes."""
        return "\n".join(sorted(f"{i.filename} {i.file_size} {i.CRC}" for i in self.file.infolist()))


def open_archive(source: Path) -> Folder | Zip:
    """Open a folder or a zip file for a ``with`` statement. Raises ValueError that names the path if it is neither."""
    if source.is_dir():
        return Folder(source)
    if source.is_file():
        return Zip(source)
    raise ValueError(f"{source}: no such folder or zip file.")

"""Lists of arrays that stay on disk, for results that together do not fit into memory."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


class StoredArrays(Sequence):
    """A list of arrays in .npy files of a folder; each is opened, not read, when it is asked for.

    ``append`` writes the next one. The folder is made if needed and belongs to whoever passes it in, who deletes it.
    """

    def __init__(self, folder: Path):
        self.folder, self.count = Path(folder), 0
        self.folder.mkdir(parents=True, exist_ok=True)

    def append(self, array: NDArray) -> None:
        """Write an array behind the others."""
        np.save(self._file(self.count), array, allow_pickle=False)
        self.count += 1

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        if isinstance(index, slice):
            return [self[place] for place in range(*index.indices(self.count))]
        if not -self.count <= index < self.count:
            raise IndexError(f"{self.folder}: holds {self.count} arrays, there is no number {index}.")
        return np.load(self._file(index % self.count), mmap_mode="r", allow_pickle=False)

    def _file(self, number):
        return self.folder / f"{number:06d}.npy"

"""A list of arrays on disk behaves like the list in memory."""

import numpy as np
import pytest

from system.arrays import StoredArrays


def test_stored_arrays_are_those_that_were_appended(tmp_path):
    arrays = [np.full((number + 1, 2), number, np.float32) for number in range(4)]
    stored = StoredArrays(tmp_path / "new" / "folder")
    for array in arrays:
        stored.append(array)
    assert len(stored) == 4 and isinstance(stored[0], np.memmap)
    for kept, array in zip(stored, arrays, strict=True):
        np.testing.assert_array_equal(kept, array)
    assert [array.shape for array in stored[1:3]] == [(2, 2), (3, 2)] and stored[-1][0, 0] == 3
    with pytest.raises(IndexError, match="holds 4 arrays, there is no number 4"):
        stored[4]

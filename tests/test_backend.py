"""Nothing is written to the terminal when Keras is imported, unless the import fails."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from system.backend import held_back_errors

ROOT = Path(__file__).parents[1]


def test_keras_is_imported_without_a_word():
    done = subprocess.run([sys.executable, "-c", "import system.backend"], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_errors_of_other_languages_are_held_back_and_let_out_by_an_exception(capfd):
    with held_back_errors():
        os.write(2, b"noise")
    assert capfd.readouterr().err == ""
    with pytest.raises(TypeError), held_back_errors():
        os.write(2, b"a reason") + "no number"
    assert capfd.readouterr().err == "a reason"

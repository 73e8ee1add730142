"""Import Keras quietly: other modules write ``from system.backend import keras``.

TensorFlow reads its settings when it is first imported. It writes lines about CUDA and oneDNN before any log level acts.
"""

import contextlib
import os
import sys
import tempfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # without a GPU, TensorFlow would report that as an error
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # off by default on CPUs without AVX-512


@contextlib.contextmanager
def held_back_errors():
    """Hide everything that this process writes to standard error; show it if the block raises an exception."""
    sys.stderr.flush()
    terminal = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        failed = True
        try:
            yield
            failed = False
        finally:
            sys.stderr.flush()
            os.dup2(terminal, 2)
            os.close(terminal)
            if failed:
                held.seek(0)
                os.write(2, held.read())


with held_back_errors():
    import keras  # noqa: F401

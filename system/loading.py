"""grain, which runs the workers that prepare batches, imported quietly: write ``from system.loading import grain``."""

from absl import flags, logging

logging.set_verbosity(logging.ERROR)  # without JAX, grain warns in every process that it has no profiler

import grain  # noqa: E402, F401

if not flags.FLAGS.is_parsed():
    flags.FLAGS.mark_as_parsed()  # with JAX, grain reads flags of absl, and no command line of absl was parsed

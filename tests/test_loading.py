"""grain imports without a warning, in scripts, notebooks and workers: all import it from ``system.loading``."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_without_jax_nobody_is_warned_about_its_profiler(tmp_path):
    (tmp_path / "jax").mkdir()
    (tmp_path / "jax/__init__.py").write_text('raise ImportError("no JAX here")', encoding="utf-8")
    path = os.pathsep.join([str(tmp_path), str(ROOT)])
    code = "from system.loading import grain; from absl import flags; print(grain.__name__, flags.FLAGS.is_parsed())"
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True, check=True
    )
    assert (done.stdout, done.stderr) == ("grain True\n", "")


def test_no_other_module_imports_grain():
    modules = [*ROOT.glob("*.py"), *ROOT.glob("[a-z]*/*.py")]
    users = [path.relative_to(ROOT) for path in modules if "\nimport grain" in path.read_text(encoding="utf-8")]
    assert users == [Path("system/loading.py")]

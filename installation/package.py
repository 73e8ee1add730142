"""Build the package ``microscopy_unet``: copy all modules into it and rewrite their imports.

The modules of this repository are flat: ``from data import Sample``. Installed like that, their names would hide a user's own
``data.py``. Therefore ``pip install .`` puts them into one package and writes ``from microscopy_unet.data import Sample``.
pyproject.toml names the classes ``Build`` and ``NoEditable``, which setuptools then uses instead of its own.
"""

import ast
import shutil
from pathlib import Path

from setuptools.command.build_py import build_py
from setuptools.command.editable_wheel import editable_wheel
from setuptools.errors import SetupError

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "microscopy_unet"
WEIGHTS = ("*.keras", "*.json")  # of the folder weights: the shipped networks, their model cards and splits
NO_EDITABLE = (
    "microscopy-unet cannot be installed with --editable, because the installation rewrites all imports. "
    "Use 'pip install .', or run the scripts in this folder, which need no installation."
)
INIT = '''"""A U-Net for microscopy: ``from microscopy_unet import segment`` finds the objects in an image."""

from importlib import import_module
from importlib.metadata import version

__version__ = version("microscopy-unet")
__all__ = ["open_network", "segment"]


def __getattr__(name):
    """Start TensorFlow only when ``segment`` or ``open_network`` is first used."""
    if name in __all__:
        return getattr(import_module(".segmentation", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
'''


def program_files(root: Path) -> list[Path]:
    """Return the files to install, relative to ``root``: flat modules, folders with an ``__init__.py``, and the weights."""
    files = [*root.glob("*.py")]
    for init in root.glob("*/__init__.py"):
        files += [path for path in init.parent.rglob("*") if path.is_file() and path.suffix != ".pyc"]
    files += [path for pattern in WEIGHTS for path in (root / "weights").glob(pattern)]
    files = [path.relative_to(root) for path in files]
    return sorted(path for path in files if not any(part.startswith(".") for part in path.parts))


def own_names(files: list[Path]) -> set[str]:
    """Return the names that our modules import from each other: those of the flat modules and of the folders."""
    return {path.parts[0].removesuffix(".py") for path in files if path.suffix == ".py"}


def rewrite(text: str, own: set[str], name: str) -> str:
    """Return Python source with the package's name before each imported module that is in ``own``; lines stay where they are.

    ``name``: of the file, for messages. Raises ValueError for an import that cannot be rewritten.
    """
    lines = [line.encode() for line in text.split("\n")]  # ast counts columns in bytes
    edits = [edit for node in ast.walk(ast.parse(text)) for edit in _edits(node, lines, own, name)]
    for line, start, end, replacement in sorted(edits, reverse=True):
        lines[line] = lines[line][:start] + replacement.encode() + lines[line][end:]
    return b"\n".join(lines).decode()


def _edits(node, lines, own, name):
    """Yield (line, first column, end column, replacement) for the modules that one node of the syntax tree imports."""
    if isinstance(node, ast.Import):
        for alias in node.names:
            if _top(alias.name) in own:
                yield alias.lineno - 1, alias.col_offset, alias.end_col_offset, _renamed(alias)
    elif isinstance(node, ast.ImportFrom) and not node.level and _top(node.module) in own:
        line, after = node.lineno - 1, node.col_offset + len("from")
        start = len(lines[line]) - len(lines[line][after:].lstrip())
        if not lines[line][start:].startswith(node.module.encode()):
            raise ValueError(f"{name}, line {node.lineno}: cannot rewrite this import; write 'from {node.module}' on one line.")
        yield line, start, start, f"{PACKAGE}."
    elif isinstance(node, ast.Call) and getattr(node.func, "attr", getattr(node.func, "id", "")) in (
        "import_module",
        "__import__",
    ):
        module = node.args[0] if node.args else None
        if isinstance(module, ast.Constant) and _top(str(module.value)) in own:
            raise ValueError(f"{name}, line {node.lineno}: cannot rewrite import_module of a text; use an import statement.")


def _renamed(alias):
    """Return what stands after ``import``: the module in the package, with the name that the file uses for it."""
    module = f"{PACKAGE}.{alias.name}"
    if alias.asname:
        return f"{module} as {alias.asname}"
    top = _top(alias.name)  # `import a.b` gives the name a
    return f"{module} as {top}" + (f", {PACKAGE}.{top} as {top}" if top != alias.name else "")


def _top(module):
    return module.partition(".")[0]


class Build(build_py):
    """Write the package: our modules with rewritten imports, the weights, and an ``__init__.py``."""

    def run(self):
        if self.editable_mode:
            raise SetupError(NO_EDITABLE)
        target, files = Path(self.build_lib) / PACKAGE, program_files(ROOT)
        shutil.rmtree(target, ignore_errors=True)  # may hold modules of an earlier build that no longer exist
        for path in files:
            (target / path).parent.mkdir(parents=True, exist_ok=True)
            if path.suffix == ".py":
                text = rewrite((ROOT / path).read_text(encoding="utf-8"), own_names(files), str(path))
                (target / path).write_text(text, encoding="utf-8")
            else:
                shutil.copyfile(ROOT / path, target / path)
        (target / "__init__.py").write_text(INIT, encoding="utf-8")

    def get_source_files(self):
        """Return what a source archive must hold: the program, and this file, which builds it."""
        return [str(path) for path in [Path(__file__).resolve().relative_to(ROOT), *program_files(ROOT)]]

    def get_outputs(self, include_bytecode=True):
        return [str(Path(self.build_lib) / PACKAGE / path) for path in [Path("__init__.py"), *program_files(ROOT)]]


class NoEditable(editable_wheel):
    """Refuse ``pip install --editable``."""

    def run(self):
        raise SetupError(NO_EDITABLE)

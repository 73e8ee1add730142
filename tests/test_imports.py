"""Who imports whom: the rules of CONTRIBUTING.md ("Allowed imports"), checked on the syntax trees of all files."""

import ast
import itertools
import re
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from recipe import RECIPES

ROOT = Path(__file__).parents[1]
MOST_MODULES = 28  # at the top level
SCRIPT_FOLDERS = {"notebooks", "tests", "benchmarks", "results", "weights", "datasets", "installation"}
MAY_IMPORT_SCRIPTS = SCRIPT_FOLDERS - {"datasets", "installation"}
VAGUE = {"utils", "util", "helpers", "helper", "common", "core", "misc"}
HIDDEN_FOLDERS = {"build", "dist", "runs"}


def python_files(root):
    """The Python files of the program and of its scripts, relative to the root: top level and one level of folders below."""
    found = [*root.glob("*.py"), *(path for folder in folders(root) for path in folder.rglob("*.py"))]
    return sorted(path.relative_to(root) for path in found if path.name != "conftest.py")


def folders(root):
    """The folders that hold Python files."""
    visible = [path for path in root.iterdir() if path.is_dir() and path.name[0] != "." and path.name not in HIDDEN_FOLDERS]
    return [folder for folder in visible if any(folder.rglob("*.py"))]


def node_of(path):
    """The node of a file in the graph: its folder, or its own name at the top level."""
    return path.parts[0].removesuffix(".py")


def imports(path):
    """Yield (module, line) for all imports of a file: in functions, and ``import_module`` of a text, too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), path)):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            start = ".".join(filter(None, [path.parent.name if node.level else "", node.module]))
            yield from ((f"{start}.{alias.name}", node.lineno) for alias in node.names)
        elif isinstance(node, ast.Call) and getattr(node.func, "attr", getattr(node.func, "id", "")) == "import_module":
            yield from ((text.value, node.lineno) for text in node.args[:1] if isinstance(text, ast.Constant))


def folder_graph(root):
    """{node: {imported node: "file:line"}}; a node is a folder or a module of the top level."""
    files = python_files(root)
    graph = {node_of(path): {} for path in files}
    for path in files:
        for module, line in imports(root / path):
            top = module.partition(".")[0]
            if top in graph and top != node_of(path):
                graph[node_of(path)].setdefault(top, f"{path.as_posix()}:{line}")
    return graph


def module_graph(root):
    """{module: {imported module: "file:line"}}; a node is a file."""
    names = {".".join(path.with_suffix("").parts): path for path in python_files(root)}
    graph = {name: {} for name in names}
    for name, path in names.items():
        for module, line in imports(root / path):
            for found in {module, module.rpartition(".")[0]} & set(names) - {name}:
                graph[name].setdefault(found, f"{path.as_posix()}:{line}")
    return graph


def find_cycle(graph):
    """The nodes of a cycle, the first one again at the end; None if there is no cycle."""
    finished = set()

    def visit(node, way):
        if node in way:
            return [*way[way.index(node) :], node]
        if node in finished:
            return None
        cycle = next(filter(None, (visit(other, [*way, node]) for other in graph.get(node, ()))), None)
        finished.add(node)
        return cycle

    return next(filter(None, (visit(node, []) for node in graph)), None)


def describe_cycle(graph):
    """Say which files form a cycle; an empty text if there is none."""
    cycle = find_cycle(graph)
    steps = itertools.pairwise(cycle or ())
    return "; ".join(f"{one} imports {other} ({graph[one][other]})" for one, other in steps)


def read_table(text):
    """{node: names that it may import} from the table below "Allowed imports"."""
    section = re.search(r"^## Allowed imports\n(.*?)(?=^## |\Z)", text, re.M | re.S)[1]
    rows = [
        [re.findall(r"`(\w+)`", cell) for cell in line.strip("|").split("|")]
        for line in section.splitlines()
        if line[:2] == "| "
    ]
    return {name: set(allowed) for names, allowed, *_ in rows for name in names}


def problems(root, table, recipes):
    """All that breaks a rule: list of sentences."""
    graph = folder_graph(root)
    program = {node: others for node, others in graph.items() if node not in SCRIPT_FOLDERS}
    scripts = {path.stem for path in root.glob("*.py") if '\nif __name__ == "__main__":' in path.read_text(encoding="utf-8")}
    modules = {name: others for name, others in module_graph(root).items() if name.partition(".")[0] in program}
    cycle = describe_cycle(program) or describe_cycle(modules)
    found = [f"cycle: {cycle}"] if cycle else []
    for node, others in graph.items():
        for other, place in others.items():
            said = f"{place}: {node} imports {other}"
            if node in recipes and other in recipes:
                found.append(f"{said}, but recipes do not import each other")
            if other in scripts and node not in MAY_IMPORT_SCRIPTS:
                found.append(f"{said}, which is a script")
            if node in program and other in SCRIPT_FOLDERS:
                found.append(f"{said}, which is no part of the program")
            if other not in table.get(node, {other}):
                found.append(f"{said}; allowed are {', '.join(sorted(table[node])) or 'none of our modules'}")
    return [*found, *name_problems(root), *init_problems(root, table)]


def name_problems(root):
    """Names that are vague, or that hide a module of Python, of an installed package or of this program."""
    taken = set(sys.stdlib_module_names) | set(packages_distributions())
    own = {node_of(path) for path in python_files(root)}
    for path in python_files(root):
        top = node_of(path)
        if path.stem in VAGUE or top in VAGUE:
            yield f"{path.as_posix()}: a name that says nothing"
        if len(path.parts) == 1 and top in taken:
            yield f"{path.as_posix()}: hides the module {top} of Python or of an installed package"
        # The folder of a script that is run comes first on sys.path: there, too, names must be free.
        if len(path.parts) == 2 and top in SCRIPT_FOLDERS and path.stem in taken | own:
            yield f"{path.as_posix()}: hides the module {path.stem} when a script of this folder is run"
    for folder in folders(root):
        if folder.name in taken:
            yield f"{folder.name}/: hides the module {folder.name} of Python or of an installed package"
    if (count := sum(len(path.parts) == 1 for path in python_files(root))) > MOST_MODULES:
        yield f"{count} modules at the top level, at most {MOST_MODULES} are allowed; move some into folders"


def init_problems(root, table):
    """Folders of the program without an ``__init__.py`` that says what they hold, or without a row in the table."""
    for folder in folders(root):
        init = folder / "__init__.py"
        if folder.name in SCRIPT_FOLDERS:
            if init.exists():
                yield f"{folder.name}/__init__.py: would be installed; scripts are not"
            continue
        if not init.exists() or not re.match(r'"""\w.{15,}', init.read_text(encoding="utf-8")):
            yield f"{folder.name}/__init__.py: its first line must say what the folder holds"
        if folder.name not in table:
            yield f'{folder.name}/: has no row in the table of CONTRIBUTING.md, "Allowed imports"'


TABLE = read_table((ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"))


def test_the_rules_hold():
    assert problems(ROOT, TABLE, set(RECIPES)) == []


def test_the_table_names_what_exists():
    known = {node_of(path) for path in python_files(ROOT)}
    assert len(TABLE) > 8 and set(TABLE) | set().union(*TABLE.values()) <= known


@pytest.mark.parametrize(
    ("graph", "cycle"),
    [
        ({"a": ["b", "c"], "b": ["c"], "c": []}, None),
        ({"a": ["b"], "b": ["c"], "c": ["b"]}, ["b", "c", "b"]),
        ({"a": [], "b": ["b"]}, ["b", "b"]),
        ({"a": ["b", "c"], "b": ["d"], "c": ["d"], "d": ["e"], "e": ["a"]}, ["a", "b", "d", "e", "a"]),
        ({"a": ["outside"]}, None),
    ],
)
def test_a_planted_cycle_is_found(graph, cycle):
    assert find_cycle(graph) == cycle


INIT = '"""Files that stand for a folder."""\n'
PLANTED = {
    "cycle: data imports readers (data.py:3); readers imports data (readers/images.py:1)": {
        "data.py": "import numpy\ndef load():\n    from readers import images\n    return images\n",
        "readers/__init__.py": INIT,
        "readers/images.py": "import data as samples\n",
    },
    "cycle: one.a imports one.b (one/a.py:1); one.b imports one.a (one/b.py:1)": {
        "one/__init__.py": INIT, "one/a.py": "from .b import x\n", "one/b.py": "import one.a\n",
    },
    "dsb.py:2: dsb imports cells, but recipes do not import each other": {
        "dsb.py": "from importlib import import_module\nother = import_module('cells')\n", "cells.py": "",
    },
    "data.py:1: data imports predict, which is a script": {
        "predict.py": '"""Predict."""\nif __name__ == "__main__":\n    main()\n', "data.py": "import os, predict\n",
    },
    "data.py:1: data imports weights, which is no part of the program": {
        "data.py": "from weights import make\n", "weights/make.py": "",
    },
    "readers/images.py:1: readers imports tiles; allowed are data": {
        "readers/__init__.py": INIT, "readers/images.py": "from tiles import pad\n", "tiles.py": "",
    },
    "logging.py: hides the module logging of Python or of an installed package": {"logging.py": ""},
    "numpy/: hides the module numpy of Python or of an installed package": {"numpy/__init__.py": INIT, "numpy/a.py": ""},
    "weights/data.py: hides the module data when a script of this folder is run": {"weights/data.py": "", "data.py": ""},
    "scores/helpers.py: a name that says nothing": {"scores/__init__.py": INIT, "scores/helpers.py": ""},
    "scores/__init__.py: its first line must say what the folder holds": {"scores/__init__.py": "import os\n"},
    "explore/__init__.py: its first line must say what the folder holds": {"explore/leaks.py": ""},
    "tests/__init__.py: would be installed; scripts are not": {"tests/__init__.py": INIT},
    "29 modules at the top level, at most 28 are allowed; move some into folders": {f"m{n}.py": "" for n in range(29)},
}  # fmt: skip


@pytest.mark.parametrize("expected", PLANTED)
def test_a_planted_fault_is_found(expected, tmp_path):
    for name, text in PLANTED[expected].items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    table = {"readers": {"data"}, "scores": set(), "explore": set(), "one": set(), "numpy": set()}
    assert problems(tmp_path, table, {"dsb", "cells"}) == [expected]


def test_what_is_allowed_is_not_found(tmp_path):
    (tmp_path / "tests").mkdir()
    (tmp_path / "predict.py").write_text('import data\n\nif __name__ == "__main__":\n    main()\n')
    (tmp_path / "data.py").write_text("import numpy as predict  # from predict import x\ntext = 'import predict'\n")
    (tmp_path / "tests" / "test_predict.py").write_text("import predict\nimport data\n")
    assert problems(tmp_path, {}, set()) == []

"""Every name that a file takes from our modules exists, also in notebooks and in scripts that no test runs."""

import ast
import json

from test_imports import ROOT, node_of, python_files


def defined(path):
    """The names that a module defines or imports at its top level."""
    found, waiting = set(), list(ast.parse(path.read_text(encoding="utf-8"), path).body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            found |= {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
        else:
            found |= {name.id for name in ast.walk(node) if isinstance(name, ast.Name) and isinstance(name.ctx, ast.Store)}
            waiting += [child for child in ast.iter_child_nodes(node) if isinstance(child, ast.stmt)]
    return found


def code(path):
    """The Python code of a file or of all cells of a notebook."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        return text
    return "\n".join("".join(cell["source"]) for cell in json.loads(text)["cells"] if cell["cell_type"] == "code")


def missing_names(root):
    """Yield the names that a file takes from our modules and that these do not have."""
    files = python_files(root)
    modules = {".".join(path.with_suffix("").parts): path for path in files}
    names = {path: defined(root / path) for path in files}
    tops = {node_of(path) for path in files}
    for path in [*files, *(path.relative_to(root) for path in root.glob("notebooks/*.ipynb"))]:
        tree = ast.parse(code(root / path), path)
        beside = {other.stem: other for other in files if other.parent == path.parent}
        known, stored = (
            {},
            {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)},
        )
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and not node.level:
                home = modules.get(node.module) or beside.get(node.module)
                for alias in node.names:
                    module = modules.get(f"{node.module}.{alias.name}")
                    if module:
                        known[alias.asname or alias.name] = module
                    elif (home or node.module in tops) and alias.name not in names.get(home, ()):
                        yield f"{path.as_posix()}:{node.lineno}: {node.module} has no {alias.name}"
            elif isinstance(node, ast.Import):
                known |= {a.asname or a.name: modules[a.name] for a in node.names if a.name in modules}
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id not in stored:
                home = known.get(node.value.id)
                if home and node.attr not in names[home] and not node.attr.startswith("__"):
                    yield f"{path.as_posix()}:{node.lineno}: {node.value.id} has no {node.attr}"


def test_all_imported_names_exist():
    assert list(missing_names(ROOT)) == []


def test_a_name_that_does_not_exist_is_found(tmp_path):
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / "data.py").write_text("import os as system\nif system:\n    A = 1\nB, C = 2, 3\nclass D: pass\ndef e(): pass\n")
    (tmp_path / "benchmarks" / "sizes.py").write_text("WIDTH = 1\n")
    speed = [
        "from data import A, B, C, D, e, system", "from sizes import WIDTH", "def f():", "    from data import G",
        "from sizes import H", "import data", "import data as d", "print(data.A, d.D.any, d.__file__, d.g())",
    ]  # fmt: skip
    (tmp_path / "benchmarks" / "speed.py").write_text("\n".join(speed))
    (tmp_path / "notebooks").mkdir()
    cells = [
        {"cell_type": "markdown", "source": ["from data import K"]},
        {"cell_type": "code", "source": ["import data\n", "data.h"]},
    ]
    (tmp_path / "notebooks" / "a.ipynb").write_text(json.dumps({"cells": cells}))
    expected = [
        "benchmarks/speed.py:4: data has no G",
        "benchmarks/speed.py:5: sizes has no H",
        "benchmarks/speed.py:8: d has no g",
        "notebooks/a.ipynb:2: data has no h",
    ]
    assert sorted(missing_names(tmp_path)) == expected

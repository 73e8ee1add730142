"""What the notebooks hold, code and outputs; that they run is tested by nbmake, which pyproject.toml asks for."""

import ast
import re
from pathlib import Path

import nbclient
import nbformat
import pytest

from notebooks import gallery

FOLDER = Path(__file__).parents[1] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
GALLERY = (FOLDER / "README.md").read_text(encoding="utf-8")
MACHINE = re.compile(r"(?<![\w.])(/(home|root|tmp|work|Users|mnt|usr)/|[A-Z]:\\)")
MOST_BYTES, MOST_LINES = 1_500_000, 5


def code_cells(path):
    return [cell for cell in nbformat.read(path, 4).cells if cell.cell_type == "code"]


def texts(cell):
    """What a cell printed or returned, without pictures."""
    for output in cell.outputs:
        yield output.get("text", "")
        yield from (value for kind, value in output.get("data", {}).items() if not kind.startswith("image/"))


def test_all_are_there():
    expected = ["augmentation", "bbbc005", "cells", "dsb", "dsb_eda", "isbi", "tomography", "your_own_images"]
    assert [path.stem for path in NOTEBOOKS] == expected


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_outputs_are_those_of_one_clean_run(path):
    assert path.stat().st_size < MOST_BYTES
    cells = code_cells(path)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    for cell in cells:
        assert not [output for output in cell.outputs if output.output_type == "error" or output.get("name") == "stderr"]
        assert not [text for text in texts(cell) if MACHINE.search(text)], cell.source
    assert any("image/png" in output.get("data", {}) for cell in cells for output in cell.outputs)
    assert any("full size" in text for text in texts(cells[0])) and not any("quick mode (" in text for text in texts(cells[0]))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_tell_and_modules_compute(path):
    for cell in code_cells(path):
        for node in ast.walk(ast.parse(cell.source)):
            assert not isinstance(node, ast.ClassDef)
            if isinstance(node, ast.FunctionDef):
                assert node.end_lineno - node.lineno < MOST_LINES


def test_no_code_is_copied_between_notebooks():
    """Runs of five equal lines; the lines that find the modules are the same in all."""
    seen = {}
    for path in NOTEBOOKS:
        for cell in code_cells(path)[1:]:
            lines = [line.strip() for line in cell.source.splitlines()]
            for start in range(len(lines) - 4):
                block = tuple(lines[start : start + 5])
                assert seen.setdefault(block, path) == path, block


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_gallery_shows_the_picture_of_every_notebook(path):
    assert f"({path.name})" in GALLERY and f"![{path.stem}](gallery/{path.stem}.png)" in GALLERY
    assert (FOLDER / "gallery" / f"{path.stem}.png").read_bytes() == gallery.picture(path)


def test_a_notebook_without_a_tagged_picture_is_named(tmp_path):
    nbformat.write(nbformat.v4.new_notebook(), tmp_path / "empty.ipynb")
    with pytest.raises(ValueError, match=r"empty\.ipynb: no picture in a cell with the tag gallery"):
        gallery.picture(tmp_path / "empty.ipynb")


def test_notebooks_run_from_the_root_too(monkeypatch):
    monkeypatch.setenv("UNET_QUICK", "1")
    notebook = nbformat.read(FOLDER / "augmentation.ipynb", 4)
    nbclient.NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(FOLDER.parent)}}).execute()
    assert any("quick mode" in text for text in texts(notebook.cells[1]))

"""Code and outputs of the notebooks. nbmake (see pyproject.toml) tests that they run."""

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
    """Yield what a cell printed or returned, without pictures."""
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
def test_no_progress_bar_is_left(path):
    outputs = [output for cell in code_cells(path) for output in cell.outputs]
    assert not [output for output in outputs if output.get("data") == {}]
    assert not [kind for output in outputs for kind in output.get("data", {}) if "widget" in kind]
    assert not [text for cell in code_cells(path) for text in texts(cell) if "%|" in text]


def test_a_cell_that_ends_with_a_segmentation_shows_it():
    cells = code_cells(FOLDER / "your_own_images.ipynb")
    shown = next(cell.outputs[-1].data for cell in cells if cell.source.endswith("\nfound"))
    assert shown["text/plain"].count("\n") == 1 and shown["text/plain"].startswith("objects: ")
    assert shown["text/html"].startswith("<img") and len(shown["text/html"]) < 200_000


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_tell_and_modules_compute(path):
    for cell in code_cells(path):
        for node in ast.walk(ast.parse(cell.source)):
            assert not isinstance(node, ast.ClassDef)
            if isinstance(node, ast.FunctionDef):
                assert node.end_lineno - node.lineno < MOST_LINES


def test_no_code_is_copied_between_notebooks():
    """No five equal lines in two notebooks; the first cells, which find the modules, are alike."""
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


def test_what_finished_bars_leave_is_removed(tmp_path):
    outputs = [
        nbformat.v4.new_output("display_data", {}),
        nbformat.v4.new_output("stream", text="a line"),
        nbformat.v4.new_output("display_data", {"text/plain": ""}),
        nbformat.v4.new_output("error", ename="E", evalue="e"),
    ]
    cells = [nbformat.v4.new_markdown_cell("text"), nbformat.v4.new_code_cell("1", outputs=outputs)]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "a.ipynb")
    gallery.remove_empty_outputs(tmp_path / "a.ipynb")
    assert nbformat.read(tmp_path / "a.ipynb", 4).cells[1].outputs == outputs[1:]


def test_notebooks_run_from_the_root_too(monkeypatch):
    monkeypatch.setenv("UNET_QUICK", "1")
    notebook = nbformat.read(FOLDER / "augmentation.ipynb", 4)
    nbclient.NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(FOLDER.parent)}}).execute()
    assert any("quick mode" in text for text in texts(notebook.cells[1]))

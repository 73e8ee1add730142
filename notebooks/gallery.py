"""Finish executed notebooks: remove what progress bars leave, and take one picture out of each for notebooks/README.md.

jupyter execute --inplace notebooks/*.ipynb    run all notebooks from top to bottom
python notebooks/gallery.py                    then tidy them and write notebooks/gallery/<name>.png

The picture is that of the cell with the tag "gallery".
"""

import base64
from pathlib import Path

import nbformat

FOLDER = Path(__file__).parent


def remove_empty_outputs(path):
    """Remove outputs without data from a notebook: a progress bar that is finished leaves one, which shows nothing."""
    notebook = nbformat.read(path, 4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if output.get("data", True) != {}]
    nbformat.write(notebook, path)


def picture(path):
    """Return the PNG (bytes) of the tagged cell of an executed notebook. Raises ValueError that names one without it."""
    for cell in nbformat.read(path, 4).cells:
        if "gallery" in cell.metadata.get("tags", ()):
            for output in cell.outputs:
                if "image/png" in output.get("data", {}):
                    return base64.b64decode(output.data["image/png"])
    raise ValueError(f"{path}: no picture in a cell with the tag gallery; run the notebook first.")


if __name__ == "__main__":
    (FOLDER / "gallery").mkdir(exist_ok=True)
    for notebook in sorted(FOLDER.glob("*.ipynb")):
        remove_empty_outputs(notebook)
        (FOLDER / "gallery" / f"{notebook.stem}.png").write_bytes(picture(notebook))

"""Take one picture out of every executed notebook, for notebooks/README.md: that of the cell with the tag "gallery".

jupyter execute --inplace notebooks/*.ipynb    run them all, from top to bottom
python notebooks/gallery.py                    write notebooks/gallery/<name>.png
"""

import base64
from pathlib import Path

import nbformat

FOLDER = Path(__file__).parent


def picture(path):
    """The PNG (bytes) of the tagged cell of an executed notebook; ValueError that names one without it."""
    for cell in nbformat.read(path, 4).cells:
        if "gallery" in cell.metadata.get("tags", ()):
            for output in cell.outputs:
                if "image/png" in output.get("data", {}):
                    return base64.b64decode(output.data["image/png"])
    raise ValueError(f"{path}: no picture in a cell with the tag gallery; run the notebook first.")


if __name__ == "__main__":
    (FOLDER / "gallery").mkdir(exist_ok=True)
    for notebook in sorted(FOLDER.glob("*.ipynb")):
        (FOLDER / "gallery" / f"{notebook.stem}.png").write_bytes(picture(notebook))

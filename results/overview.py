"""Draw results/overview.png: nuclei that the shipped network found in four kinds of images, separated and numbered.

python results/overview.py stage1_train.zip tnbc bitdepth

The three data sets: stage1_train.zip of the Data Science Bowl 2018 (only test images, which the network has not seen), and two
that the network has never seen: folders with ``images`` and ``masks``, TNBC and BitDepth_NucSeg. Of each kind, the image with
the median score is shown, not the best one, among those with at least 20 labelled nuclei in the middle.
Takes two minutes on two CPU cores.
"""

import argparse
import io
import sys
from pathlib import Path

import cv2
import numpy as np
import PIL.Image
from matplotlib.colors import to_rgb
from matplotlib.patheffects import withStroke

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

import dsb
import figures
from data import evenly
from scores.matching import detection_table
from segmentation import middle, open_network, segment
from system.files import read_json
from system.progress import progress

MOST = 24  # images of a kind that are scored
SIDE = 256  # px in the middle of an image that are shown
FEWEST = 20  # labelled nuclei there
ENLARGED = 3  # so that outlines are smooth
CAPTION = (
    "Nuclei found by the shipped network in images that it has not seen. Of each kind, the image with the median score is shown. "
    "Images, cropped: Data Science Bowl 2018, BBBC038 (CC0); TNBC, Naylor et al. 2019, https://zenodo.org/records/1175282 "
    "(CC BY 4.0); BitDepth_NucSeg (Apache-2.0)."
)
PALETTE = [to_rgb(colour) for colour in figures.CLASSES]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stage1_train", type=Path, help="stage1_train.zip or its unpacked folder")
    parser.add_argument("tnbc", type=Path, help="folder of TNBC (Naylor et al. 2019) with images and masks")
    parser.add_argument("bitdepth", type=Path, help="folder of BitDepth_NucSeg with images and masks")
    arguments = parser.parse_args()
    network = open_network(ROOT / "weights/nuclei.keras")
    shown = {}
    for kind, samples in read_kinds(arguments).items():
        shown[kind] = median_image(samples, network, kind)
        sample, found, score = shown[kind]
        print(f"{kind}: {sample.name}, average precision {score:.2f} at IoU 0.5, the median of {len(samples)} images; {found}")
    write_png(draw(shown), ROOT / "results/overview.png")
    print(f"Caption: {CAPTION}")


def read_kinds(arguments):
    """Return {kind of image: samples}."""
    test = read_json(ROOT / "results/dsb/split.json")["test"]
    unseen = [sample for sample in dsb.load(arguments.stage1_train, dsb.RECIPE.config) if sample.name in test]
    kinds = {
        "Fluorescence": [sample for sample in unseen if dsb.is_fluorescence(sample)],
        "Stained, bright field": [sample for sample in unseen if sample.image.shape[2] == 3],
        "Tissue, H&E": dsb.load(arguments.tnbc, dsb.RECIPE.config),
        "Tissue, fluorescence, 16 bit": dsb.load(arguments.bitdepth, dsb.RECIPE.config),
    }
    return {kind: evenly([sample for sample in samples if count(middle(sample.mask, SIDE)) >= FEWEST], MOST)
            for kind, samples in kinds.items()}  # fmt: skip


def count(labels):
    """Return how many objects a label image shows."""
    return np.count_nonzero(np.unique(labels))


def median_image(samples, network, kind):
    """Return the sample with the median average precision at IoU 0.5, its Segmentation, and that score."""
    found = [segment(sample.image, network) for sample in progress(samples, kind, "image")]
    scores = detection_table(samples, [one.objects for one in found])["ap50"].to_numpy()
    place = scores.argsort(kind="stable")[(len(samples) - 1) // 2]
    return samples[place], found[place], scores[place]


def draw(shown):
    """Return a Figure: images above, numbered objects below."""
    figure, axes = figures.canvas(2, len(shown), 14, 7.5, "", pictures=True)
    for column, (kind, (sample, found, _)) in zip(axes.T, shown.items(), strict=True):
        image, objects, truth = (middle(part, SIDE) for part in (figures.as_rgb(sample.image), found.objects, sample.mask))
        column[0].imshow(image)
        column[0].set_title(kind, fontsize=13)
        column[1].imshow(coloured(image, objects), extent=(-0.5, objects.shape[1] - 0.5, objects.shape[0] - 0.5, -0.5))
        column[1].set_xlabel(f"{count(objects)} nuclei found, {count(truth)} labelled by hand", fontsize=11)
        write_numbers(column[1], objects)
    return figure


def coloured(image, objects):
    """Return an RGB image, enlarged, with objects in colours; neighbours differ."""
    size = [ENLARGED * side for side in objects.shape[::-1]]
    image = np.clip(cv2.resize(image, size, interpolation=cv2.INTER_CUBIC), 0, 1)
    objects = np.repeat(np.repeat(objects, ENLARGED, axis=0), ENLARGED, axis=1)
    colours = np.array([(0, 0, 0), *PALETTE])[colour_numbers(objects)]
    inside = objects > 0
    image[inside] = 0.55 * image[inside] + 0.45 * colours[inside]
    figures.draw_outlines(image, [(objects, colours)], 4)
    return image


def colour_numbers(objects, reach=8):
    """Return the number of a colour for each pixel, 0 on the background; objects within ``reach`` px get different ones."""
    chosen = np.zeros(objects.max() + 1, int)
    around = np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)
    for number in np.unique(objects[objects > 0]):
        near = chosen[np.unique(objects[cv2.dilate((objects == number).astype(np.uint8), around) > 0])]
        free = [colour for colour in range(1, len(PALETTE) + 1) if colour not in near] or range(1, len(PALETTE) + 1)
        chosen[number] = free[number % len(free)]
    return chosen[objects]


def write_numbers(axis, objects, smallest=20):
    """Write 1, 2, 3, ... on the objects from top to bottom; parts below ``smallest`` px at the edge have no room for it."""
    places = [np.argwhere(objects == number) for number in np.unique(objects[objects > 0])]
    centres = sorted(tuple(pixels.mean(axis=0)) for pixels in places if len(pixels) >= smallest)
    for number, (row, column) in enumerate(centres, 1):
        stroke = [withStroke(linewidth=1.5, foreground="black")]
        style = {"ha": "center", "va": "center", "fontsize": 6, "color": "white", "path_effects": stroke}
        axis.text(column, row, str(number), **style)


def write_png(figure, path):
    """Write a Figure as PNG with 256 colours, which is a third as large."""
    drawn = io.BytesIO()
    figure.savefig(drawn, dpi=100)
    picture = PIL.Image.open(drawn).convert("RGB")
    few = picture.quantize(256, PIL.Image.Quantize.MEDIANCUT, kmeans=3)
    picture.quantize(palette=few, dither=PIL.Image.Dither.FLOYDSTEINBERG).save(path, optimize=True)
    print(f"{path}: {picture.width} x {picture.height} px, {path.stat().st_size // 1000} kB")


if __name__ == "__main__":
    main()

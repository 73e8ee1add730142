"""Draw figures that show images. This module also has the parts that all figures share: colours, names, canvas.

Functions return a matplotlib Figure, or a picture: an RGB array, uint8 (H, W, 3). They do not load, train or display. The
colours are from Okabe and Ito; people with colour blindness can distinguish them.
"""

import colorsys
import textwrap

import cv2
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

BLUE, ORANGE, GREEN, VERMILION, PURPLE, SKY, YELLOW = (
    "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#F0E442",
)  # fmt: skip
CLASSES = (ORANGE, SKY, GREEN, YELLOW, PURPLE, BLUE, VERMILION)
OUTLINES = {"truth": YELLOW, "prediction": SKY}
OVERLAY = {"true positive": SKY, "false positive": VERMILION, "false negative": YELLOW}
SHOWN = 900  # px; outlines in figures are drawn on pictures that are at least this large
PX_PER_LINE = 500  # px of a picture's longer side per px of an outline's width
LETTER = 0.085  # inches, mean width of a letter in the font of the axes


def three_rows(images, truths, predictions, names, title, classes=("object",)):
    """Draw image, truth and prediction in three rows, one column for each sample.

    ``truths``, ``predictions``: class numbers (H, W). ``classes``: names of the classes above 0; several get colours and a
    legend.
    """
    figure, axes = canvas(3, len(images), 2.3 * len(images) + 0.4, 6.9 * aspect(images) + 1, title, pictures=True)
    rows = zip(("Image", "Truth", "Prediction"), (images, truths, predictions), strict=True)
    for row, (name_of_row, pictures) in enumerate(rows):
        for axis, picture, name in zip(axes[row], pictures, names, strict=True):
            coloured = row > 0 and len(classes) > 1
            show_image(axis, class_overlay(np.zeros((*picture.shape, 1)), picture, classes, opacity=1) if coloured else picture)
            if row == 0:
                axis.set_title(name, fontsize=9)
        axes[row, 0].set_ylabel(name_of_row)
    if len(classes) > 1:
        figure.legend(handles=class_handles(classes), loc="outside lower center", ncols=4, frameon=False)
    return figure


def overlays(images, truths, predictions, names, title, classes=("object",)):
    """Draw over each image where prediction and truth agree and differ; with several classes, draw truth above prediction."""
    if len(classes) > 1:
        figure, axes = canvas(2, len(images), 3 * len(images) + 0.4, 6 * aspect(images) + 1.4, title, pictures=True)
        for row, (name_of_row, maps) in zip(axes, {"Truth": truths, "Prediction": predictions}.items(), strict=True):
            row[0].set_ylabel(name_of_row)
            for axis, image, class_map in zip(row, images, maps, strict=True):
                axis.imshow(class_overlay(image, class_map, classes))
        axes, handles = axes[0], class_handles(classes)
    else:
        figure, axes = picture_grid(images, 3, title)
        for axis, image, truth, predicted in zip(axes.flat, images, truths, predictions, strict=False):
            axis.imshow(overlay(image, truth, predicted))
        handles = [square(colour, name) for name, colour in OVERLAY.items()]
    for axis, name in zip(axes.flat, names, strict=False):
        axis.set_title(name, fontsize=9)
    figure.legend(handles=handles, loc="outside lower center", ncols=4, frameon=False)
    return figure


def overlay(image, truth, predicted):
    """Return an image as RGB floats (H, W, 3) with true positive, false positive and false negative pixels tinted."""
    gray = as_rgb(image).mean(axis=-1, keepdims=True)
    picture = np.repeat(0.9 * gray, 3, axis=-1)
    truth, predicted = truth > 0, predicted > 0
    for part, colour in zip((truth & predicted, ~truth & predicted, truth & ~predicted), OVERLAY.values(), strict=True):
        picture[part] = 0.45 * picture[part] + 0.55 * np.array(to_rgb(colour))
    return picture


def outlines(images, layers, names, title):
    """Draw the outlines of objects over each image; ``layers``: {"truth" or "prediction": one label image for each image}."""
    figure, axes = picture_grid(images, 4.6, title)
    for place, (axis, image, name) in enumerate(zip(axes.flat, images, names, strict=False)):
        picture = as_rgb(image)
        factor = -(-SHOWN // max(picture.shape))
        picture = np.repeat(np.repeat(picture, factor, axis=0), factor, axis=1)
        width = max(picture.shape) // 250  # the figure is several times smaller than the picture
        drawn = [(_at_size(labels[place], picture.shape), OUTLINES[layer]) for layer, labels in reversed(layers.items())]
        draw_outlines(picture, drawn, width)
        axis.imshow(picture)
        axis.set_title(name)
    handles = [Line2D([], [], color=OUTLINES[layer], label=layer, linewidth=3) for layer in layers]
    figure.legend(handles=handles, loc="outside lower center", ncols=2, frameon=False)
    return figure


def outlined(image: NDArray, labels: NDArray, most: int | None = None) -> NDArray[np.uint8]:
    """Return an image (H, W, C) as a picture with the outlines of its objects: a bright line and a dark line around it.

    ``labels``: numbers of the objects, (H, W) of any size. ``most``: largest height and width of the picture in px.
    """
    picture = as_rgb(image, most)
    draw_outlines(picture, [(_at_size(labels, picture.shape), YELLOW)])
    return (picture * 255).round().astype(np.uint8)


def class_overlay(image: NDArray, class_map: NDArray, names, objects: NDArray | None = None, opacity: float = 0.45,
                  most: int | None = None) -> NDArray[np.uint8]:  # fmt: skip
    """Return an image (H, W, C) as a picture: each class tinted in its own colour and outlined.

    ``class_map``: class numbers, (H, W) of any size, 0 background. ``names`` of the classes from 1 on, as in
    ``class_handles``. ``objects``: object numbers (H, W), to outline each object. Raises ValueError for a class without a name.
    """
    if class_map.max(initial=0) > len(names):
        raise ValueError(f"the class map holds class {class_map.max()}, but there are names for {len(names)} classes.")
    picture = as_rgb(image, most)
    class_map = _at_size(class_map, picture.shape)
    colours = np.array([(0, 0, 0), *map(to_rgb, class_colours(len(names)))])
    tinted = (1 - opacity) * picture + opacity * colours[class_map]
    picture[class_map > 0] = tinted[class_map > 0]
    draw_outlines(picture, [(class_map if objects is None else _at_size(objects, picture.shape), colours[class_map])])
    return (picture * 255).round().astype(np.uint8)


def with_legend(picture: NDArray[np.uint8], names) -> NDArray[np.uint8]:
    """Return a picture with a legend of the classes on a white strip below it; ``names``: see ``class_handles``."""
    width = max(picture.shape[1], 240)
    columns = max(1, min(len(names), int(width / 100 / (0.7 + LETTER * max(map(len, names))))))
    rows = -(-len(names) // columns)
    figure = Figure(figsize=(width / 100, 0.1 + 0.25 * rows), dpi=100)
    figure.legend(handles=class_handles(names), loc="center", ncols=columns, frameon=False, fontsize=10, borderpad=0)
    drawn = FigureCanvasAgg(figure)
    drawn.draw()
    strip = np.asarray(drawn.buffer_rgba())[..., :3]
    beside = [(0, 0), ((width - picture.shape[1]) // 2, -(-(width - picture.shape[1]) // 2)), (0, 0)]
    return np.concatenate([np.pad(picture, beside, constant_values=255), strip[:, :width]])


def class_handles(names):
    """Return the handles of a legend: a coloured square for each name; class 1 comes first."""
    return [square(colour, name) for name, colour in zip(names, class_colours(len(names)), strict=True)]


def class_colours(count):
    """Return ``count`` different colours (hexadecimal): seven of Okabe and Ito, then computed ones."""
    others = (to_hex(colorsys.hsv_to_rgb(0.618 * number % 1, 0.5 + 0.5 * (number % 2), 0.9)) for number in range(count))
    return [*CLASSES, *others][:count]


def square(colour, name):
    """Return the handle of a legend: a square of a colour."""
    return Line2D([], [], marker="s", linestyle="", markersize=9, markeredgecolor="0.3", color=colour, label=name)


def draw_outlines(picture, layers, width=None):
    """Draw outlines of objects into RGB floats (H, W, 3): a bright line inside each object and a dark line around it.

    ``layers``: [(labels (H, W), colour of the bright line: a name, or one colour for each pixel (H, W, 3))]. The lines of each
    layer are thinner than those of the layer before, so that equal outlines stay visible. ``width`` of the widest line in px;
    if None, lines are wider in large pictures and thinner around small objects.
    """
    lines = []
    for number, (labels, colour) in enumerate(layers):
        wide = (width or _line_width(labels)) // (number + 1) or 1
        inside, edge = labels > 0, np.zeros(labels.shape, bool)
        for one, other in ((np.s_[1:], np.s_[:-1]), (np.s_[:, 1:], np.s_[:, :-1])):
            differs = labels[one] != labels[other]
            edge[one] |= differs
            edge[other] |= differs
        picture[_widened(inside, -(-wide // 2)) & ~inside] = 0.05
        lines.append((_widened(edge, wide - 1) & inside, colour))
    for line, colour in lines:
        picture[line] = to_rgb(colour) if isinstance(colour, str) else colour[line]


def _line_width(labels):
    areas = np.unique(labels[labels > 0], return_counts=True)[1]
    tenth = 0.2 * np.sqrt(np.median(areas) / np.pi) if len(areas) else 1  # of the median diameter
    return int(max(1, min(max(labels.shape) / PX_PER_LINE, tenth)))


def _widened(mask, width):
    return cv2.dilate(mask.astype(np.uint8), np.ones((2 * width + 1, 2 * width + 1), np.uint8)) > 0


def as_rgb(image: NDArray, most: int | None = None) -> NDArray[np.floating]:
    """Return an image (H, W, C) of any bit depth as stretched RGB floats (h, w, 3) in [0, 1]; h and w are at most ``most`` px.

    Three or four channels are colours. If there is another number of channels, the first one is shown in gray.
    """
    image = image[..., :3] if image.shape[2] in (3, 4) else image[..., :1]
    if most and max(image.shape[:2]) > most:
        size = [max(1, round(side * most / max(image.shape[:2]))) for side in image.shape[1::-1]]
        image = cv2.resize(np.ascontiguousarray(image), size, interpolation=cv2.INTER_AREA).reshape(*size[::-1], image.shape[2])
    return np.repeat(stretch(image), 3 // image.shape[2], axis=2)


def stretch(image):
    """Return an image (H, W, C) of any bit depth as floats in [0, 1], its 0.5th to 99.8th percentile stretched."""
    low, high = np.percentile(image, (0.5, 99.8))
    return np.clip((image.astype(float) - low) / max(high - low, 1e-9), 0, 1)


def _at_size(labels, shape):
    """Return labels (H, W) at another height and width; each pixel gets the label at its middle."""
    rows, columns = (((np.arange(new) + 0.5) * old / new).astype(int) for old, new in zip(labels.shape, shape, strict=False))
    return labels[rows[:, None], columns]


def aspect(images):
    """Return the largest ratio of height to width among the images, which the height of their row depends on."""
    return max(image.shape[0] / image.shape[1] for image in images)


def show_image(axis, picture):
    """Draw an image (H, W, C) of any bit depth, or a mask (H, W), on an axis."""
    if picture.ndim == 3:
        axis.imshow(picture if picture.dtype == np.uint8 and picture.shape[2] == 3 else as_rgb(picture))
    else:
        axis.imshow(picture, cmap="gray", vmin=0, vmax=max(1, picture.max()))


def name_ticks(axis, names, inches, below=None):
    """Write names below an axis that is ``inches`` wide: in one or more lines, or turned if they are long.

    ``below``: another text for each name, on a line below it.
    """
    letters = max(1, int(inches / max(1, len(names)) / LETTER))
    names = list(map(str, names))
    longest = max((len(word) for name in names for word in name.split()), default=0)
    turned = longest > letters
    texts = [textwrap.fill(name, max(letters, longest), break_on_hyphens=False) for name in names]
    texts = [f"{name}\n{text}" for name, text in zip(texts, below, strict=True)] if below else texts
    style = {"rotation": 30, "ha": "right", "rotation_mode": "anchor"} if turned else {}
    axis.set_xticks(range(len(names)), texts, **style)


def picture_grid(images, side, title):
    """Return a Figure and its axes, ``side`` inches each, one for each image; more than four stand in rows of three."""
    columns = len(images) if len(images) <= 4 else 3
    rows = -(-len(images) // columns)
    height = rows * (side * aspect(images) + 0.4) + 0.9
    figure, axes = canvas(rows, columns, side * columns, height, title, pictures=True)
    for axis in axes.flat[len(images) :]:
        axis.set_axis_off()
    return figure, axes


def canvas(rows, columns, width, height, title, pictures=False):
    """Return a Figure of ``width`` x ``height`` inches with a title, and its (rows, columns) axes; ``pictures``: no ticks."""
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False)
    figure.suptitle(textwrap.fill(title, max(20, int(width / 0.095))), fontsize=12)
    if pictures:
        for axis in axes.flat:
            axis.set(xticks=[], yticks=[])
            for side in axis.spines.values():
                side.set(color="0.8", linewidth=0.5)  # a white mask would vanish on a white page
    return figure, axes

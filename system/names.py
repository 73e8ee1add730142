"""Readable names: with units for columns of tables, settings and scores at the axes of figures; short ones for images."""

import re

READABLE = {
    # Objects, as scores.measurements measures them
    "area": "Area (px²)",
    "equivalent_diameter": "Equivalent diameter (px)",
    "feret_min": "Smallest Feret diameter (px)",
    "feret_max": "Largest Feret diameter (px)",
    "perimeter": "Perimeter (px)",
    "major_axis": "Major axis (px)",
    "minor_axis": "Minor axis (px)",
    "elongation": "Elongation (length / width)",
    "orientation": "Orientation (degrees)",
    "solidity": "Solidity",
    "mean_intensity": "Mean intensity",
    "integrated_intensity": "Integrated intensity",
    # Images, as explore.tables describes them
    "brightness": "Brightness (share of the range)",
    "contrast": "Contrast (share of the range)",
    "skewness": "Skewness of intensities",
    "redness": "Redness (−1 to 1)",
    "blueness": "Blueness (−1 to 1)",
    "texture": "Texture (log10)",
    "log_pixels": "Image size (log10 of px)",
    "objects": "Objects per image",
    "foreground": "Foreground (share of pixels)",
    "median_area": "Median object area (px²)",
    # Scores
    "dice": "Dice",
    "iou": "IoU",
    "f1": "F1",
    "map": "Mean average precision",
    "ap50": "Average precision at IoU 0.5",
    "seg": "SEG (mean IoU of true objects)",
    "object_iou": "Mean IoU of true objects",
    "found": "Share of true objects found",
    "count_error": "Mean error of counts (objects)",
    "v_rand": "V_rand",
    "v_info": "V_info",
    "v_rand_at_fitted_threshold": "V_rand at the fitted threshold",
    "pixel_error": "Pixel error (share)",
    # Settings
    "train_images": "Number of training images",
    "hold_out": "Held out for the test",
    "split": "Kind of split",
    "tta": "Copies in test-time augmentation",
    "pixel_size": "Pixel size (µm)",
    "border": "Width of the border class (px)",
    "tile": "Tile (px)",
    "overlap": "Overlap of tiles (px)",
    "steps": "Batches in an epoch",
    "augment": "Strength of augmentation",
    "depth": "Number of poolings",
}
ENDINGS = {
    "_mean": "{}, mean of the images",
    "_median": "{}, median of the images",
    "_worst": "{}, worst image",
    "_pooled": "{}, whole test set as one",
}
UNITS = {"_um2": "µm²", "_um": "µm", "_px": "px"}


def readable(name):
    """Return what an axis says for a column, a score or a setting. A text that is no such name stays as it is.

    >>> readable("feret_max_um"), readable("dice_mean"), readable("learning_rate"), readable("Nuclei per image")
    ('Largest Feret diameter (µm)', 'Dice, mean of the images', 'Learning rate', 'Nuclei per image')
    """
    if name in READABLE or not name.replace("_", "").isalnum() or name != name.lower():
        return READABLE.get(name, name)
    for ending, unit in UNITS.items():
        if name.endswith(ending):
            return f"{readable(name.removesuffix(ending)).partition(' (')[0]} ({unit})"
    for ending, text in ENDINGS.items():
        if name.endswith(ending):
            return text.format(readable(name.removesuffix(ending)))
    return name.replace("_", " ").capitalize()


def images_of(count):
    """Return "1 image" or "5 images"."""
    return "1 image" if count == 1 else f"{count} images"


def short_names(names, most=24):
    """Return names of at most ``most`` letters, the middle replaced by "…". Names that differ stay different.

    A long hexadecimal name (a hash) is shown by its first eight letters. The cut is at ``_``, ``-``, ``.`` or a space if
    there is one near. Where that is not enough to tell names apart, all get longer.
    """
    names = list(map(str, names))
    longest = max(map(len, names), default=0)
    for length in range(most, max(most, longest) + 1):
        extra = length - most
        short = [name[: 8 + extra] if re.fullmatch("[0-9a-f]{32,}", name) else _without_middle(name, length) for name in names]
        if len(set(short)) == len(set(names)):
            return short
    return names


def _without_middle(name, most):
    if len(name) <= most:
        return name
    end = name[-(most * 7 // 10) - 2 :]
    cut = re.search(r"[_\-. ](?=\w)", end[: len(end) // 2])
    end = end[cut.end() if cut else 1 :]
    return f"{name[: most - 1 - len(end)]}…{end}"

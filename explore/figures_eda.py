"""Draw figures of a data set before training: functions from arrays and tables to a matplotlib Figure."""

import textwrap

import numpy as np
from matplotlib.ticker import FuncFormatter
from skimage.segmentation import find_boundaries

from data import ROLES
from figures import BLUE, GREEN, LETTER, ORANGE, VERMILION, as_rgb, aspect, canvas, name_ticks, show_image
from system.names import images_of, readable


def histograms(columns, title, bins=40):
    """Draw a histogram for each entry of ``columns`` {column name or text: values}, and mark the median.

    The axis is logarithmic if values span more than two decades. Values that are not finite are left out.
    """
    figure, axes = canvas(1, len(columns), 3.6 * len(columns), 3.4, title)
    for axis, (name, values) in zip(axes[0], columns.items(), strict=True):
        values = np.asarray(values, float)
        values = values[np.isfinite(values)]
        axis.set(xlabel=readable(name))
        if not len(values):
            axis.text(0.5, 0.5, "no values", ha="center", transform=axis.transAxes)
            continue
        decades = values.min() > 0 and values.max() / values.min() > 100
        edges = np.geomspace(values.min(), values.max(), bins + 1) if decades else bins
        axis.hist(values, edges, color=BLUE)
        axis.axvline(np.median(values), color=VERMILION, linestyle="--", label=f"median {np.median(values):.3g}")
        if decades:
            axis.set(xscale="log")
            axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.legend(frameon=False, loc="lower right", bbox_to_anchor=(1.02, 0.98))  # above the bars
    axes[0, 0].set_ylabel("Count")
    return figure


def cluster_counts(table, chosen, title):
    """Draw silhouette and inertia over the number of clusters, and mark the ``chosen`` number.

    ``table``: the result of ``explore.tables.cluster_counts``.
    """
    figure, axes = canvas(1, 2, 9, 3.6, title)
    labels = {"silhouette": "Silhouette (higher is better)", "inertia": "Inertia (look for the bend)"}
    for axis, (name, label) in zip(axes[0], labels.items(), strict=True):
        axis.plot(table["clusters"], table[name], color=BLUE, marker="o")
        axis.axvline(chosen, color="0.5", linestyle=":", label=f"chosen: {chosen} clusters")
        axis.set(xlabel="Number of k-means clusters", ylabel=label)
        axis.grid(alpha=0.3)
        axis.legend(frameon=False)
    return figure


def profile(table, title):
    """Draw the mean features of each cluster as a coloured table; ``table``: result of ``explore.tables.cluster_profile``."""
    figure, axes = canvas(1, 1, 10, 0.42 * len(table) + 2.2, title)
    axis = axes[0, 0]
    most = np.abs(table.to_numpy()).max()
    shown = axis.imshow(table, cmap="PuOr", vmin=-most, vmax=most, aspect="auto")
    for (row, column), value in np.ndenumerate(table.to_numpy()):
        axis.text(column, row, f"{value:.1f}", ha="center", va="center", color="w" if abs(value) > 0.7 * most else "k")
    name_ticks(axis, [readable(name).partition(" (")[0] for name in table], 6)
    axis.set_yticks(range(len(table)), [textwrap.fill(str(name), 28) for name in table.index])
    axis.set(ylabel="k-means cluster")
    figure.colorbar(shown, label="Standard deviations\nfrom the mean of all images")
    return figure


def roles(table, title, kind="k-means cluster"):
    """Draw the share of each role in each stratum, with the number of images.

    ``table``: the result of ``explore.tables.role_table``. ``kind``: word for a stratum.
    """
    width = max(8, 1.1 * len(table))
    figure, axes = canvas(1, 1, width, 4.2, title)
    axis, bottom = axes[0, 0], np.zeros(len(table))
    for role, colour in zip(ROLES, (BLUE, ORANGE, GREEN), strict=True):
        share = (table[role] / table.sum(axis=1)).to_numpy()
        bars = axis.bar(range(len(table)), share, bottom=bottom, color=colour, label=role)
        axis.bar_label(bars, [str(count) if count else "" for count in table[role]], label_type="center", color="w")
        bottom += share
    name_ticks(axis, table.index, width - 1)
    axis.set(xlabel=kind[0].upper() + kind[1:], ylabel="Share of its images", ylim=(0, 1))
    figure.legend(*axis.get_legend_handles_labels(), frameon=False, ncols=3, loc="outside lower center")
    return figure


def stratum_examples(images, strata, title, columns=6):
    """Draw the strata in rows, with a few images of each; ``strata``: number or name of each image's stratum."""
    known = sorted(set(strata), key=lambda stratum: (isinstance(stratum, str), stratum))  # some strata may have names, some not
    height = 1.75 * aspect(images) * len(known) + 0.6
    figure, axes = canvas(len(known), columns, 1.75 * columns + 1.8, height, title, pictures=True)
    letters = int(1.5 / LETTER)
    for row, stratum in zip(axes, known, strict=True):
        members = [image for image, other in zip(images, strata, strict=True) if other == stratum]
        chosen = members[:: max(1, len(members) // columns)][:columns]
        for axis, image in zip(row, chosen, strict=False):
            show_image(axis, image)
        for axis in row[len(chosen) :]:
            axis.set_axis_off()
        name = f"{textwrap.fill(str(stratum), letters)}\n{images_of(len(members))}"
        row[0].set_ylabel(name, rotation=0, ha="right", va="center")
    return figure


def augmentations(pairs, title, columns=5):
    """Draw each change of an image and, below it, of its mask; ``pairs``: {name: (image (H, W, C) in 0 to 1, mask)}."""
    rows = -(-len(pairs) // columns)
    height = rows * (5 * aspect([image for image, _ in pairs.values()]) + 0.3) + 0.4
    figure, axes = canvas(2 * rows, columns, 2.5 * columns, height, title, pictures=True)
    for place, (name, (image, mask)) in enumerate(pairs.items()):
        above, below = axes[2 * (place // columns) : 2 * (place // columns) + 2, place % columns]
        _show_plain(above, image)
        shown = (mask > 0) - 0.5 * find_boundaries(mask, mode="inner")  # gray outlines separate touching objects
        below.imshow(shown, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        above.set_title(name, fontsize=10)
    for axis in axes[-2:, (len(pairs) - 1) % columns + 1 :].flat:
        axis.set_axis_off()
    return figure


def pairs(images, matches, title):
    """Draw pairs of images that leak, placed as they join: side by side or one below the other.

    ``matches``: at least one ``leaks.Match``.
    """
    figure, axes = canvas(1, len(matches), 3.2 * len(matches), 3.8, title, pictures=True)
    for axis, match in zip(axes[0], matches, strict=True):
        first, second = as_rgb(images[match.first]), as_rgb(images[match.second])
        along = 0 if match.kind == "below" else 1
        axis.imshow(np.concatenate([first, second], axis=along))
        line = axis.axhline if along == 0 else axis.axvline
        line(first.shape[along] - 0.5, color=VERMILION, linewidth=1)
        kind = {"duplicate": "near-duplicates", "below": "joins below", "right": "joins on the right"}[match.kind]
        axis.set_title(f"{kind}\ncorrelation {match.correlation:.2f}", fontsize=10)
    return figure


def side_by_side(pictures, title, columns=3):
    """Draw pictures {name: (H, W, C) in 0 to 1} beside each other, all on the same scale."""
    columns = min(columns, len(pictures))
    rows = -(-len(pictures) // columns)
    height = rows * (4 * aspect(list(pictures.values())) + 0.3) + 0.4
    figure, axes = canvas(rows, columns, 4 * columns, height, title, pictures=True)
    for axis in axes.flat[len(pictures) :]:
        axis.set_axis_off()
    for axis, (name, picture) in zip(axes.flat, pictures.items(), strict=False):
        _show_plain(axis, picture)
        axis.set_title(name)
    return figure


def _show_plain(axis, picture):
    """Draw a picture (H, W, C) in 0 to 1 without stretching its contrast."""
    picture = np.clip(picture, 0, 1)
    axis.imshow(picture[..., :3] if picture.shape[2] in (3, 4) else picture[..., 0], cmap="gray", vmin=0, vmax=1)

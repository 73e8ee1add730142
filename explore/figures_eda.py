"""Figures of a data set, before anything is trained: functions from arrays and tables to a matplotlib Figure."""

import numpy as np
from skimage.segmentation import find_boundaries

from data import ROLES
from figures import BLUE, GREEN, ORANGE, VERMILION, aspect, canvas, images_of, show_image, stretch


def histograms(columns, title, bins=40):
    """A histogram per entry of ``columns`` {label: values}, its median marked; a logarithmic axis where values span decades."""
    figure, axes = canvas(1, len(columns), 3.6 * len(columns), 3.4, title)
    for axis, (label, values) in zip(axes[0], columns.items(), strict=True):
        values = np.asarray(values, float)
        values = values[np.isfinite(values)]
        decades = values.min() > 0 and values.max() / values.min() > 100
        edges = np.geomspace(values.min(), values.max(), bins + 1) if decades else bins
        axis.hist(values, edges, color=BLUE)
        axis.axvline(np.median(values), color=VERMILION, linestyle="--", label=f"median {np.median(values):.3g}")
        axis.set(xlabel=label, xscale="log" if decades else "linear")
        axis.legend(frameon=False, loc="lower right", bbox_to_anchor=(1.02, 0.98))  # above the bars, wherever they are
    axes[0, 0].set_ylabel("Count")
    return figure


def cluster_counts(table, chosen, title):
    """Silhouette and inertia over the number of clusters, the chosen one marked; ``table`` as ``explore.cluster_counts``."""
    figure, axes = canvas(1, 2, 9, 3.6, title)
    labels = {"silhouette": "Silhouette (higher is better)", "inertia": "Inertia (look for the elbow)"}
    for axis, (name, label) in zip(axes[0], labels.items(), strict=True):
        axis.plot(table["clusters"], table[name], color=BLUE, marker="o")
        axis.axvline(chosen, color="0.5", linestyle=":", label=f"{chosen} clusters")
        axis.set(xlabel="Number of clusters", ylabel=label)
        axis.grid(alpha=0.3)
        axis.legend(frameon=False)
    return figure


def profile(table, title):
    """Mean features of each cluster as a coloured table; ``table`` as ``explore.cluster_profile``, in standard deviations."""
    figure, axes = canvas(1, 1, 8, 0.42 * len(table) + 1.6, title)
    axis = axes[0, 0]
    most = np.abs(table.to_numpy()).max()
    axis.imshow(table, cmap="PuOr", vmin=-most, vmax=most, aspect="auto")
    for (row, column), value in np.ndenumerate(table.to_numpy()):
        axis.text(column, row, f"{value:.1f}", ha="center", va="center", color="w" if abs(value) > 0.7 * most else "k")
    axis.set_xticks(range(table.shape[1]), [name.replace("_", " ") for name in table])
    axis.set_yticks(range(len(table)), table.index)
    axis.set(ylabel="Cluster")
    return figure


def roles(table, title):
    """Share of each stratum that has each role, and how many images; ``table`` as ``explore.role_table``."""
    figure, axes = canvas(1, 1, 8, 3.8, title)
    axis, bottom = axes[0, 0], np.zeros(len(table))
    for role, colour in zip(ROLES, (BLUE, ORANGE, GREEN), strict=True):
        share = (table[role] / table.sum(axis=1)).to_numpy()
        bars = axis.bar(range(len(table)), share, bottom=bottom, color=colour, label=role)
        axis.bar_label(bars, [str(count) for count in table[role]], label_type="center", color="w")
        bottom += share
    axis.set_xticks(range(len(table)), table.index)
    axis.set(xlabel="Cluster", ylabel="Share of its images", ylim=(0, 1))
    axis.legend(frameon=False, ncols=3, loc="upper center", bbox_to_anchor=(0.5, 1.16))
    return figure


def stratum_examples(images, strata, title, columns=6):
    """The strata in rows, with a few images of each; ``strata``: number of every image's stratum."""
    numbers = sorted(set(strata))
    height = 1.75 * aspect(images) * len(numbers) + 0.6
    figure, axes = canvas(len(numbers), columns, 1.75 * columns + 0.8, height, title, pictures=True)
    for row, number in zip(axes, numbers, strict=True):
        members = [image for image, stratum in zip(images, strata, strict=True) if stratum == number]
        chosen = members[:: max(1, len(members) // columns)][:columns]
        for axis, image in zip(row, chosen, strict=False):
            show_image(axis, image)
        for axis in row[len(chosen) :]:
            axis.set_axis_off()
        row[0].set_ylabel(f"{number}\n{images_of(len(members))}")
    return figure


def augmentations(pairs, title, columns=5):
    """Each change on an image and, below it, on its mask: ``pairs`` is {name: (image (H, W, C) in 0 to 1, mask)}."""
    rows = -(-len(pairs) // columns)
    height = rows * (5 * aspect([image for image, _ in pairs.values()]) + 0.3) + 0.4
    figure, axes = canvas(2 * rows, columns, 2.5 * columns, height, title, pictures=True)
    for place, (name, (image, mask)) in enumerate(pairs.items()):
        above, below = axes[2 * (place // columns) : 2 * (place // columns) + 2, place % columns]
        picture = np.clip(image, 0, 1)
        above.imshow(picture if picture.shape[2] == 3 else picture[..., 0], cmap="gray", vmin=0, vmax=1)
        shown = (mask > 0) - 0.5 * find_boundaries(mask, mode="inner")  # so that touching objects are seen apart
        below.imshow(shown, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        above.set_title(name, fontsize=10)
    for axis in axes[-2:, (len(pairs) - 1) % columns + 1 :].flat:
        axis.set_axis_off()
    return figure


def pairs(images, matches, title):
    """Pairs of images that leak, one beside or below the other as they join; ``matches``: at least one ``leaks.Match``."""
    figure, axes = canvas(1, len(matches), 3.2 * len(matches), 3.6, title, pictures=True)
    for axis, match in zip(axes[0], matches, strict=True):
        first, second = stretch(images[match.first]), stretch(images[match.second])
        along = 0 if match.kind == "below" else 1
        show_image(axis, np.concatenate([first, second], axis=along))
        line = axis.axhline if along == 0 else axis.axvline
        line(first.shape[along] - 0.5, color=VERMILION, linewidth=1)
        kind = "near-duplicates" if match.kind == "duplicate" else match.kind
        axis.set(title=f"{kind}, correlation {match.correlation:.2f}", xticks=[], yticks=[])
    return figure


def side_by_side(pictures, title, columns=3):
    """Pictures {name: (H, W, C) in 0 to 1} beside each other, all on the same scale."""
    columns = min(columns, len(pictures))
    rows = -(-len(pictures) // columns)
    height = rows * (4 * aspect(list(pictures.values())) + 0.3) + 0.4
    figure, axes = canvas(rows, columns, 4 * columns, height, title, pictures=True)
    for axis in axes.flat[len(pictures) :]:
        axis.set_axis_off()
    for axis, (name, picture) in zip(axes.flat, pictures.items(), strict=False):
        axis.imshow(np.clip(picture, 0, 1), cmap="gray", vmin=0, vmax=1)
        axis.set_title(name)
    return figure

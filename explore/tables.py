"""Tables that describe labelled images (sizes, intensity, colour, texture, objects), and k-means clusters of images."""

from collections.abc import Iterable, Sequence

import cv2
import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.cluster import KMeans
from sklearn.metrics import silhouette_score
from sklearn.preprocessing import StandardScaler

from data import ROLES, Sample, Split
from scores.quality import sharpness

FEATURES = ("brightness", "contrast", "skewness", "redness", "blueness", "texture", "log_pixels")
# Words for a low and a high mean of the feature that distinguishes a cluster from others with the same field and colour.
WORDS = {
    "brightness": ("dim", "light"),
    "contrast": ("faint", "strong"),
    "skewness": ("dense", "sparse"),
    "texture": ("smooth", "fine"),
    "log_pixels": ("small", "large"),
}
HUES = {350: "red", 310: "pink", 255: "purple", 200: "blue", 165: "cyan", 70: "green", 20: "yellow", 0: "red"}  # from degrees
GRAY = 0.03  # a cluster with less redness and blueness is called gray


def size_table(samples: Sequence[Sample]) -> pd.DataFrame:
    """Return the number of images of each size: DataFrame with height, width (px) and images."""
    sizes = pd.DataFrame([sample.mask.shape for sample in samples], columns=["height", "width"])
    return sizes.value_counts().rename("images").reset_index()


def image_table(samples: Sequence[Sample]) -> pd.DataFrame:
    """Return one row per image: its size and ``FEATURES``, which k-means uses. Masks are not used.

    ``brightness``, ``contrast``: mean and standard deviation, as shares of the data type's range. ``skewness``: above
    0 for bright objects on a dark field, below for dark objects on a bright one. ``redness``, ``blueness``: Lab
    colour axes (0 for gray), -1 to 1. ``texture``: log10 of the share of contrast that is finer than 2 px.
    """
    return pd.DataFrame([_describe_image(sample) for sample in samples]).set_index("name")


def mask_table(samples: Sequence[Sample]) -> pd.DataFrame:
    """Return one row per image: ``objects`` (count), ``foreground`` (share of pixels), ``median_area`` (px, NaN if none)."""
    rows = []
    for sample in samples:
        areas = object_areas(sample)
        median = float(np.median(areas)) if len(areas) else np.nan
        rows.append((sample.name, len(areas), float((sample.mask > 0).mean()), median))
    return pd.DataFrame(rows, columns=["name", "objects", "foreground", "median_area"]).set_index("name")


def object_areas(sample: Sample) -> NDArray[np.int64]:
    """Return the area in px of every object of one sample, in the order of their numbers: (objects,)."""
    if sample.mask.max(initial=0) > sample.mask.size:  # bincount would need memory for every number up to the highest
        numbers, areas = np.unique(sample.mask, return_counts=True)
        return areas[numbers > 0]
    areas = np.bincount(sample.mask.ravel())[1:]
    return areas[areas > 0]


def object_diameters(samples: Sequence[Sample]) -> dict[str, float] | None:
    """Return the equivalent diameter of the samples' objects in px, None if there are none.

    "low", "median" and "high" are the 5th, 50th and 95th percentile.
    """
    areas = np.concatenate([object_areas(sample) for sample in samples])
    if not len(areas):
        return None
    low, median, high = np.percentile(2 * np.sqrt(areas / np.pi), (5, 50, 95))
    return {"low": float(low), "median": float(median), "high": float(high)}


def kmeans_clusters(table: pd.DataFrame, count: int = 8, seed: int = 0) -> NDArray[np.int64]:
    """Return the number of each image's cluster, from 0, by k-means on the standardised ``FEATURES``.

    ``table``: the result of ``image_table``. The same table and seed give the same numbers; cluster 0 is the largest. With
    fewer than ``count`` different images, there are as many clusters as different images.
    """
    features = StandardScaler().fit_transform(table[list(FEATURES)])
    count = min(count, len(np.unique(features.round(6), axis=0)))
    labels = KMeans(count, n_init=20, random_state=seed).fit_predict(features)
    by_size = np.argsort(-np.bincount(labels, minlength=count), kind="stable")
    return np.argsort(by_size)[labels]


def cluster_names(table: pd.DataFrame, clusters: ArrayLike) -> dict[int, str]:
    """Return a name for every k-means cluster from its mean features: {number: name}, such as {0: "0 dark, gray, sparse"}.

    The first word is the field: "dark" with bright objects, or "bright" with dark objects. The second word is the colour. The
    third word, from ``WORDS``, distinguishes the cluster from others with the same field and colour. ``table``: the result of
    ``image_table``. ``clusters``: the number of each image's cluster.
    """
    means = table[list(FEATURES)].groupby(np.asarray(clusters)).mean()
    spread = table[list(WORDS)].std(ddof=0)
    kinds = [
        f"{'dark' if row.skewness > 0 else 'bright'}, {_hue(row.brightness, row.redness, row.blueness)}"
        for row in means.itertuples()
    ]
    alike = means[list(WORDS)].groupby(kinds).transform("mean")
    deviations = (means[list(WORDS)] - alike) / spread.where(
        spread > 1e-6, np.inf
    )  # 0 for the only cluster of its field and colour
    names = {}
    for (number, row), kind in zip(deviations.iterrows(), kinds, strict=True):
        feature = row.abs().idxmax()
        high = row[feature] > 0
        if feature == "skewness" and kind.startswith("bright"):  # few dark objects in a bright field make it low, not high
            high = not high
        apart = f", {WORDS[feature][int(high)]}" * bool(row[feature])
        names[int(number)] = f"{number} {kind}{apart}"
    return names


def cluster_counts(table: pd.DataFrame, counts: Iterable[int] = range(2, 15), seed: int = 0) -> pd.DataFrame:
    """Return how well k-means fits with each number of clusters: ``clusters``, ``inertia``, ``silhouette``.

    Only numbers below the number of different images are tried. ``inertia``: mean squared distance of an image to the centre
    of its cluster, in standard deviations of the features (for the elbow method). ``silhouette``: -1 to 1, how much nearer an
    image is to its own cluster than to the next one (Rousseeuw 1987).
    """
    features = StandardScaler().fit_transform(table[list(FEATURES)])
    distinct = len(np.unique(features.round(6), axis=0))
    rows = []
    for count in (count for count in counts if count < distinct):
        fitted = KMeans(count, n_init=20, random_state=seed).fit(features)
        rows.append((count, fitted.inertia_ / len(features), silhouette_score(features, fitted.labels_)))
    return pd.DataFrame(rows, columns=["clusters", "inertia", "silhouette"])


def cluster_profile(table: pd.DataFrame, clusters: ArrayLike) -> pd.DataFrame:
    """Return the mean of every standardised feature in each k-means cluster, one row per cluster."""
    features = StandardScaler().fit_transform(table[list(FEATURES)])
    return pd.DataFrame(features, columns=list(FEATURES)).groupby(np.asarray(clusters)).mean().rename_axis("kmeans_cluster")


def role_table(split: Split) -> pd.DataFrame:
    """Return how many images of each stratum have each role: strata as rows, roles as columns."""
    rows = [(sample.stratum, role) for role, members in split.items() for sample in members]
    table = pd.DataFrame(rows, columns=["stratum", "role"])
    return pd.crosstab(table["stratum"], table["role"]).reindex(columns=list(ROLES), fill_value=0)


def _describe_image(sample):
    image = sample.image.astype(np.float32)
    if np.issubdtype(sample.image.dtype, np.integer):
        image /= np.iinfo(sample.image.dtype).max
    gray, red, blue = image[..., 0], 0.0, 0.0
    if image.shape[2] == 3:
        lab = cv2.cvtColor(image, cv2.COLOR_RGB2LAB)
        gray, red, blue = lab[..., 0] / 100, float(lab[..., 1].mean()) / 128, -float(lab[..., 2].mean()) / 128
    centred = gray - gray.mean()
    spread = max(float(centred.std()), 1e-6)
    return {
        "name": sample.name,
        "height": gray.shape[0],
        "width": gray.shape[1],
        "channels": image.shape[2],
        "brightness": float(gray.mean()),
        "contrast": spread,
        "skewness": float((centred * centred * centred).mean()) / spread**3,
        "redness": red,
        "blueness": blue,
        "texture": sharpness(gray),
        "log_pixels": np.log10(gray.size),
    }


def _hue(brightness, redness, blueness):
    """Return a word for the mean colour of a k-means cluster, from the Lab axes of ``image_table``."""
    if np.hypot(redness, blueness) < GRAY:
        return "gray"
    lab = np.array([[[100 * brightness, 128 * redness, -128 * blueness]]], np.float32)
    hue = cv2.cvtColor(cv2.cvtColor(lab, cv2.COLOR_LAB2RGB), cv2.COLOR_RGB2HSV)[0, 0, 0]  # Lab itself calls blue purple
    return next(word for start, word in HUES.items() if hue >= start)

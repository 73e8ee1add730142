"""Tables that describe a set of annotated images: sizes, intensity, colour, texture, nuclei; and clusters of them."""

import cv2
import numpy as np
import pandas as pd
from sklearn.cluster import KMeans
from sklearn.metrics import silhouette_score
from sklearn.preprocessing import StandardScaler

from data import ROLES
from scores.quality import sharpness

FEATURES = ("brightness", "contrast", "skewness", "redness", "blueness", "texture", "log_pixels")


def size_table(samples):
    """How many images there are of each size: DataFrame with height, width (px) and images."""
    sizes = pd.DataFrame([sample.mask.shape for sample in samples], columns=["height", "width"])
    return sizes.value_counts().rename("images").reset_index()


def image_table(samples):
    """One row per image: size and the statistics that the clusters are made of. Reads the image, not the mask.

    ``brightness``, ``contrast``: mean and standard deviation, as shares of the data type's range. ``skewness``: above
    0 for bright objects on a dark field, below for dark objects on a bright one. ``redness``, ``blueness``: Lab
    colour axes (0 for gray), about -1 to 1. ``texture``: log10 of the share of contrast that is finer than 2 px.
    """
    return pd.DataFrame([_describe_image(sample) for sample in samples]).set_index("name")


def mask_table(samples):
    """One row per image: ``objects`` (count), ``foreground`` (share of pixels), ``median_area`` (px, NaN if none)."""
    rows = []
    for sample in samples:
        areas = object_areas(sample)
        median = float(np.median(areas)) if len(areas) else np.nan
        rows.append((sample.name, len(areas), float((sample.mask > 0).mean()), median))
    return pd.DataFrame(rows, columns=["name", "objects", "foreground", "median_area"]).set_index("name")


def object_areas(sample):
    """Area in px of every object of one sample: int array (objects,)."""
    counts = np.bincount(sample.mask.ravel())[1:]
    return counts[counts > 0]


def object_diameters(samples):
    """Equivalent diameter of the samples' objects, px: {"low", "median", "high"} (5th, 50th, 95th percentile), or None."""
    areas = np.concatenate([object_areas(sample) for sample in samples])
    if not len(areas):
        return None
    low, median, high = np.percentile(2 * np.sqrt(areas / np.pi), (5, 50, 95))
    return {"low": float(low), "median": float(median), "high": float(high)}


def cluster(table, count=8, seed=0):
    """Sort images into kinds by k-means on the standardised ``FEATURES``: int array (images,), 0 to count - 1.

    The same table and seed give the same numbers; cluster 0 is the largest. With fewer than ``count`` different
    images there are as many clusters as different images.
    """
    features = StandardScaler().fit_transform(table[list(FEATURES)])
    count = min(count, len(np.unique(features.round(6), axis=0)))
    labels = KMeans(count, n_init=20, random_state=seed).fit_predict(features)
    by_size = np.argsort(-np.bincount(labels, minlength=count), kind="stable")
    return np.argsort(by_size)[labels]


def cluster_counts(table, counts=range(2, 15), seed=0):
    """How well k-means fits with each number of clusters: DataFrame with ``clusters``, ``inertia``, ``silhouette``.

    There must be more different images than clusters; other numbers are left out.
    ``inertia``: mean squared distance to the own cluster's centre, in standard deviations of the features (the elbow's
    curve). ``silhouette``: -1 to 1, how much nearer the own cluster is than the next one (Rousseeuw 1987).
    """
    features = StandardScaler().fit_transform(table[list(FEATURES)])
    distinct = len(np.unique(features.round(6), axis=0))
    rows = []
    for count in (count for count in counts if count < distinct):
        fitted = KMeans(count, n_init=20, random_state=seed).fit(features)
        rows.append((count, fitted.inertia_ / len(features), silhouette_score(features, fitted.labels_)))
    return pd.DataFrame(rows, columns=["clusters", "inertia", "silhouette"])


def cluster_profile(table, clusters):
    """Mean of every standardised feature in each cluster: DataFrame, clusters as rows."""
    features = StandardScaler().fit_transform(table[list(FEATURES)])
    return pd.DataFrame(features, columns=list(FEATURES)).groupby(np.asarray(clusters)).mean()


def role_table(split):
    """How many images of each stratum have each role: DataFrame, strata as rows, roles as columns."""
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

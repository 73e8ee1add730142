"""The output channels of a network, called maps: their meaning, and the targets that the network learns from labels."""

from dataclasses import asdict, dataclass

import cv2
import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class OutputMaps:
    """The meaning of each map of a network.

    ``classes``: their number, with the background; 2 means objects and background. ``border``: the edges of objects are a
    separate class. ``distance``: the network also learns a distance map.

    Two classes without a border have one map, the probability of foreground (sigmoid). Otherwise there is one map for the
    background, one for each class of objects and a last one for the border; they add up to 1 (softmax). The distance map
    (sigmoid) comes after all of these. It is 0 on the background. In an object, it is the distance to the object's edge,
    divided by the largest distance in this object.
    """

    classes: int = 2
    border: bool = False
    distance: bool = False

    def __post_init__(self):
        if self.classes < 2:
            raise ValueError(f"a network has at least 2 classes, background and objects; found {self.classes}.")

    @property
    def single(self) -> bool:
        """Return whether there is a single map for the classes, the probability of foreground."""
        return self.classes == 2 and not self.border

    @property
    def network_classes(self) -> int:
        """Return the number of classes that the network learns: background, classes of objects, and border if it has one."""
        return self.classes + self.border

    @property
    def class_count(self) -> int:
        """Return the number of maps that belong to classes; these maps come first."""
        return 1 if self.single else self.network_classes

    @property
    def count(self) -> int:
        """Return the number of all maps."""
        return self.class_count + self.distance

    @property
    def names(self) -> list[str]:
        """Return the names of the maps, in their order."""
        inside = ["inside"] if self.classes == 2 else [f"class {number}" for number in range(1, self.classes)]
        classes = ["foreground"] if self.single else ["background", *inside, *(["border"] if self.border else [])]
        return classes + (["distance map"] if self.distance else [])

    def foreground(self, probability: NDArray) -> NDArray:
        """Return the probability of anything but background: (H, W, maps) -> (H, W), 0 to 1."""
        return probability[..., 0] if self.single else 1 - probability[..., 0]

    def inside(self, probability: NDArray) -> NDArray:
        """Return the probability of the inside of objects, without their border: (H, W, maps) -> (H, W), 0 to 1."""
        return probability[..., 1 : self.classes].sum(axis=-1) if self.border else self.foreground(probability)

    def distance_map(self, probability: NDArray) -> NDArray:
        """Return the learned distance map: (H, W, maps) -> (H, W), 0 to 1. Raises ValueError for a network without one."""
        if not self.distance:
            raise ValueError(f"this network has no distance map; its maps are {', '.join(self.names)}.")
        return probability[..., self.class_count]

    def pixel_classes(self, probability: NDArray) -> NDArray[np.uint8]:
        """Return the most probable class of objects for each pixel, also on the background: (H, W), 1 to classes - 1."""
        if self.classes == 2:
            return np.ones(probability.shape[:-1], np.uint8)
        return (1 + probability[..., 1 : self.classes].argmax(axis=-1)).astype(np.uint8)

    def class_map(self, probability: NDArray, threshold: float) -> NDArray[np.uint8]:
        """Decide each pixel: (H, W, maps) -> (H, W), 0 where foreground is at most ``threshold``, else the class number."""
        return self.pixel_classes(probability) * (self.foreground(probability) > threshold)

    def to_json(self) -> dict:
        """Return a dictionary of plain values; ``OutputMaps(**values)`` makes the same object from them."""
        return asdict(self)

    def describe(self) -> list[dict]:
        """Say for the model card what each map means: [{"map", "name", "activation", "meaning"}]."""
        classes = "sigmoid" if self.single else "softmax over the maps of the classes"
        meanings = {
            "foreground": "probability that the pixel belongs to an object",
            "background": "probability that the pixel belongs to no object; foreground is 1 minus this map",
            "inside": "probability that the pixel lies in an object and not at its edge",
            "border": "probability that the pixel lies at the edge of an object, also where two objects touch",
            "distance map": "distance to the object's edge as a share of the object's largest distance, 0 on the background",
        }
        return [
            {
                "map": place,
                "name": name,
                "activation": "sigmoid" if name == "distance map" else classes,
                "meaning": meanings.get(name, f"probability that the pixel belongs to an object of {name}"),
            }
            for place, name in enumerate(self.names)
        ]


def class_target(mask: NDArray, class_map: NDArray, maps: OutputMaps, border: int = 0) -> NDArray[np.uint8]:
    """Return the class number that the network learns for each pixel: uint8 (H, W).

    ``mask``: object numbers (H, W). ``class_map``: the class of each pixel (H, W), 0 for background. ``border``: width in px
    of the border class along the edge of every object, also where it touches another one; it is the last class.
    """
    if not maps.border:
        return class_map.astype(np.uint8)
    return np.where((mask > 0) & edge(mask, border), np.uint8(maps.classes), class_map).astype(np.uint8)


def distance_target(mask: NDArray) -> NDArray[np.float32]:
    """Return the distance map that the network learns from object numbers (H, W): float32 (H, W), 0 to 1.

    The value of a pixel is its distance to the edge of its object, divided by the largest distance in this object; it is 0 on
    the background. Where two objects touch, both have an edge. In a tile, only the part of an object inside the tile counts.
    """
    touching = (mask > 0) & edge(mask, 1)
    inner = distance_to_outside((mask > 0) & ~touching)
    distance = np.where(mask > 0, inner + 1, 0)
    if mask.max(initial=0) > mask.size:  # numbers far apart: a table of all of them may not fit into memory
        mask = np.unique(mask, return_inverse=True)[1].reshape(mask.shape)
    largest = np.ones(int(mask.max(initial=0)) + 1, np.float32)
    np.maximum.at(largest, mask, distance)
    return (distance / largest[mask]).astype(np.float32)


def distance_to_outside(inside: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return the distance of each pixel to the nearest one that is not ``inside``, in px: float32 (H, W), 0 outside."""
    distance = cv2.distanceTransform(inside.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    # OpenCV's last digit depends on where the array lies in memory. The squares are whole numbers.
    return np.sqrt(np.square(distance, dtype=np.float64).round()).astype(np.float32)


def edge(mask: NDArray, width: int) -> NDArray[np.bool_]:
    """Return which pixels have another object or background within ``width`` px: bool (H, W), from object numbers (H, W)."""
    window = np.ones((2 * width + 1, 2 * width + 1), np.uint8)
    exact = np.float32 if mask.max(initial=0) < 2**24 else np.float64  # float32 holds whole numbers up to 2**24
    numbers = mask.astype(exact)
    return cv2.erode(numbers, window) != cv2.dilate(numbers, window)

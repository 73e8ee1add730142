"""Images that tests draw, with truths that a person can count."""

import numpy as np


def squares(dtype=np.uint8, high=200):
    """Two bright squares of 20 px on a dark field, odd sides."""
    image = np.full((75, 131), 10, dtype)
    image[5:25, 5:25], image[40:60, 100:120] = high, high
    return image

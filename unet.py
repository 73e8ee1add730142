"""The U-Net, and its losses and metrics.

This module uses ``keras.layers`` and ``keras.ops`` only, so that it runs on every Keras backend (TensorFlow, JAX, torch).

Source: Ronneberger, Fischer, Brox, "U-Net: Convolutional Networks for Biomedical Image Segmentation",
MICCAI 2015.
"""

import keras
from keras import layers, ops

from maps import OutputMaps

DISTANCE_WEIGHT = 5  # makes this loss as large as the others at the start of training


def build_unet(
    channels: int = 1,
    maps: OutputMaps = OutputMaps(),  # noqa: B008  (frozen)
    filters: int = 64,
    depth: int = 4,
    padding: str = "same",
    dropout: float = 0.5,
    normalisation: bool = True,
    upsampling: str = "transposed",
) -> keras.Model:
    """Build the U-Net for images of any height and width.

    Input: float, (N, H, W, channels). Output: float32, (N, H', W', maps.count), 0 to 1; ``maps`` says what each map means. With
    ``padding="same"``, H' = H, and H and W must be multiples of 2**depth; with "valid", H' = H - 2 * halo(depth).

    ``filters``: feature maps of the first block; each of the ``depth`` poolings doubles them. The paper has 64 and 4.
    ``dropout``: share of the features that training drops at the bottom. ``normalisation``: batch normalisation after each
    convolution. ``upsampling``: "transposed" convolution, or "nearest" neighbours followed by a 2x2 convolution. Raises
    ValueError for a setting that cannot work.
    """
    _check(channels, filters, depth, padding, dropout, upsampling)
    inputs = keras.Input((None, None, channels), name="image")
    x, skips = inputs, []
    for level in range(depth):
        x = _block(x, filters * 2**level, padding, normalisation, f"down{level}")
        skips.append(x)
        x = layers.MaxPooling2D(2, name=f"down{level}_pool")(x)
    x = _block(x, filters * 2**depth, padding, normalisation, "bottom")
    if dropout:
        # With its own seed, the layer draws from its own state on every backend; training sets this state for each epoch.
        x = layers.Dropout(dropout, seed=0, name="bottom_dropout")(x)
    for level in reversed(range(depth)):
        x = _upsample(x, filters * 2**level, upsampling, f"up{level}")
        skip = skips[level]
        if padding == "valid":
            skip = layers.Cropping2D(_skip_crop(level, depth), name=f"up{level}_crop")(skip)
        x = layers.Concatenate(name=f"up{level}_skip")([skip, x])
        x = _block(x, filters * 2**level, padding, normalisation, f"up{level}")
    return keras.Model(inputs, _output(x, maps), name="unet")


def _output(x, maps):
    """Add the last layer, "probability". It is always float32, because bfloat16 has only 8 bits for values near 0 and 1."""
    if maps.single:
        return layers.Conv2D(maps.count, 1, activation="sigmoid", dtype="float32", name="probability")(x)
    name = "class_probability" if maps.distance else "probability"
    classes = layers.Conv2D(maps.class_count, 1, activation="softmax", dtype="float32", name=name)(x)
    if not maps.distance:
        return classes
    distance = layers.Conv2D(1, 1, activation="sigmoid", dtype="float32", name="distance_map")(x)
    return layers.Concatenate(dtype="float32", name="probability")([classes, distance])


def halo(depth: int) -> int:
    """Return the px by which a prediction with "valid" padding is smaller than its image, on each side.

    There are two 3x3 convolutions at each level on the way down, at the bottom, and at each level on the way up: 92 px for
    depth 4, as in the U-Net paper: (572 - 388) / 2.
    """
    return 2 * (2**depth - 1) + 2 * 2**depth + 2 * (2**depth - 1)


def reach(depth: int, upsampling: str = "transposed") -> int:
    """Return the width in px of the edge of a tile where a prediction with "same" padding depends on pixels outside the tile.

    A multiple of 2**depth. It is larger than the halo by up to one pooling cell, because a pixel at the edge of a cell sees the
    whole neighbouring cell. It holds for tiles that begin at a multiple of 2**depth.
    """
    step = 3 if upsampling == "nearest" else 2  # its 2x2 convolution sees one pixel more
    far = step
    for _ in range(depth):
        far = -(-far // 2) + step
    for _ in range(depth):
        far = 2 * far + 2
    return -(-far // 2**depth) * 2**depth


def stages(model: keras.Model, side: int) -> list[tuple[str, int, int]]:
    """Return the output size of each block of a network for a tile of ``side`` px: [(name, height and width, feature maps)]."""
    last = [layer for layer in model.layers if layer.name.endswith("_relu2") or layer.name == "probability"]
    blocks = keras.Model(model.inputs, [layer.output for layer in last])
    shapes = blocks.compute_output_shape((1, side, side, model.input_shape[-1]))
    return [(layer.name.removesuffix("_relu2"), shape[1], shape[-1]) for layer, shape in zip(last, shapes, strict=True)]


def _block(x, filters, padding, normalisation, name):
    for i in (1, 2):
        x = layers.Conv2D(
            filters,
            3,
            padding=padding,
            use_bias=not normalisation,
            kernel_initializer="he_normal",
            name=f"{name}_conv{i}",
        )(x)
        if normalisation:
            # Momentum 0.95 averages over some 20 batches. That is enough, because a batch holds half a million pixels, and
            # the averages must be right even after a short training.
            x = layers.BatchNormalization(momentum=0.95, name=f"{name}_norm{i}")(x)
        x = layers.ReLU(name=f"{name}_relu{i}")(x)
    return x


def _upsample(x, filters, upsampling, name):
    if upsampling == "transposed":
        return layers.Conv2DTranspose(filters, 2, strides=2, name=f"{name}_transposed")(x)
    x = layers.UpSampling2D(2, interpolation="nearest", name=f"{name}_nearest")(x)
    return layers.Conv2D(filters, 2, padding="same", name=f"{name}_conv")(x)


def _skip_crop(level, depth):
    """Return the px that a skip connection loses on each side with "valid" padding, to fit what comes from below: 4, 16, ..."""
    return halo(depth - level - 1) * 2


def _check(channels, filters, depth, padding, dropout, upsampling):
    for name, value, least in (
        ("channels", channels, 1),
        ("filters", filters, 1),
        ("depth", depth, 1),
    ):
        if not isinstance(value, int) or value < least:
            raise ValueError(f"build_unet: {name} is {value!r}, expected a whole number of at least {least}.")
    if padding not in ("same", "valid"):
        raise ValueError(f"build_unet: padding is {padding!r}, expected 'same' or 'valid'.")
    if upsampling not in ("transposed", "nearest"):
        raise ValueError(f"build_unet: upsampling is {upsampling!r}, expected 'transposed' or 'nearest'.")
    if not 0 <= dropout < 1:
        raise ValueError(f"build_unet: dropout is {dropout!r}, expected a share of at least 0 and below 1.")


@keras.saving.register_keras_serializable("unet")
class PixelLoss(keras.losses.Loss):
    """Compute the loss between class numbers and probabilities: one value per pixel, float32 in every compute precision.

    y_true: (N, H, W, 1), class numbers of ``maps.class_target``. With a distance map it is (N, H, W, 2), and the absolute
    error of this map, times ``DISTANCE_WEIGHT``, is added to the loss. y_pred: (N, H, W, maps.count). Sample weights (N, H, W)
    with mean 1 change the weight of single pixels in the cross-entropy, and do not change the Dice loss, which has one value
    per image. ``kind``: "cross_entropy", "dice", "cross_entropy_dice" (their sum) or "focal" (Lin et al. 2017, gamma 2).
    ``maps``: an OutputMaps or its plain values.
    """

    def __init__(self, kind="cross_entropy_dice", maps=OutputMaps(), name="loss", **kwargs):  # noqa: B008
        super().__init__(name=name, dtype="float32", **kwargs)
        if kind not in ("cross_entropy", "dice", "cross_entropy_dice", "focal"):
            raise ValueError(f"loss is {kind!r}; choose cross_entropy, dice, cross_entropy_dice or focal.")
        self.kind, self.maps = kind, maps if isinstance(maps, OutputMaps) else OutputMaps(**maps)

    def call(self, y_true, y_pred):
        shares = all_classes(y_pred, self.maps)
        truth = ops.one_hot(ops.cast(y_true[..., 0], "int32"), self.maps.network_classes, dtype="float32")
        loss = self._of_classes(truth, shares)
        if self.maps.distance:
            error = ops.abs(ops.cast(y_true[..., 1], "float32") - y_pred[..., self.maps.class_count])
            loss = loss + DISTANCE_WEIGHT * error
        return loss

    def _of_classes(self, truth, shares):
        """(N, H, W, classes) twice -> (N, H, W)"""
        if self.kind == "focal":
            right = ops.sum(truth * shares, axis=-1)
            return ops.square(1 - right) * self._cross_entropy(truth, shares)
        pixels = self._cross_entropy(truth, shares) if self.kind != "dice" else ops.zeros_like(truth[..., 0])
        return pixels if self.kind == "cross_entropy" else pixels + _dice_loss(truth, shares)

    def _cross_entropy(self, truth, shares):
        if self.maps.single:
            return ops.binary_crossentropy(truth[..., 1:], shares[..., 1:])[..., 0]
        return ops.categorical_crossentropy(truth, shares)

    def get_config(self):
        return {**super().get_config(), "kind": self.kind, "maps": self.maps.to_json()}


class Overlap(keras.metrics.Metric):
    """Compute Dice or IoU of the objects over an epoch, exactly: pixels are counted, and the end computes the ratio.

    With several classes of objects, it is the mean over these classes. A border class counts as object. Pixels with sample
    weight 0 do not count. The counts are exact up to 2**51 pixels; a float32 would lose single pixels above 2**24.
    """

    BASE = 2**20

    def __init__(self, kind="dice", maps=OutputMaps(), name=None, **kwargs):  # noqa: B008
        super().__init__(name=name or kind, **kwargs)
        self.kind, self.maps = kind, maps
        # Rows: pixels that are true and predicted, true, predicted. Columns: classes of objects. Counts: high * BASE + low.
        shape = (3, 1 if maps.border or maps.single else maps.classes - 1)
        self.low = self.add_variable(shape, "zeros", dtype="int32", name="low")
        self.high = self.add_variable(shape, "zeros", dtype="int32", name="high")

    def update_state(self, y_true, y_pred, sample_weight=None):
        truth, predicted = self._decide(y_true[..., :1], all_classes(y_pred, self.maps))
        if sample_weight is not None:
            counted = ops.expand_dims(ops.reshape(sample_weight, ops.shape(truth)[:-1]) > 0, -1)
            truth, predicted = ops.logical_and(truth, counted), ops.logical_and(predicted, counted)
        rows = (ops.logical_and(truth, predicted), truth, predicted)
        low = self.low + ops.stack([ops.sum(ops.cast(row, "int32"), axis=(0, 1, 2)) for row in rows])
        self.high.assign_add(low // self.BASE)
        self.low.assign(low % self.BASE)

    def _decide(self, numbers, shares):
        """Return where each class of objects is true and where it is predicted: twice bool (N, H, W, classes of objects)."""
        if self.maps.border or self.maps.single:
            return numbers > 0, shares[..., :1] < 0.5
        count = self.maps.classes
        truth = ops.one_hot(ops.cast(numbers[..., 0], "int32"), count)
        return truth[..., 1:] > 0.5, ops.one_hot(ops.argmax(shares, axis=-1), count)[..., 1:] > 0.5

    def result(self):
        both, true, predicted = ops.unstack(ops.cast(self.high, "float32") * self.BASE + ops.cast(self.low, "float32"))
        dice = self.kind == "dice"
        part, whole = (2 * both, true + predicted) if dice else (both, true + predicted - both)
        return ops.mean(ops.where(whole > 0, part / ops.maximum(whole, 1), 1.0))


def all_classes(y_pred, maps):
    """Return the probabilities of all classes, background first, no distance map: (N, H, W, maps) -> (N, H, W, classes)."""
    shares = y_pred[..., : maps.class_count]
    return ops.concatenate([1 - shares, shares], axis=-1) if maps.single else shares


def _dice_loss(truth, shares, smooth=1.0):
    """Return one minus the soft Dice of all classes but background, one value per image (Milletari et al. 2016): (N, 1, 1)."""
    truth, shares = truth[..., 1:], shares[..., 1:]
    both = ops.sum(truth * shares, axis=(1, 2))  # (N, H, W, K) -> (N, K)
    total = ops.sum(truth + shares, axis=(1, 2))
    dice = (2 * both + smooth) / (total + smooth)
    return ops.reshape(1 - ops.mean(dice, axis=-1), (-1, 1, 1))

"""The U-Net, and the losses and metrics it is compiled with.

Only ``keras.layers`` and ``keras.ops``, so that every Keras backend (TensorFlow, JAX, torch) runs it.

Source: Ronneberger, Fischer, Brox, "U-Net: Convolutional Networks for Biomedical Image Segmentation",
MICCAI 2015.
"""

import keras
from keras import layers, ops

DISTANCE_WEIGHT = 5  # as much as the other losses weigh, at the start


def build_unet(
    channels=1,
    classes=2,
    filters=64,
    depth=4,
    padding="same",
    dropout=0.5,
    normalisation=True,
    upsampling="transposed",
    distance=False,
):
    """Build the U-Net for images of any height and width.

    Input: float, (N, H, W, channels). Output: float32 probabilities in [0, 1], (N, H', W', maps), where
    maps = 1 (foreground, sigmoid) for two classes and maps = classes (softmax) for more. With ``distance`` two classes
    have a second map (sigmoid), of how deep a pixel lies in its object. With ``padding="same"``
    H' = H, and H and W must be multiples of 2**depth; with "valid" H' = H - 2 * halo(depth).

    ``filters``: feature maps of the first block, doubled at each of the ``depth`` poolings; 64 and 4 are the paper's.
    ``dropout``: share dropped at the bottom. ``normalisation``: batch normalisation after each convolution.
    ``upsampling``: "transposed" convolution, or "nearest" neighbours followed by a 2x2 convolution.
    Raises ValueError for a setting that no network can have.
    """
    _check(channels, classes, filters, depth, padding, dropout, upsampling)
    if distance and classes > 2:
        raise ValueError(f"build_unet: distance is for two classes, not for {classes}.")
    inputs = keras.Input((None, None, channels), name="image")
    x, skips = inputs, []
    for level in range(depth):
        x = _block(x, filters * 2**level, padding, normalisation, f"down{level}")
        skips.append(x)
        x = layers.MaxPooling2D(2, name=f"down{level}_pool")(x)
    x = _block(x, filters * 2**depth, padding, normalisation, "bottom")
    if dropout:
        # With a seed of its own every backend draws from the layer's state, which training sets for each epoch.
        x = layers.Dropout(dropout, seed=0, name="bottom_dropout")(x)
    for level in reversed(range(depth)):
        x = _upsample(x, filters * 2**level, upsampling, f"up{level}")
        skip = skips[level]
        if padding == "valid":
            skip = layers.Cropping2D(_skip_crop(level, depth), name=f"up{level}_crop")(skip)
        x = layers.Concatenate(name=f"up{level}_skip")([skip, x])
        x = _block(x, filters * 2**level, padding, normalisation, f"up{level}")
    # float32 whatever the compute precision: bfloat16 has 8 bits for a probability near 0 or 1.
    maps, activation = (1 + distance, "sigmoid") if classes == 2 else (classes, "softmax")
    outputs = layers.Conv2D(maps, 1, activation=activation, dtype="float32", name="probability")(x)
    return keras.Model(inputs, outputs, name="unet")


def halo(depth):
    """Pixels by which a valid-padded prediction is smaller than its image, per side.

    Two 3x3 convolutions at each level on the way down, at the bottom and on the way up: 92 px for depth 4, which is
    (572 - 388) / 2 of the U-Net paper.
    """
    return 2 * (2**depth - 1) + 2 * 2**depth + 2 * (2**depth - 1)


def reach(depth, upsampling="transposed"):
    """Pixels at a tile's border whose same-padded prediction can depend on what lies outside the tile.

    A multiple of 2**depth, and up to one such pooling cell more than the halo: a pixel at the edge of its cell sees
    all of the neighbouring cells. Valid for tiles whose origin is a multiple of 2**depth.
    """
    step = 3 if upsampling == "nearest" else 2  # its 2x2 convolution looks one pixel farther
    far = step
    for _ in range(depth):
        far = -(-far // 2) + step
    for _ in range(depth):
        far = 2 * far + 2
    return -(-far // 2**depth) * 2**depth


def stages(model, side):
    """What the blocks of a network make of a tile of ``side`` px: [(name, height and width in px, feature maps)]."""
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
            # Averages over some 20 batches: a batch holds half a million pixels, and a short training must end with
            # the right ones.
            x = layers.BatchNormalization(momentum=0.95, name=f"{name}_norm{i}")(x)
        x = layers.ReLU(name=f"{name}_relu{i}")(x)
    return x


def _upsample(x, filters, upsampling, name):
    if upsampling == "transposed":
        return layers.Conv2DTranspose(filters, 2, strides=2, name=f"{name}_transposed")(x)
    x = layers.UpSampling2D(2, interpolation="nearest", name=f"{name}_nearest")(x)
    return layers.Conv2D(filters, 2, padding="same", name=f"{name}_conv")(x)


def _skip_crop(level, depth):
    """Pixels by which a valid-padded skip connection is wider than what comes up, per side (4, 16, 40, 88)."""
    return halo(depth - level - 1) * 2


def _check(channels, classes, filters, depth, padding, dropout, upsampling):
    for name, value, least in (
        ("channels", channels, 1),
        ("classes", classes, 2),
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
        raise ValueError(f"build_unet: dropout is {dropout!r}, expected a share from 0 up to, but not including, 1.")


@keras.saving.register_keras_serializable("unet")
class PixelLoss(keras.losses.Loss):
    """A loss between class numbers and probabilities, one value per pixel, float32 whatever the compute precision.

    y_true: (N, H, W, 1), 0/1 or class numbers. y_pred: (N, H, W, maps) as ``build_unet`` gives; with two maps y_true has
    two, and the absolute error of the second, times ``DISTANCE_WEIGHT``, is added. A sample weight of
    (N, H, W) with mean 1 weighs the pixels of the cross-entropy and leaves the Dice loss, one value per image, as it is.
    ``kind``: "cross_entropy", "dice", "cross_entropy_dice" (their sum) or "focal" (Lin et al. 2017, gamma 2).
    """

    def __init__(self, kind="cross_entropy_dice", name="loss", **kwargs):
        super().__init__(name=name, dtype="float32", **kwargs)
        if kind not in ("cross_entropy", "dice", "cross_entropy_dice", "focal"):
            raise ValueError(f"loss is {kind!r}; choose cross_entropy, dice, cross_entropy_dice or focal.")
        self.kind = kind

    def call(self, y_true, y_pred):
        if y_pred.shape[-1] == 2:
            depth_error = ops.abs(ops.cast(y_true[..., 1], "float32") - y_pred[..., 1])
            return self.call(y_true, y_pred[..., :1]) + DISTANCE_WEIGHT * depth_error
        truth = one_hot(y_true, y_pred.shape[-1])
        if self.kind == "focal":
            right = ops.sum(truth * with_background(y_pred), axis=-1)  # (N, H, W, K) -> (N, H, W)
            return ops.square(1 - right) * _cross_entropy(truth, y_pred)
        pixels = _cross_entropy(truth, y_pred) if self.kind != "dice" else ops.zeros_like(truth[..., 0])
        return pixels if self.kind == "cross_entropy" else pixels + _dice_loss(truth, y_pred)

    def get_config(self):
        return {**super().get_config(), "kind": self.kind}


class Overlap(keras.metrics.Metric):
    """Dice or IoU of the foreground, exact over an epoch: pixels are counted, and the ratio is taken at the end.

    With more than two classes, the mean over the classes above 0, or with ``merged`` all of them as one. Pixels of
    sample weight 0 do not count. The counts stay exact up to 2**51 pixels: a float32 would lose single pixels from 2**24
    on.
    """

    BASE = 2**20

    def __init__(self, kind="dice", maps=1, merged=False, name=None, **kwargs):
        super().__init__(name=name or kind, **kwargs)
        self.kind, self.maps, self.merged = kind, maps, merged
        # Rows: pixels that are true and predicted, true, predicted. Columns: classes. Counts: high * BASE + low.
        shape = (3, 1 if merged else max(1, maps - 1))
        self.low = self.add_variable(shape, "zeros", dtype="int32", name="low")
        self.high = self.add_variable(shape, "zeros", dtype="int32", name="high")

    def update_state(self, y_true, y_pred, sample_weight=None):
        y_pred = y_pred[..., :1] if y_pred.shape[-1] == 2 else y_pred
        if self.merged:
            truth, predicted = y_true > 0, with_background(y_pred)[..., :1] < 0.5
        else:
            truth = one_hot(y_true, self.maps)[..., 1:] > 0.5
            decided = y_pred if self.maps == 1 else ops.one_hot(ops.argmax(y_pred, axis=-1), self.maps)[..., 1:]
            predicted = decided > 0.5
        if sample_weight is not None:
            counted = ops.expand_dims(ops.reshape(sample_weight, ops.shape(truth)[:-1]) > 0, -1)
            truth, predicted = ops.logical_and(truth, counted), ops.logical_and(predicted, counted)
        rows = (ops.logical_and(truth, predicted), truth, predicted)
        low = self.low + ops.stack([ops.sum(ops.cast(row, "int32"), axis=(0, 1, 2)) for row in rows])
        self.high.assign_add(low // self.BASE)
        self.low.assign(low % self.BASE)

    def result(self):
        both, true, predicted = ops.unstack(ops.cast(self.high, "float32") * self.BASE + ops.cast(self.low, "float32"))
        dice = self.kind == "dice"
        part, whole = (2 * both, true + predicted) if dice else (both, true + predicted - both)
        return ops.mean(ops.where(whole > 0, part / ops.maximum(whole, 1), 1.0))


def one_hot(y_true, maps):
    """Class numbers (N, H, W, 1) as float32 shares of every class, background first: (N, H, W, 2 or maps)."""
    return ops.one_hot(ops.cast(y_true[..., 0], "int32"), max(2, maps), dtype="float32")


def with_background(y_pred):
    """Probabilities of every class, background first: a single map gets its complement beside it."""
    return ops.concatenate([1 - y_pred, y_pred], axis=-1) if y_pred.shape[-1] == 1 else y_pred


def _cross_entropy(truth, y_pred):
    """(N, H, W, K), (N, H, W, maps) -> (N, H, W)"""
    if y_pred.shape[-1] == 1:
        return ops.binary_crossentropy(truth[..., 1:], y_pred)[..., 0]
    return ops.categorical_crossentropy(truth, y_pred)


def _dice_loss(truth, y_pred, smooth=1.0):
    """One minus the soft Dice of the classes above 0, a value per image (Milletari et al. 2016): (N, 1, 1)."""
    truth, share = truth[..., 1:], with_background(y_pred)[..., 1:]
    both = ops.sum(truth * share, axis=(1, 2))  # (N, H, W, K) -> (N, K)
    total = ops.sum(truth + share, axis=(1, 2))
    dice = (2 * both + smooth) / (total + smooth)
    return ops.reshape(1 - ops.mean(dice, axis=-1), (-1, 1, 1))

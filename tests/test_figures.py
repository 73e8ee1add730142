"""Figures that show images hold what they say: colours, outlines, one picture for each sample, names that fit."""

import itertools

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

import figures

IMAGE = np.arange(16, dtype=np.uint16).reshape(4, 4, 1) * 4000
TRUTH = np.array([[1, 1, 0, 0]] * 4)
PREDICTED = np.array([[1, 0, 1, 0]] * 4)


def disc(side=60, radius=20):
    """A disc in the middle of a square: int (H, W)."""
    y, x = np.mgrid[:side, :side] - side // 2
    return (np.hypot(y, x) < radius).astype(int)


def test_the_overlay_tints_each_kind_of_pixel():
    picture = figures.overlay(np.zeros((4, 4, 1), np.uint8), TRUTH, PREDICTED)
    assert picture.shape == (4, 4, 3)
    sky, yellow, vermilion, nothing = picture[0]
    assert sky[2] > sky[0]
    assert yellow[1] > 0.4 > vermilion[1] and yellow[0] > 0.4 < vermilion[0]
    assert nothing.tolist() == [0, 0, 0]


def test_sixteen_bit_images_are_stretched_to_white():
    assert figures.stretch(IMAGE).min() == 0 and figures.stretch(IMAGE).max() == 1
    assert (figures.stretch(np.full((2, 2, 1), 9)) == 0).all()


@pytest.mark.parametrize(("channels", "coloured"), [(1, False), (2, False), (3, True), (4, True), (5, False)])
def test_images_of_any_number_of_channels_are_shown(channels, coloured):
    image = np.zeros((4, 6, channels), np.uint8)
    image[:2, :, 0] = 200
    picture = figures.as_rgb(image)
    assert picture.shape == (4, 6, 3) and picture[0, 0].tolist() == [1, 0, 0] if coloured else [1, 1, 1]
    figures.three_rows([image], [image[..., 0] > 0], [image[..., 0] > 0], ["a"], "t")


def test_large_images_are_shown_small_and_keep_their_shape():
    assert figures.as_rgb(np.zeros((100, 300, 1), np.uint8), 60).shape == (20, 60, 3)
    assert figures.as_rgb(np.zeros((1, 5000, 1), np.float32), 60).shape == (1, 60, 3)
    assert figures.as_rgb(np.zeros((10, 30, 1), np.uint16), 60).shape == (10, 30, 3)


@pytest.mark.parametrize("count", [1, 2, 5])
def test_one_column_per_sample(count):
    images, masks, names = [IMAGE] * count, [TRUTH] * count, [f"n{i}" for i in range(count)]
    rows = figures.three_rows(images, masks, masks, names, "title")
    assert len(rows.axes) == 3 * count
    assert [axis.get_title() for axis in rows.axes[:count]] == names
    overlays = figures.overlays(images, masks, masks, names, "title")
    assert [axis.get_title() for axis in overlays.axes if axis.axison] == names
    assert overlays.get_suptitle() == "title"


def test_colour_images_stay_in_colour():
    figure = figures.three_rows([np.zeros((4, 4, 3), np.uint8)], [TRUTH], [TRUTH], ["a"], "t")
    assert figure.axes[0].images[0].get_array().shape == (4, 4, 3)


# What the field looks like: dark as fluorescence, bright as bright field, and pink as stained tissue.
@pytest.mark.parametrize("background", [(5, 5, 5), (245, 245, 245), (225, 160, 200), (240, 228, 66)])
@pytest.mark.parametrize("side", [60, 1500])
def test_outlines_differ_from_every_background(background, side):
    labels = disc(side, side // 3)
    image = np.full((side, side, 3), background, np.uint8)
    image[: side // 20], image[-side // 20 :] = 0, 255  # so that stretching changes nothing
    picture = figures.outlined(image, labels).astype(int)
    row = picture[side // 2]  # from left to right through the disc
    edge = np.flatnonzero(labels[side // 2])[0]
    width = max(1, side // figures.PX_PER_LINE)
    dark, bright = row[edge - 1], row[edge]
    assert dark.max() < 20 and np.abs(bright - np.array(to_rgb(figures.YELLOW)) * 255).max() < 1
    drawn = np.abs(row - image[side // 2]).max(axis=1) > 60  # a clear difference
    assert drawn[edge - width : edge + width].sum() >= (width + 1) // 2
    assert not drawn[: edge - width].any() and not drawn[edge + width : side // 2].any()


def test_touching_objects_are_outlined_apart_and_the_input_stays():
    labels, image = np.zeros((20, 40), int), np.zeros((20, 40, 1), np.uint8)
    labels[5:15, 5:20], labels[5:15, 20:35] = 1, 2
    before = labels.copy(), image.copy()
    picture = figures.outlined(image, labels)
    assert (picture[10, [19, 20]] == picture[10, 5]).all() and (picture[10, [18, 21]] == 0).all()
    np.testing.assert_array_equal(labels, before[0])
    np.testing.assert_array_equal(image, before[1])


def test_outlines_of_a_large_image_are_drawn_on_a_small_picture():
    picture = figures.outlined(np.zeros((3000, 2000, 1), np.uint8), np.repeat(disc(2000, 700), 1, 0)[np.arange(3000) // 2], 600)
    assert picture.shape == (600, 400, 3) and picture.any()


def test_few_wide_lines_on_many_small_objects():
    """Objects of 6 px in a large image must not disappear below their outlines."""
    labels = np.kron(np.arange(1, 10001).reshape(100, 100), np.pad(np.ones((6, 6), int), 7))
    picture = figures.outlined(np.full((*labels.shape, 1), 128, np.uint8), labels)
    middle = picture[9:11, 9:11].astype(int)
    assert (np.ptp(middle, axis=-1) == 0).all()  # gray, as the image


def test_the_outlines_of_both_are_drawn():
    figure = figures.outlines([np.zeros((60, 60, 1), np.uint8)], {"truth": [disc()], "prediction": [disc(60, 25)]}, ["a"], "t")
    picture = figure.axes[0].images[0].get_array()
    assert picture.shape[0] >= figures.SHOWN
    colours = {tuple(colour) for colour in picture.reshape(-1, 3).round(3).tolist()}
    assert {tuple(np.round(to_rgb(figures.OUTLINES[layer]), 3).tolist()) for layer in ("truth", "prediction")} < colours
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["truth", "prediction"]


def test_an_equal_prediction_does_not_hide_the_truth():
    figure = figures.outlines([np.zeros((60, 60, 1), np.uint8)], {"truth": [disc()], "prediction": [disc()]}, ["a"], "t")
    picture = figure.axes[0].images[0].get_array().round(3)
    for layer in ("truth", "prediction"):
        assert (picture == np.round(to_rgb(figures.OUTLINES[layer]), 3)).all(axis=-1).sum() > 500


def test_classes_have_their_colours_and_objects_their_outlines():
    image, classes, objects = np.zeros((20, 40, 1), np.uint8), np.zeros((20, 40), np.uint8), np.zeros((20, 40), int)
    classes[2:18, 2:20], classes[2:18, 24:38] = 1, 3
    objects[2:18, 2:11], objects[2:18, 11:20], objects[2:18, 24:38] = 1, 2, 3
    picture = figures.class_overlay(image, classes, ["a", "b", "c"], objects, opacity=0.5)
    assert picture.dtype == np.uint8 and picture.shape == (20, 40, 3)
    for column, colour in ((6, figures.CLASSES[0]), (30, figures.CLASSES[2])):
        expected = np.array(to_rgb(colour)) * 255
        np.testing.assert_allclose(picture[10, column], expected / 2, atol=1)  # tinted
    for column in (10, 11):  # where two objects of a class touch
        np.testing.assert_allclose(picture[10, column], np.array(to_rgb(figures.CLASSES[0])) * 255, atol=1)
    alone = figures.class_overlay(image, classes, ["a", "b", "c"])
    assert (alone[10, 10] == alone[10, 6]).all()


def test_a_class_without_a_name_is_refused():
    with pytest.raises(ValueError, match="holds class 2, but there are names for 1 classes"):
        figures.class_overlay(IMAGE, TRUTH * 2, ["a"])


@pytest.mark.parametrize("count", [1, 7, 20])
def test_all_classes_have_different_colours(count):
    assert len(set(figures.class_colours(count))) == count


@pytest.mark.parametrize("shape", [(30, 40, 3), (300, 1200, 3)])
@pytest.mark.parametrize("names", [["nucleus"], ["a rather long name of a class", "b"], [f"class {n}" for n in range(1, 13)]])
def test_a_legend_stands_below_the_picture(shape, names):
    picture = np.full(shape, 7, np.uint8)
    shown = figures.with_legend(picture, names)
    assert shown.dtype == np.uint8 and shown.shape[0] > shape[0] and shown.shape[1] == max(240, shape[1])
    left = (shown.shape[1] - shape[1]) // 2
    np.testing.assert_array_equal(shown[: shape[0], left : left + shape[1]], picture)
    strip = shown[shape[0] :].reshape(-1, 3)
    for colour in figures.class_colours(len(names)):
        assert (np.abs(strip - np.array(to_rgb(colour)) * 255).max(axis=1) < 2).sum() > 20


def test_several_classes_are_drawn_in_colour_with_a_legend():
    classes = [np.array([[1, 1, 0, 2]] * 4, np.uint8)] * 2
    for draw in (figures.three_rows, figures.overlays):
        figure = draw([IMAGE] * 2, classes, [TRUTH.astype(np.uint8)] * 2, ["a", "b"], "t", ["round", "long"])
        assert [text.get_text() for text in figure.legends[0].get_texts()] == ["round", "long"]
        assert [axis.get_title() for axis in figure.axes[:2]] == ["a", "b"]


def test_a_class_has_the_same_colour_in_truth_and_prediction():
    truth, predicted = np.full((4, 4), 2, np.uint8), np.array([[1, 1, 2, 2]] * 4, np.uint8)
    axes = figures.three_rows([IMAGE], [truth], [predicted], ["a"], "t", ["round", "long"]).axes
    true, found = (axis.images[0].get_array() for axis in axes[1:3])
    assert (true[2, 3] == found[2, 3]).all() and (true[2, 0] != found[2, 0]).any()


def test_wide_images_make_low_rows():
    wide, mask = np.zeros((4, 16, 1), np.uint8), np.zeros((4, 16), int)
    heights = [
        figures.three_rows([image], [truth], [truth], ["a"], "t").get_figheight()
        for image, truth in ((wide, mask), (IMAGE, TRUTH))
    ]
    assert heights[0] < 0.5 * heights[1]


def drawn_boxes(figure, axis):
    """The boxes of the names below an axis, in px, from left to right."""
    figure.draw_without_rendering()
    return [text.get_window_extent() for text in axis.get_xticklabels()]


@pytest.mark.parametrize(
    "names",
    [
        ["0 dark, gray, sparse", "1 dark, gray, dense and smooth", "2 bright, purple, fine", "3 bright, gray"],
        ["independent, DIC-C2DH-HeLa-01", "independent, PhC-C2DH-U373-01", "shuffled, PhC-C2DH-U373-02"],
        list(range(8)),
    ],
)
def test_long_names_do_not_overlap(names):
    figure, axes = figures.canvas(1, 1, 6, 4, "t")
    figures.name_ticks(axes[0, 0], names, 5, [f"{n} images" for n in range(len(names))])
    turned = axes[0, 0].get_xticklabels()[0].get_rotation() > 0
    boxes = drawn_boxes(figure, axes[0, 0])
    assert turned or all(left.x1 <= right.x0 for left, right in itertools.pairwise(boxes))
    shown = [text.get_text().replace("\n", " ") for text in axes[0, 0].get_xticklabels()]
    assert shown == [f"{name} {n} images" for n, name in enumerate(names)]


def test_a_long_title_is_not_cut_off():
    figure, _ = figures.canvas(1, 1, 4, 3, "Nuclei of the Data Science Bowl 2018, simulated images: the worst of the test set")
    assert isinstance(figure, Figure) and "\n" in figure.get_suptitle()
    figure.draw_without_rendering()
    box = figure._suptitle.get_window_extent()
    assert box.x0 >= 0 and box.x1 <= figure.bbox.x1

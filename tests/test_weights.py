"""The shipped networks, their model cards and split.json; limits of flags, fitted on the validation set."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from drawn import nuclei
from scipy import ndimage
from test_results import ABSOLUTE

from data import Split
from devices import in_precision
from maps import OutputMaps
from metrics import count_pixels, pixel_scores
from recipe import read_recipe
from scores import quality
from scores.intervals import MINIMUM_GROUPS
from segmentation import open_network, segment
from simulate.nuclei import nuclei as simulate_nuclei
from system.backend import keras
from system.files import read_json, write_json
from unet import build_unet
from weights import make

WEIGHTS = Path(make.__file__).parent
SHIPPED = sorted(WEIGHTS.glob("*.keras"))

GOOD = {
    "objects": 9, "foreground_share": 0.2, "contrast_to_noise": 40.0, "saturated_share": 0.001, "sharpness": -0.8,
    "doubtful_share": 0.01, "disagreement": 0.02, "diameter": 20.0, "diameter_ratio": 1.0, "dice": 0.95,
}  # fmt: skip


def table(*changes):
    return pd.DataFrame([GOOD | change for change in changes])


def test_a_limit_lies_between_the_good_and_the_bad():
    doubt = table({}, {"doubtful_share": 0.03}, {"doubtful_share": 0.05, "dice": 0.6}, {"doubtful_share": 0.07, "dice": 0.5})
    limits = make.fit_limits(doubt)
    assert limits["in doubt"] == pytest.approx(0.04)
    assert {name for name in limits if limits[name] != quality.LIMITS[name]} == {"in doubt"}
    assert quality.flags(doubt.iloc[2].to_dict(), limits) == ["in doubt"] and quality.flags(GOOD, limits) == []


def test_a_limit_beyond_which_the_flag_would_be_untrue_is_not_taken():
    full = table({"foreground_share": 0.1}, {"foreground_share": 0.12}, {"foreground_share": 0.2, "dice": 0.3})
    assert make.fit_limits(full)["almost full"] == quality.LIMITS["almost full"]


def test_a_limit_that_marks_many_good_images_is_not_taken():
    noisy = table(*[{"disagreement": 0.01 * i} for i in range(8)], *[{"disagreement": d, "dice": 0.5} for d in (0.055, 0.2)])
    assert make.fit_limits(noisy)["unstable"] == pytest.approx(0.135)  # at 0.0525 both bad ones, but two of eight good ones


def test_without_bad_images_the_usual_limits_stay():
    assert make.fit_limits(table({}, {"doubtful_share": 0.9})) == quality.LIMITS


def test_the_worth_of_a_flag_is_counted():
    rows = table({}, {"disagreement": 0.5, "dice": 0.5}, {"disagreement": 0.4, "dice": 0.9}, {"diameter_ratio": None})
    worth = make.worth_of_flags(rows, quality.LIMITS).set_index("flag")
    assert worth.loc["unstable", ["images", "with Dice below 0.8"]].tolist() == [2, 1]
    assert worth.loc["unstable", "mean Dice of these"] == pytest.approx(0.7)
    assert worth.loc["unstable", "of the others"] == pytest.approx(0.95)
    assert worth.loc["unstable", "limit from"] == "guess" and pd.isna(worth.loc["any flag", "limit from"])
    fitted = make.worth_of_flags(rows, quality.LIMITS | {"unstable": 0.45}).set_index("flag").loc["unstable"]
    assert fitted["limit from"] == "validation set" and fitted["images"] == 1
    assert worth.loc["any flag", "images"] == 2 and worth.loc["blurred", "images"] == 0
    assert np.isnan(float(worth.loc["blurred", "mean Dice of these"] or np.nan))


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_a_shipped_network_is_small_and_has_its_card(path):
    assert path.stat().st_size < 35e6
    card, text = read_json(path.with_suffix(".json")), path.with_suffix(".md").read_text()
    assert card["training_data"]["licence"] == "CC0" and not card["training_data"]["simulated"]
    assert card["not_for"] in text and f"{card['scores']['dice']['mean']:.3f}" in text
    assert all(f"{card['scores_as_predicted'][name]:.3f}" in text for name in make.SCORES)
    assert set(card["quality_limits"]) == set(quality.LIMITS) and len(card["flags"]) == len(quality.RULES) + 1
    for row in card["scores"]["kmeans_clusters"]:
        assert (row["dice_low"] is None) == (row["dice_high"] is None) == (row["groups"] < MINIMUM_GROUPS)
    assert not re.search(ABSOLUTE, path.with_suffix(".json").read_text() + text)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_a_shipped_network_lists_the_images_that_it_knows(path):
    split, card = read_json(path.with_suffix(".split.json")), read_json(path.with_suffix(".json"))
    names = [name for members in split.values() for name in members]
    assert list(split) == ["train", "validation", "test"] and len(names) == len(set(names))
    assert len(split["test"]) == card["scores"]["images"]
    assert all(re.fullmatch("[0-9a-f]{16}", facts[part]) for members in split.values() for facts in members.values()
               for part in ("image", "mask"))  # fmt: skip
    groups = [{facts["group"] for facts in members.values()} for members in split.values()]
    assert not groups[0] & groups[1] and not groups[0] & groups[2] and not groups[1] & groups[2]


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_network_in_half_the_space_predicts_the_same_in_float32(tmp_path, precision):
    """Wherever it was trained: a network that computes in bfloat16 is slow on other machines, and ONNX refuses it."""
    model = build_unet(filters=8, depth=2, maps=OutputMaps(distance=True))
    in_precision(model, precision).save(tmp_path / "whole.keras")
    make.write_half(tmp_path / "whole.keras", tmp_path / "half.keras")
    half = keras.saving.load_model(tmp_path / "half.keras", safe_mode=True)
    image = np.random.default_rng(0).random((1, 32, 32, 1))
    np.testing.assert_allclose(half.predict(image, verbose=0), model.predict(image, verbose=0), atol=1e-3)
    assert (tmp_path / "half.keras").stat().st_size < 0.7 * (tmp_path / "whole.keras").stat().st_size
    assert {weight.dtype for weight in half.get_weights()} == {np.dtype("float32")}
    assert {layer.dtype_policy.name for layer in half.layers} == {"float32"}


@pytest.fixture
def run(tmp_path):
    """A finished run on a few simulated images, as far as it is read here; and its images."""
    source = simulate_nuclei(tmp_path / "images", photographs=4, side=128)
    config = read_recipe("dsb").config
    samples = read_recipe("dsb").load(source, config)
    write_json(tmp_path / "config.json", {"source": str(source), "config": config.to_json()})
    write_json(tmp_path / "split.json", Split(samples[2:], [samples[1]], [samples[0]]).to_json())
    return tmp_path, samples


def test_the_roles_are_those_of_the_run(run):
    folder, samples = run
    validation, test = make.read_both(folder)
    assert [s.name for s in validation] == [samples[1].name] and [s.name for s in test] == [samples[0].name]


def test_changed_images_are_refused(run):
    folder, samples = run
    split = read_json(folder / "split.json")
    split["test"][samples[0].name]["mask"] = "0" * 16
    write_json(folder / "split.json", split)
    with pytest.raises(ValueError, match=f"image {samples[0].name} is missing or has changed"):
        make.read_both(folder)
    split["test"] = {"another": {"group": 0, "stratum": 0}}
    write_json(folder / "split.json", split)
    with pytest.raises(ValueError, match="image another is missing or has changed since .*; put back the images of the run"):
        make.read_both(folder)


def test_weights_that_float16_does_not_have_are_refused(tmp_path):
    model = build_unet(filters=1, depth=1)
    model.set_weights([weight + 1e5 for weight in model.get_weights()])
    model.save(tmp_path / "large.keras")
    with pytest.raises(ValueError, match=r"large\.keras: holds weights above 65504"):
        make.write_half(tmp_path / "large.keras", tmp_path / "half.keras")
    assert not (tmp_path / "half.keras").exists()


@pytest.fixture(scope="module")
def shipped():
    return open_network(WEIGHTS / "nuclei.keras")


@pytest.mark.parametrize(
    "change",
    [lambda image: image, lambda image: image.astype(np.uint16) * 5 + 100, lambda image: image / 255,
     lambda image: np.stack([image] * 3, axis=-1), lambda image: image[:129, :171]],
    ids=["8 bit", "16 bit", "fractions", "colour", "odd sides"],
)  # fmt: skip
def test_the_network_for_nuclei_finds_discs(shipped, change):
    image, truth = nuclei()
    image = change(image)
    truth = truth[: image.shape[0], : image.shape[1]]
    found = segment(image, shipped)
    assert found.objects.max() == len(np.unique(truth[truth > 0]))
    assert pixel_scores(count_pixels(truth, found.mask))["dice"] > 0.9


def test_the_network_for_nuclei_divides_two_that_touch(shipped):
    y, x = np.mgrid[:96, :128]
    discs = [np.hypot(y - 48, x - centre) <= 12 for centre in (53, 75)]  # 22 px apart, of 25 px: two columns in common
    bright = ndimage.gaussian_filter(np.maximum(140 * discs[0], 110 * discs[1]).astype(float), 1.0)
    image = (20 + bright + np.random.default_rng(0).normal(0, 4, bright.shape)).clip(0, 255).astype(np.uint8)
    assert segment(image, shipped).objects.max() == 2


@pytest.mark.parametrize("factor", [3, 0.5])
def test_the_network_for_nuclei_at_another_magnification(shipped, factor):
    image, _ = nuclei(diameter=round(22 * factor), distance=round(48 * factor))
    assert segment(image, shipped, diameter=22 * factor).objects.max() == 12

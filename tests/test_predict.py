"""The command line on folders of many kinds of images: what it writes, how it resumes, what it refuses."""

import re
from urllib.parse import unquote

import imageio.v3 as iio
import numpy as np
import pandas as pd
import pytest
import tifffile
from drawn import nuclei, squares

import predict
from inference import inputs, outputs
from system.files import read_json


def run(*arguments):
    """The exit code of the command."""
    with pytest.raises(SystemExit) as end:
        predict.main([str(argument) for argument in arguments])
    return end.value.code


@pytest.fixture
def folder(tmp_path):
    """Images as people have them: 8 and 16 bits, colour, a stack with its pixel size, an empty one, and a text beside."""
    folder = tmp_path / "my images"
    folder.mkdir()
    iio.imwrite(folder / "gray.png", squares())
    iio.imwrite(folder / "colour.jpg", np.repeat(squares()[..., None], 3, axis=2), quality=95)
    stack = np.stack([squares(np.uint16, 60_000), np.roll(squares(np.uint16, 60_000), 9, axis=0)])
    tifffile.imwrite(folder / "stack.tif", stack, imagej=True, resolution=(2, 2), metadata={"unit": "um", "axes": "ZYX"})
    iio.imwrite(folder / "empty.bmp", np.full((40, 50), 7, np.uint8))
    (folder / "README.txt").write_text("not an image")
    return folder


def test_every_image_gets_its_files(folder, network, tmp_path, capsys):
    output = tmp_path / "results"
    assert run(folder, "-o", output, "--model", network, "--probability") == 0
    expected = {
        f"{name}_{kind}.tif" for name in ("gray", "colour", "stack", "empty") for kind in ("mask", "objects", "probability")
    }
    expected |= {f"{name}_overlay.png" for name in ("gray", "colour", "empty")} | {
        "stack_overlay_p001.png",
        "stack_overlay_p002.png",
    }
    expected |= {"measurements.csv", "images.csv", "report.html", "predict.json"}
    assert {path.name for path in output.iterdir() if path.is_file()} == expected
    mask, objects = (tifffile.imread(output / f"stack_{kind}.tif") for kind in ("mask", "objects"))
    assert mask.shape == objects.shape == (2, 75, 131) and mask.dtype == np.uint8 and objects.dtype == np.uint32
    assert set(np.unique(mask)) == {0, 255} and objects[1].max() == 2 and (objects[1] == np.roll(objects[0], 9, axis=0)).all()
    probability = tifffile.imread(output / "gray_probability.tif")
    assert probability.dtype == np.float32 and ((probability > 0.5) == (tifffile.imread(output / "gray_mask.tif") > 0)).all()
    assert "4 of 4 images in" in capsys.readouterr().out


def test_the_tables_and_the_page(folder, network, tmp_path):
    output = tmp_path / "results"
    run(folder, "-o", output, "--model", network)
    objects, images = (pd.read_csv(output / f"{name}.csv") for name in ("measurements", "images"))
    assert objects.groupby(["name", "page"]).size().to_dict() == {
        ("colour", 1): 2, ("gray", 1): 2, ("stack", 1): 2, ("stack", 2): 2,
    }  # fmt: skip
    stack = objects[objects["name"] == "stack"]
    assert stack["area"].tolist() == [400] * 4 and stack["area_um2"].tolist() == [100] * 4
    assert stack["mean_intensity"].tolist() == [60_000] * 4
    images = images.set_index("name")
    assert images.loc["gray", "density_per_megapixel"] == pytest.approx(2e6 / (75 * 131))
    assert "empty" in images.loc["empty", "flags"] and "Every pixel has the value 7" in images.loc["empty", "explanation"]
    page = (output / "report.html").read_text(encoding="utf-8")
    assert "8 objects in 5 images" in page and page.index("<b>empty</b>") < page.index("<b>gray</b>")
    assert page.count("data:image/jpeg") == 5 and not re.findall(r'src="(?!data:)', page)
    for link in re.findall(r'href="([^"]+)"', page):
        assert (output / link).is_file()


def test_overlays_show_outlines_on_the_image(folder, network, tmp_path):
    run(folder / "gray.png", "-o", tmp_path / "results", "--model", network)
    overlay = iio.imread(tmp_path / "results/gray_overlay.png")
    assert overlay.shape == (75, 131, 3) and overlay[5, 10].tolist() == [240, 228, 66] and overlay[15, 15].tolist() == [255] * 3


def test_a_broken_file_stops_no_other_and_is_reported(folder, network, tmp_path, capsys):
    (folder / "half.png").write_bytes((folder / "gray.png").read_bytes()[:60])
    tifffile.imwrite(folder / "nan.tif", np.full((20, 20), np.nan, np.float32))
    output = tmp_path / "results"
    assert run(folder, "-o", output, "--model", network) == 1
    printed = capsys.readouterr().err
    assert re.search(r"Not segmented: .*half\.png: unreadable or truncated", printed)
    assert re.search(r"Not segmented: .*nan\.tif: image: 400 pixels are NaN", printed)
    images = pd.read_csv(output / "images.csv", keep_default_na=False, na_values="")
    assert images["error"].isna().sum() == 5 and images["name"].tolist()[5:] == ["half", "nan"]
    assert "half.png: unreadable" in images["error"][5]
    rows = [line.split(",") for line in (output / "images.csv").read_text("utf-8").splitlines()]
    assert ["gray", "1", "2"] in [row[:3] for row in rows]  # whole numbers beside rows without any
    assert "half.png: unreadable" in (output / "report.html").read_text("utf-8")
    assert not list(output.glob("half*")) and not list(output.rglob("*.part*"))
    (folder / "half.png").write_bytes((folder / "gray.png").read_bytes())
    (folder / "nan.tif").unlink()
    assert run(folder, "-o", output, "--model", network, "--resume") == 0
    assert len(pd.read_csv(output / "images.csv")) == 6


def test_resume_skips_what_is_done_and_nothing_is_overwritten(folder, network, tmp_path, capsys):
    output = tmp_path / "results"
    run(folder, "-o", output, "--model", network)
    whole = (output / "measurements.csv").read_bytes()
    (output / "rows/gray.json").unlink()
    done = (output / "stack_mask.tif").stat().st_mtime_ns
    assert "already holds results. Continue with --resume" in run(folder, "-o", output, "--model", network)
    assert "was started with another --tta" in run(folder, "-o", output, "--model", network, "--resume", "--tta", 1)
    assert run(folder, "-o", output, "--model", network, "--resume") == 0
    assert "Images: 4, done before: 3." in capsys.readouterr().out
    assert (output / "stack_mask.tif").stat().st_mtime_ns == done and (output / "measurements.csv").read_bytes() == whole
    assert "holds other files; expected an empty folder. Choose an empty or a new folder" in run(
        folder, "-o", folder, "--model", network
    )
    assert read_json(output / "predict.json")["settings"]["tta"] == 2


def test_names_stay_apart(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    for name in ("a/x.png", "b/x.png", "a/X.bmp", "a/b_x_png.png"):
        iio.imwrite(tmp_path / name, squares())
    tifffile.imwrite(tmp_path / "a/y.ome.tif", squares())
    (tmp_path / "a/link.png").symlink_to(tmp_path / "a/x.png")
    (tmp_path / "a/folder.tif").mkdir()
    found = inputs.find_images([str(tmp_path / "a"), str(tmp_path / "*/x.png"), str(tmp_path / "b")])
    names = inputs.name_outputs(found, {})
    assert {name: path.relative_to(tmp_path).as_posix() for name, path in names.items()} == {
        "X": "a/X.bmp", "b_x_png": "a/b_x_png.png", "link": "a/link.png", "y": "a/y.ome.tif", "x_png": "b/x.png",
    }  # fmt: skip
    again = inputs.name_outputs(found[::-1], {name: str(path.resolve()) for name, path in names.items()})
    assert {name: path.resolve() for name, path in again.items()} == {n: p.resolve() for n, p in names.items()}
    assert len({name.lower() for name in names}) == len(names)


def test_long_names_are_cut_and_stay_apart(tmp_path):
    paths = [tmp_path / f"{folder}/{'核' * 80}.tif" for folder in "abcd"]
    names = inputs.name_outputs(paths, {})
    assert len(names) == 4 and max(len(f"{name}_probability.tif".encode()) for name in names) < 255


def test_results_are_never_read_as_images(folder, network, tmp_path):
    output = folder / "results"
    assert run(folder, "-o", output, "--model", network) == 0
    found = inputs.find_images([str(folder / "**/*")])
    assert sorted(path.name for path in found) == ["colour.jpg", "empty.bmp", "gray.png", "stack.tif"]
    with pytest.raises(ValueError, match="no image found.* Left out: 13 images in a folder of results"):
        inputs.find_images([str(output)])


def test_dark_objects_on_a_light_field(network, tmp_path):
    """Intensities are those of the image, not of the inverted one."""
    iio.imwrite(tmp_path / "dark.png", 255 - squares())
    assert run(tmp_path / "dark.png", "-o", tmp_path / "inverted", "--model", network, "--invert") == 0
    table = pd.read_csv(tmp_path / "inverted/measurements.csv")
    assert table["area"].tolist() == [400, 400] and table["mean_intensity"].tolist() == [55, 55]


def test_a_resumed_command_with_other_images_adds_to_the_tables(folder, network, tmp_path, capsys):
    output, other = tmp_path / "results", tmp_path / "other"
    other.mkdir()
    iio.imwrite(other / "gray.png", np.where(squares()[:, :60] > 50, 200, 10).astype(np.uint8))
    run(folder / "gray.png", "-o", output, "--model", network)
    assert run(other, "-o", output, "--model", network, "--resume") == 0
    assert "Images: 1, done before: 0." in capsys.readouterr().out
    table = pd.read_csv(output / "measurements.csv")
    assert table["name"].tolist() == ["gray", "gray", "gray_png"]
    assert pd.read_csv(output / "images.csv")["file"].tolist() == [str(folder / "gray.png"), str(other / "gray.png")]
    iio.imwrite(folder / "gray.png", np.zeros((30, 30), np.uint8))  # a changed image is segmented again
    assert run(folder / "gray.png", "-o", output, "--model", network, "--resume") == 0
    assert pd.read_csv(output / "measurements.csv")["name"].tolist() == ["gray_png"]
    card = network.with_suffix(".json")
    card.write_text(card.read_text().replace('"threshold": 0.5', '"threshold": 0.75'))
    assert "was started with another --model" in run(folder, "-o", output, "--model", network, "--resume")


def test_a_mistyped_model_leaves_no_folder(folder, network, tmp_path):
    assert "nowhere.keras: is not there" in run(folder, "-o", tmp_path / "results", "--model", "nowhere.keras")
    assert run(folder, "-o", tmp_path / "results", "--model", network) == 0


@pytest.mark.parametrize("name", ["caf\udce9.png", "a#1%2?.png", "<b>&.png", f"{'核' * 83}.png"])
def test_odd_names(network, tmp_path, name):
    try:
        iio.imwrite(tmp_path / name, squares())
    except (OSError, ValueError):
        pytest.skip("this file system has no such names")
    assert run(tmp_path / name, "-o", tmp_path / "results", "--model", network) == 0
    page = (tmp_path / "results/report.html").read_text(encoding="utf-8")
    link = re.findall(r'<a href="([^"]+overlay[^"]*)"', page)[0]
    assert (tmp_path / "results" / unquote(link)).is_file() and "<b><b>" not in page


def test_what_is_left_out_or_may_be_misread_is_said(folder, network, tmp_path, capsys):
    (folder / "deeper").mkdir()
    iio.imwrite(folder / "deeper/a.png", squares())
    tifffile.imwrite(folder / "slices.tif", np.stack([squares()] * 3))  # which tifffile calls red, green and blue
    output = tmp_path / "results"
    assert run(folder, "-o", output, "--model", network) == 0
    assert f"Left out: 1 images in subfolders of {folder}" in capsys.readouterr().out
    images = pd.read_csv(output / "images.csv", index_col="name")
    assert "Its planes were read as the colours of one picture" in images["explanation"]["slices"]
    assert "planes" not in str(images["explanation"]["gray"])


def test_a_folder_that_cannot_be_made_is_named(folder, network, tmp_path):
    (tmp_path / "file").write_text("")
    for output, message in (("file", "file: is a file; expected a folder"), ("file/a", "file/a: cannot be created")):
        with pytest.raises(SystemExit, match=message):
            predict.main([str(folder), "-o", str(tmp_path / output), "--model", str(network)])


def test_tables_have_their_columns_when_nothing_is_found(network, tmp_path):
    iio.imwrite(tmp_path / "empty.png", np.zeros((30, 30), np.uint8))
    (tmp_path / "broken.png").write_bytes(b"x")
    assert run(tmp_path / "empty.png", "-o", tmp_path / "one", "--model", network) == 0
    assert run(tmp_path / "broken.png", "-o", tmp_path / "none", "--model", network) == 1
    for output, rows in (("one", 1), ("none", 1)):
        assert {"name", "area", "mean_intensity"} <= set(pd.read_csv(tmp_path / output / "measurements.csv"))
        images = pd.read_csv(tmp_path / output / "images.csv")
        assert len(images) == rows and {"name", "objects", "flags"} <= set(images)


def test_one_bit_colour_and_transparency(network, tmp_path):
    tifffile.imwrite(tmp_path / "bits.tif", squares() > 50)
    dim = np.where(squares() > 50, 30, 5).astype(np.uint8)
    iio.imwrite(tmp_path / "rgba.png", np.dstack([dim, dim, dim, np.full_like(dim, 255)]))
    assert run(tmp_path / "bits.tif", tmp_path / "rgba.png", "-o", tmp_path / "results", "--model", network) == 0
    assert len(pd.read_csv(tmp_path / "results/measurements.csv")) == 4
    assert iio.imread(tmp_path / "results/rgba_overlay.png")[15, 15].tolist() == [255] * 3


def test_a_channel_of_several(network, tmp_path):
    channels = np.stack([squares(), np.zeros_like(squares())])
    tifffile.imwrite(tmp_path / "two.tif", channels, imagej=True, metadata={"axes": "CYX"})
    assert run(tmp_path / "two.tif", "-o", tmp_path / "first", "--model", network, "--channel", 1) == 0
    assert len(pd.read_csv(tmp_path / "first/measurements.csv")) == 2
    assert run(tmp_path / "two.tif", "-o", tmp_path / "none", "--model", network) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "nowhere: there is no such file or folder, and no file matches this pattern"),
        (["{folder}/README.txt"], r"README\.txt: is no image that this program reads"),
        (["{folder}/*.txt"], r"no image found; this program reads \.png"),
        (["{folder}", "--model", "nowhere.keras"], r"nowhere\.keras: is not there"),
        (["{folder}", "--model", "{folder}"], r"my images: is a folder; expected a network"),
        (["{folder}", "-o", "{folder}/gray.png/x"], "cannot be created .*Not a directory"),
    ],
)
def test_mistakes_are_named(folder, network, tmp_path, arguments, message):
    arguments = [argument.format(folder=folder) for argument in arguments]
    arguments += [] if "-o" in arguments else ["-o", tmp_path / "results"]
    arguments += [] if "--model" in arguments else ["--model", network]
    assert re.search(message, str(run(*arguments)))


def test_what_was_deleted_is_made_again(folder, network, tmp_path):
    output = tmp_path / "results"
    run(folder / "gray.png", "-o", output, "--model", network)
    for name in ("gray_mask.tif", "gray_overlay.png"):
        (output / name).unlink()
    assert run(folder / "gray.png", "-o", output, "--model", network, "--resume") == 0
    assert (output / "gray_mask.tif").exists() and (output / "gray_overlay.png").exists()


def test_an_overlay_that_was_deleted_does_not_stop_a_command_on_other_images(folder, network, tmp_path):
    output = tmp_path / "results"
    run(folder / "gray.png", "-o", output, "--model", network)
    (output / "gray_overlay.png").unlink()
    assert run(folder / "colour.jpg", "-o", output, "--model", network, "--resume") == 0
    assert "the overlay was deleted" in (output / "report.html").read_text("utf-8")


def test_an_image_that_changes_while_it_is_segmented_is_not_done(folder, network, tmp_path, monkeypatch):
    import segmentation

    real, output, image = segmentation.segment, tmp_path / "results", folder / "gray.png"

    def slowly(*given, **named):
        iio.imwrite(image, squares()[::-1])
        return real(*given, **named)

    monkeypatch.setattr(segmentation, "segment", slowly)
    run(image, "-o", output, "--model", network)
    assert (output / "gray_mask.tif").exists() and not outputs.is_done(output, "gray", image)


def test_an_image_that_has_become_unreadable_leaves_the_tables(folder, network, tmp_path):
    output = tmp_path / "results"
    stack = folder / "changing.tif"
    tifffile.imwrite(stack, np.stack([squares()] * 3), photometric="minisblack")
    run(stack, folder / "gray.png", "-o", output, "--model", network)
    assert len(list(output.glob("changing_overlay*.png"))) == 3
    stack.write_bytes(b"no picture any more")
    assert run(stack, folder / "gray.png", "-o", output, "--model", network, "--resume") == 1
    assert pd.read_csv(output / "images.csv")["name"].tolist() == ["gray", "changing"]  # the second with its error
    assert set(pd.read_csv(output / "measurements.csv")["name"]) == {"gray"}
    assert not list(output.glob("changing_*"))


def test_what_fails_during_the_segmentation_of_one_image_stops_no_other(folder, network, tmp_path, monkeypatch, capsys):
    import segmentation

    real = segmentation.segment

    def out_of_memory_for_small_ones(image, *given, **named):
        if image.size < 100:
            raise RuntimeError("out of memory")
        return real(image, *given, **named)

    monkeypatch.setattr(segmentation, "segment", out_of_memory_for_small_ones)
    iio.imwrite(folder / "a_first.png", np.zeros((5, 5), np.uint8))
    paths = folder / "a_first.png", folder / "gray.png"
    assert run(*paths, "-o", tmp_path / "results", "--model", network) == 1
    assert "a_first.png: out of memory" in capsys.readouterr().err
    assert (tmp_path / "results" / "gray_mask.tif").exists()


def test_what_fails_around_the_segmentation_of_one_image_stops_no_other(folder, network, tmp_path, monkeypatch, capsys):
    def unreachable(path):
        raise OSError("the network share is gone")

    monkeypatch.setattr(predict, "has_planar_colours", unreachable)
    assert run(folder / "gray.png", folder / "colour.jpg", "-o", tmp_path / "results", "--model", network) == 1
    told = capsys.readouterr().err
    assert "gray.png: the network share is gone" in told and "colour.jpg: the network share is gone" in told


def test_a_failure_has_the_name_of_its_own_image(folder, network, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    (other / "gray.png").write_bytes(b"no picture")
    run(folder / "gray.png", other / "gray.png", "-o", tmp_path / "results", "--model", network)
    images = pd.read_csv(tmp_path / "results" / "images.csv", index_col="name")
    assert "gray.png: unreadable" in images.loc["gray_png", "error"] and pd.isna(images.loc["gray", "error"])


def test_a_broken_file_with_an_odd_name_is_reported(folder, network, tmp_path):
    odd = folder / "caf\udce9.png"
    odd.write_bytes(b"no picture")
    assert run(odd, folder / "gray.png", "-o", tmp_path / "results", "--model", network) == 1
    assert "caf?.png: unreadable" in (tmp_path / "results" / "report.html").read_text()


def test_names_that_look_like_missing_values_stay_names(folder, network, tmp_path):
    iio.imwrite(folder / "NA.png", squares())
    assert run(folder / "NA.png", "-o", tmp_path / "results", "--model", network) == 0
    assert pd.read_csv(tmp_path / "results" / "measurements.csv", keep_default_na=False)["name"].tolist() == ["NA", "NA"]


def blank(count, side=64):
    """Images of noise in which the network finds nothing."""
    rng = np.random.default_rng(0)
    x = np.arange(side) * np.ones((side, 1))
    return [(100 + x / 4 + rng.normal(0, 1, x.shape)).astype(np.uint8) for _ in range(count)]


@pytest.fixture
def strict(network):
    """The network with a threshold that nothing exceeds."""
    card = network.with_suffix(".json")
    card.write_text(card.read_text().replace('"threshold": 0.5', '"threshold": 0.9999999'))
    return network


def test_only_a_few_blank_images_are_examined_and_the_others_point_to_them(strict, tmp_path, monkeypatch):
    import inference.blank

    for number, image in enumerate(blank(6)):
        iio.imwrite(tmp_path / f"blank{number}.png", image)
    iio.imwrite(tmp_path / "black.png", np.zeros((30, 30), np.uint8))
    tifffile.imwrite(tmp_path / "stack.tif", np.stack(blank(2)), photometric="minisblack")
    asked, real = [], inference.blank.explain_blank
    monkeypatch.setattr(inference.blank, "explain_blank", lambda *given: asked.append(1) or real(*given))
    assert run(tmp_path, "-o", tmp_path / "results", "--model", strict) == 0
    images = pd.read_csv(tmp_path / "results/images.csv").set_index(["name", "page"])
    texts = images["explanation"]
    assert len(asked) == predict.EXAMINED == 3
    assert "Every pixel has the value 0" in texts["black", 1]  # needs no network
    assert all("the threshold 1.00: nothing looks like" in texts[f"blank{number}", 1] for number in range(3))
    pointer = "Nothing was found. See blank0, blank1, blank2: only these were examined."
    assert texts[["blank3", "blank4", "blank5", "stack"]].tolist() == [pointer] * 5
    assert pointer in (tmp_path / "results/report.html").read_text("utf-8") and "examined" not in images
    iio.imwrite(tmp_path / "later.png", blank(1)[0])
    assert run(tmp_path / "later.png", "-o", tmp_path / "results", "--model", strict, "--resume") == 0
    assert len(asked) == 3 and pointer in pd.read_csv(tmp_path / "results/images.csv", index_col="name")["explanation"]["later"]


def test_a_page_of_a_stack_is_examined_by_itself(strict, tmp_path):
    pages = np.stack([np.zeros((64, 64), np.uint8), *blank(2)])
    tifffile.imwrite(tmp_path / "stack.tif", pages, photometric="minisblack")
    iio.imwrite(tmp_path / "zz.png", blank(1)[0])
    iio.imwrite(tmp_path / "zzz.png", blank(1)[0])
    assert run(tmp_path, "-o", tmp_path / "results", "--model", strict) == 0
    texts = pd.read_csv(tmp_path / "results/images.csv")["explanation"].tolist()
    assert "Every pixel has the value 0" in texts[0] and all("nothing looks like" in text for text in texts[1:4])
    assert texts[4] == "Nothing was found. See stack, page 2, stack, page 3, zz: only these were examined."


def test_an_interrupted_command_explains_when_it_is_resumed(strict, tmp_path, monkeypatch):
    iio.imwrite(tmp_path / "blank.png", blank(1)[0])
    explain = predict.explain_blanks

    def interrupted(*given):
        raise KeyboardInterrupt

    monkeypatch.setattr(predict, "explain_blanks", interrupted)
    assert run(tmp_path, "-o", tmp_path / "results", "--model", strict) == 130
    assert pd.read_csv(tmp_path / "results/images.csv")["explanation"].isna().all()
    monkeypatch.setattr(predict, "explain_blanks", explain)
    assert run(tmp_path, "-o", tmp_path / "results", "--model", strict, "--resume") == 0
    assert "nothing looks like" in pd.read_csv(tmp_path / "results/images.csv")["explanation"][0]


def test_a_blank_image_that_is_gone_when_it_is_to_be_explained(strict, tmp_path, monkeypatch):
    iio.imwrite(tmp_path / "blank.png", blank(1)[0])
    explain = predict.explain_blanks
    monkeypatch.setattr(predict, "explain_blanks", lambda *given: (tmp_path / "blank.png").unlink() or explain(*given))
    assert run(tmp_path / "blank.png", "-o", tmp_path / "results", "--model", strict) == 0
    assert "The reason is not known: " in pd.read_csv(tmp_path / "results/images.csv")["explanation"][0]


@pytest.mark.parametrize(
    ("names", "line", "summary"),
    [
        (["good"], "No image was flagged.", "No image was flagged. The numbers"),
        (["empty.bmp", "good"], "1 of 2 images was flagged.", "1 of 2 images was flagged. It comes first."),
        (["empty.bmp"], "1 of 1 image was flagged.", "1 of 1 image was flagged. The numbers"),
        (["empty.bmp", "gray.png", "good"], "2 of 3 images were flagged.", "2 of 3 images were flagged. They come first."),
    ],
)
def test_terminal_and_report_say_how_many_images_were_flagged(folder, network, tmp_path, capsys, names, line, summary):
    good, _ = nuclei()
    iio.imwrite(folder / "good", good, extension=".png")
    (folder / "good").rename(folder / "good.png")
    names = ["good.png" if name == "good" else name for name in names]
    assert run(*(folder / name for name in names), "-o", tmp_path / "results", "--model", network) == 0
    assert line in capsys.readouterr().out
    assert summary in (tmp_path / "results/report.html").read_text("utf-8")

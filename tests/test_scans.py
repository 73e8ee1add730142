"""Scans in blocks on Dask workers, against the same image segmented at once."""

import json

import numpy as np
import pandas as pd
import pytest
import tifffile

pytest.importorskip("distributed", reason="Dask is in requirements-machines.txt")
pytest.importorskip("ome_zarr", reason="ome-zarr is in requirements-machines.txt")
from distributed import Client
from drawn import nuclei
from ome_zarr.scale import Methods
from ome_zarr.writer import write_image
from test_prediction import random_unet

import predict
import segmentation
import tiles
from inference import outputs
from inference.inputs import find_images, name_outputs
from parallel import blocks, cluster, scans
from prediction import predict_function
from scores.measurements import measure_objects
from segmentation import open_network, segment
from unet import reach

SIDE, OVERLAP = 96, 64


@pytest.fixture(scope="module")
def client():
    with Client(processes=False, n_workers=1, threads_per_worker=1, dashboard_address=None) as client:
        yield client


def written(path, image, axes="yx", **options):
    write_image(image, str(path), axes=axes, scale_factors=[2], **options)
    return path


@pytest.fixture
def job(network, tmp_path):
    (tmp_path / "pieces").mkdir()
    return scans.Job(str(tmp_path / "scan.zarr"), None, str(tmp_path / "pieces"), str(network), side=SIDE, overlap=OVERLAP)


def segmented(client, job, target, pixel_size=None):
    return blocks.segment_scan(client, scans.prepare(job, open_network(job.model), None), target, pixel_size)


def test_a_scan_has_the_objects_of_the_image_at_once(client, network, job, tmp_path):
    image, truth = nuclei(6, 7)
    written(job.source, image)
    table = segmented(client, job, tmp_path / "labels.zarr", pixel_size=0.5)
    labels, size = scans.open_scan(tmp_path / "labels.zarr")
    labels, whole = labels.compute(), segment(image, open_network(network))
    assert size == 0.5 and labels.dtype == np.uint32 and labels.max() == truth.max() == whole.objects.max()
    np.testing.assert_array_equal(labels > 0, whole.objects > 0)
    for found, there in ((labels, whole.objects), (whole.objects, labels)):
        assert all(len(np.unique(there[found == number])) == 1 for number in range(1, found.max() + 1))
    assert sorted(table["label"]) == list(range(1, truth.max() + 1))
    expected = whole.measurements.sort_values(["row", "column"], ignore_index=True)
    table = table.sort_values(["row", "column"], ignore_index=True)
    for name in ("row", "column", "area", "feret_max", "mean_intensity"):
        np.testing.assert_allclose(table[name], expected[name], rtol=1e-6)
    assert (table["area_um2"] == table["area"] / 4).all()


def test_objects_at_the_edge_of_the_scan_say_so_and_others_not(client, job, tmp_path):
    image = np.zeros((250, 260), np.uint8)
    image[0:20, 100:120] = image[90:110, 90:110] = image[200:220, 240:260] = 200
    written(job.source, image)
    table = segmented(client, job, tmp_path / "labels.zarr")
    assert dict(zip(table["row"], table["touches_border"], strict=True)) == {9.5: True, 99.5: False, 209.5: True}


@pytest.mark.parametrize("kind", ["bits", "dark", "32 bits"])
def test_the_first_look_sees_a_scan_as_the_network_does(client, network, job, tmp_path, kind):
    """Masks of one bit, dark objects and large whole numbers have the objects of the gray image."""
    network, image = open_network(network), np.kron(nuclei(2, 2, noise=0)[0], np.ones((3, 3), np.uint8))
    expected = segment(image, network)
    assert expected.quality["scale"] < 0.6 and expected.objects.max() == 4
    shown = {"bits": image > 80, "dark": 160 - image, "32 bits": image.astype(np.uint32) * 1000}[kind]
    written(job.source, shown, method=Methods.NEAREST)
    job = scans.prepare(job._replace(invert=kind == "dark"), network, "auto")
    assert job.scale == pytest.approx(expected.quality["scale"], rel=0.05)
    table = blocks.segment_scan(client, job, tmp_path / "labels.zarr")
    assert len(table) == 4
    whole = segment(shown, network, diameter=20 / job.scale, invert=kind == "dark").measurements
    np.testing.assert_allclose(sorted(table["mean_intensity"]), sorted(whole["mean_intensity"]), rtol=0.02)


def test_what_a_killed_command_had_found_is_not_looked_for_again(client, job, tmp_path, monkeypatch):
    image, _ = nuclei(4, 4)
    written(job.source, image)
    segmented(client, job, tmp_path / "labels.zarr")
    job.piece(1).unlink()
    calls = []
    number_objects = segmentation.number_objects
    monkeypatch.setattr(segmentation, "number_objects", lambda *given: calls.append(1) or number_objects(*given))
    segmented(client, job, tmp_path / "again.zarr")
    assert len(calls) == 1
    first, again = (scans.open_scan(tmp_path / name)[0].compute() for name in ("labels.zarr", "again.zarr"))
    np.testing.assert_array_equal(first, again)


def test_a_channel_of_several_and_the_size_of_a_pixel(tmp_path):
    image = np.zeros((2, 64, 80), np.uint16)
    image[1] = 7
    written(
        tmp_path / "two.zarr",
        image,
        "cyx",
        scale={"c": 1.0, "y": 0.3, "x": 0.3},
        axes_units={"y": "micrometer", "x": "micrometer"},
    )
    plane, size = scans.open_scan(tmp_path / "two.zarr", 2)
    assert plane.shape == (64, 80) and (plane.compute() == 7).all() and size == pytest.approx(0.3)
    with pytest.raises(ValueError, match=r"two\.zarr: holds 2 channels; .* with --channel 1 to 2"):
        scans.open_scan(tmp_path / "two.zarr")
    with pytest.raises(ValueError, match=r"two\.zarr: has no channel 3; its channels are 1 to 2"):
        scans.open_scan(tmp_path / "two.zarr", 3)


def test_what_is_shown_of_a_scan_comes_from_its_smaller_resolutions(job, tmp_path):
    image, truth = nuclei(8, 9)
    written(job.source, image, scale={"y": 0.5, "x": 0.5}, axes_units={"y": "micrometer", "x": "micrometer"})
    write_image(truth.astype(np.uint32), str(tmp_path / "labels.zarr"), axes="yx", method=Methods.NEAREST)
    half, size = scans.open_scan(job.source, None, 200)
    assert half.shape == (192, 216) and size == 1.0 and scans.open_scan(job.source, None, 217)[0].shape == image.shape
    (shown, objects), row = scans.overview(job, tmp_path / "labels.zarr", 108)
    assert shown.shape == objects.shape == (96, 108) and set(np.unique(objects)) == set(range(73))
    assert (row["height"], row["width"]) == image.shape and row["foreground_share"] == pytest.approx(
        (truth > 0).mean(), abs=0.02
    )
    assert shown[objects > 0].mean() > 3 * shown[objects == 0].mean()


def test_what_is_no_image_of_this_kind(tmp_path):
    (tmp_path / "empty.zarr").mkdir()
    with pytest.raises(ValueError, match=r"empty\.zarr: holds no image; expected OME-Zarr"):
        scans.open_scan(tmp_path / "empty.zarr")
    written(tmp_path / "volume.zarr", np.zeros((5, 64, 64), np.uint8), "zyx")
    with pytest.raises(ValueError, match=r"volume\.zarr: holds 5 z; one image was expected"):
        scans.open_scan(tmp_path / "volume.zarr")


def test_every_object_is_measured_by_one_block():
    found = {(0,): (3, np.array([1, 2])), (1,): (2, np.array([1, 2])), (2,): (0, np.array([], int))}
    names = [np.array([0, 7, 8, 9], np.uint32), np.array([0, 8, 3], np.uint32), np.array([0], np.uint32)]
    assert [labels.tolist() for labels in blocks.assign_objects(found, names)] == [[7, 8], [3], []]


@pytest.mark.parametrize(("scale", "side", "overlap"), [(1, 3072, 1024), (2, 1536, 512), (0.25, 2048, 2048)])
def test_windows_are_no_larger_and_their_overlap_is_for_the_objects(small, scale, side, overlap):
    job = scans.at_scale(scans.Job("", None, "", ""), scale, small)
    assert (job.scale, job.side, job.overlap) == (scale, side, overlap)


@pytest.mark.parametrize("depth", [2, 4, 6])
@pytest.mark.parametrize("scale", [0.125, 0.3678, 0.7, 1, 1.3, 8])
def test_windows_begin_with_a_pooling_cell_and_their_edges_do_not_reach_what_is_used(small, scale, depth):
    job = scans.at_scale(scans.Job("", None, "", ""), scale, small.replace(depth=depth))
    shown = job.multiple * job.scale
    assert (
        abs(job.scale / scale - 1) < 0.015 and shown == pytest.approx(round(shown), abs=1e-9) and round(shown) % 2**depth == 0
    )
    assert job.side % job.multiple == 0 and job.overlap / 2 % job.multiple == 0
    assert job.overlap / 4 * job.scale >= reach(depth) * 0.99 and job.side * job.scale < 4096


@pytest.mark.parametrize("scale", [0.7, 1, 1.3])
def test_blocks_show_what_the_whole_scan_shows(small, tmp_path, monkeypatch, scale):
    path, config = tmp_path / "scan.zarr", small.replace(filters=4)
    image = np.random.default_rng(0).integers(0, 255, (283, 331), dtype=np.uint8)
    written(path, image)
    network = segmentation.Network(predict_function(random_unet(2)), config, {"threshold": 0.5, "scores": {}})
    monkeypatch.setattr(cluster, "open_once", lambda *_: network)
    monkeypatch.setattr(segmentation, "find_objects", lambda _, probability, *how: (probability[..., 0] * 1e6).astype(np.int32))
    job = scans.Job(str(path), None, str(tmp_path / "pieces"), "", side=SIDE, overlap=OVERLAP, limits=(0.0, 255.0))
    job = scans.at_scale(job, scale, config)
    (tmp_path / "pieces").mkdir()
    assert len(job.blocks()) >= 4
    whole = segmentation.number_objects(image[..., None], network, job.scale, 2, job.limits, job.multiple)[0]
    for number, block in enumerate(job.blocks()):
        blocks.label_block(job, number)
        np.testing.assert_allclose(np.load(job.piece(number)), whole[block.used], atol=20)  # of a million


@pytest.mark.parametrize("place", [(4100, 300), (2100, 2200)], ids=["corner", "middle"])
def test_the_scale_of_a_slide_is_looked_for_where_its_tissue_is(network, job, monkeypatch, place):
    image = np.random.default_rng(0).integers(10, 14, (4500, 4700), dtype=np.uint16)
    tissue = np.kron(np.indices((15, 20)).sum(0) % 2 * 150 + 50, np.ones((20, 20)))
    image[place[0] :, place[1] :][: tissue.shape[0], : tissue.shape[1]] = tissue
    image[500:520, 4000:4020] = 60000  # dirt
    written(job.source, image)
    seen = []
    monkeypatch.setattr(segmentation, "find_scale", lambda image, *_: seen.append(image) or 1.0)
    limits = scans.prepare(job, open_network(network), "auto").limits
    assert (
        10 <= limits[0] <= 13
        and limits[1] == 200
        and (segmentation.middle(seen[0], segmentation.LOOKED_AT) > 100).mean() > 0.05
    )


def test_a_scan_with_pixels_that_are_not_numbers(network, job):
    image = np.ones((64, 64), np.float32)
    image[5, 5] = np.nan
    written(job.source, image)
    with pytest.raises(ValueError, match=r"scan\.zarr: 1 pixels are NaN or infinite"):
        scans.prepare(job, open_network(network), None)


def test_an_image_as_bioformats2raw_writes_it(tmp_path):
    for name in ("one.zarr", "two.zarr"):
        (tmp_path / name).mkdir()
        (tmp_path / name / ".zgroup").write_text('{"zarr_format": 2}')
        (tmp_path / name / ".zattrs").write_text('{"bioformats2raw.layout": 3}')
    images = [written(tmp_path / name, np.full((64, 64), n, np.uint8)) for n, name in enumerate(("one.zarr/0", "two.zarr/0"))]
    written(tmp_path / "two.zarr/1", np.full((64, 64), 2, np.uint8))
    assert (scans.open_scan(tmp_path / "one.zarr")[0].compute() == 0).all()
    with pytest.raises(ValueError, match=r"two\.zarr: holds 2 images; name one of them, for example .*two\.zarr.0"):
        scans.open_scan(tmp_path / "two.zarr")
    assert (scans.open_scan(images[1])[0].compute() == 1).all() and find_images([str(images[1])]) == [images[1]]
    assert find_images([str(tmp_path / "**" / "*")]) == [tmp_path / "one.zarr", tmp_path / "two.zarr"]  # not what is in them
    assert list(name_outputs([images[1]], {})) == ["two_0"]


def test_a_scan_of_before_sizes_were_written(tmp_path):
    path = written(tmp_path / "old.zarr", np.ones((64, 64), np.uint8))
    meta = json.loads((path / "zarr.json").read_text())
    for part in meta["attributes"]["ome"]["multiscales"][0]["datasets"]:
        del part["coordinateTransformations"]
    (path / "zarr.json").write_text(json.dumps(meta))
    plane, size = scans.open_scan(path)
    assert plane.shape == (64, 64) and size is None


def test_neighbours_touch_and_are_named_once():
    assert sorted(tiles.neighbouring_blocks(2, 2)) == [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)]
    assert len(tiles.neighbouring_blocks(3, 4)) == 3 * 3 + 2 * 4 + 2 * 2 * 3


def predicted(network, *arguments):
    with pytest.raises(SystemExit) as ended:
        predict.main([*map(str, arguments), "--model", str(network)])
    return ended.value.code


def test_a_folder_with_a_scan_and_a_broken_file_on_workers_elsewhere(network, tmp_path, capsys, scheduler):
    image, truth = nuclei()
    images, results = tmp_path / "images", tmp_path / "results"
    images.mkdir()
    written(images / "slide.zarr", image)
    tifffile.imwrite(images / "small.tif", image)
    (images / "broken.tif").write_bytes(b"II*")
    assert predicted(network, images, "-o", results, "--dask", scheduler[0]) == 1
    told = capsys.readouterr()
    assert "2 of 3 images in" in told.out and "broken.tif: unreadable" in told.err
    labels = scans.open_scan(results / "slide_objects.zarr")[0].compute()
    assert labels.max() == truth.max() == tifffile.imread(results / "small_objects.tif").max()
    table = pd.read_csv(results / "measurements.csv")
    assert table.groupby("name").size().to_dict() == {"slide": 12, "small": 12}
    slide = pd.read_csv(results / "images.csv").set_index("name").loc["slide"]
    assert 0.5 < slide["diameter_ratio"] < 2 and "contrast, focus, doubt and stability were not checked" in slide["explanation"]
    assert (results / "slide_overlay.png").exists() and not list((results / "pieces").iterdir())
    assert "slide" in (results / "report.html").read_text(encoding="utf-8")
    (images / "broken.tif").unlink()
    assert predicted(network, images, "-o", results, "--resume") == 0
    assert "Images: 2, done before: 2." in capsys.readouterr().out


def test_a_command_that_was_killed_after_it_had_moved_the_labels_is_done_again(tmp_path):
    scan, table = written(tmp_path / "slide.zarr", nuclei()[0]), measure_objects(np.eye(8, dtype=int), image=np.eye(8))
    for place in (tmp_path / "slide_objects.zarr", tmp_path / "pieces" / "slide" / "objects.zarr"):
        place.mkdir(parents=True)
        (place / place.parent.name).touch()
    shown = (np.zeros((8, 8)), np.eye(8, dtype=int))
    outputs.write_scan(tmp_path, "slide", scan, shown, table, {"objects": 1}, outputs.state(scan))
    assert (tmp_path / "slide_objects.zarr" / "slide").exists() and outputs.is_done(tmp_path, "slide", scan)


def test_a_scan_needs_dask(network, tmp_path, capsys):
    written(tmp_path / "slide.zarr", nuclei()[0])
    assert predicted(network, tmp_path / "slide.zarr", "-o", tmp_path / "results") == 1
    assert "slide.zarr: OME-Zarr is segmented block by block; add --dask." in capsys.readouterr().err


def test_blocks_of_a_scan_that_changed_are_deleted(tmp_path):
    scan = written(tmp_path / "slide.zarr", nuclei()[0])
    pieces = outputs.pieces_of(tmp_path, "slide", outputs.state(scan))
    (pieces / "000000.npy").touch()
    assert outputs.pieces_of(tmp_path, "slide", outputs.state(scan)) == pieces and (pieces / "000000.npy").exists()
    assert outputs.pieces_of(tmp_path, "slide", [*outputs.state(scan), 0.5]) == pieces  # cut otherwise
    assert not (pieces / "000000.npy").exists() and outputs.pieces_of(tmp_path, "slide", outputs.state(scan)) == pieces
    (pieces / "000000.npy").touch()
    inside = next(file for file in scan.rglob("*") if file.is_file() and file.parent != scan)
    inside.write_bytes(inside.read_bytes()[::-1])  # as large as before
    assert outputs.pieces_of(tmp_path, "slide", outputs.state(scan)) == pieces and not (pieces / "000000.npy").exists()

"""Kaggle's layout, as a zip file and as a folder; the cache; every kind of bad input, refused by name."""

import shutil
import zipfile

import imageio.v3 as iio
import numpy as np
import pytest

import dsb
from data import Sample, check_classes
from simulate.nuclei import nuclei


def write(folder, identity, image=(8, 8), masks=1, value=255):
    (folder / identity / "images").mkdir(parents=True)
    (folder / identity / "masks").mkdir()
    iio.imwrite(folder / identity / "images" / f"{identity}.png", np.full((*image, 4), 255, np.uint8))
    for number in range(masks):
        mask = np.zeros(image, np.uint8)
        mask[number, :3] = value
        iio.imwrite(folder / identity / "masks" / f"{number}.png", mask)


@pytest.fixture
def folder(tmp_path):
    """Two images with two nuclei each."""
    for identity in ("aaa", "bbb"):
        write(tmp_path / "stage1_train", identity, masks=2)
    return tmp_path / "stage1_train"


def zipped(folder, prefix="", compression=zipfile.ZIP_DEFLATED):
    path = folder.with_suffix(".zip")
    with zipfile.ZipFile(path, "w", compression) as file:
        for member in sorted(folder.rglob("*.png")):
            file.write(member, prefix + member.relative_to(folder).as_posix())
    return path


@pytest.mark.parametrize("prefix", ["", "stage1_train/"])
def test_zip_and_folder_give_the_same_samples(folder, prefix):
    for source in (folder, zipped(folder, prefix)):
        first, second = dsb.load(source, cache=None)
        assert (first.name, second.name) == ("aaa", "bbb")
        assert first.image.shape == (8, 8, 1) and first.image.dtype == np.uint8
        assert first.mask[:3, :4].tolist() == [[1, 1, 1, 0], [2, 2, 2, 0], [0, 0, 0, 0]]


def test_colour_is_kept_and_alpha_dropped(folder):
    iio.imwrite(folder / "aaa/images/aaa.png", np.full((8, 8, 4), (10, 20, 30, 255), np.uint8))
    assert dsb.load(folder, cache=None)[0].image[0, 0].tolist() == [10, 20, 30]


def test_masks_of_0_and_1_read_like_0_and_255(tmp_path):
    write(tmp_path, "aaa", value=1)
    assert dsb.load(tmp_path, cache=None)[0].mask.max() == 1


def test_the_second_start_reads_the_cache(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(dsb, "CACHE_FROM", 0)
    first = dsb.load(folder, cache=tmp_path / "cache")
    monkeypatch.setattr(dsb, "_decode", None)  # decoding again would fail
    for one, other in zip(first, dsb.load(folder, cache=tmp_path / "cache"), strict=True):
        assert one.name == other.name
        np.testing.assert_array_equal(one.image, other.image)
        np.testing.assert_array_equal(one.mask, other.mask)


@pytest.mark.parametrize("as_zip", [False, True])
def test_a_changed_file_is_read_again_and_the_old_cache_removed(folder, tmp_path, as_zip, monkeypatch):
    monkeypatch.setattr(dsb, "CACHE_FROM", 0)
    dsb.load(zipped(folder) if as_zip else folder, cache=tmp_path / "cache")
    changed = folder / "aaa/masks/0.png"
    size = changed.stat().st_size
    mask = np.zeros((8, 8), np.uint8)
    mask[7, :3] = 255
    iio.imwrite(changed, mask)
    assert abs(changed.stat().st_size - size) < 10
    again = dsb.load(zipped(folder) if as_zip else folder, cache=tmp_path / "cache")
    assert again[0].mask[7, 0] == 1 and again[0].mask[0, 0] == 0
    assert len(list((tmp_path / "cache").iterdir())) == 1


def test_a_damaged_cache_is_made_again_and_a_full_disk_only_warned_of(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(dsb, "CACHE_FROM", 0)
    dsb.load(folder, cache=tmp_path / "cache")
    stored = next((tmp_path / "cache").iterdir())
    stored.write_bytes(stored.read_bytes()[:100])
    assert len(dsb.load(folder, cache=tmp_path / "cache")) == 2
    assert len(dsb._read_cache(stored)) == 2
    (tmp_path / "blocked").write_text("a file where the cache's folder should be")
    with pytest.warns(UserWarning, match="The next start will be slow"):
        assert len(dsb.load(folder, cache=tmp_path / "blocked")) == 2


def test_a_few_files_are_not_kept(folder, tmp_path):
    dsb.load(folder, cache=tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


def test_a_png_of_one_bit_per_pixel(folder):
    iio.imwrite(folder / "aaa/images/aaa.png", np.eye(8, dtype=bool))
    image = dsb.load(folder, cache=None)[0].image
    assert image.dtype == np.uint8 and image[0, :2, 0].tolist() == [255, 0]


def test_an_image_without_mask(folder):
    shutil.rmtree(folder / "bbb/masks")
    with pytest.raises(ValueError, match=r"bbb/images/bbb\.png: image without mask"):
        dsb.load(folder, cache=None)


def test_a_mask_without_image(folder):
    shutil.rmtree(folder / "bbb/images")
    with pytest.raises(ValueError, match=r"bbb/masks/0\.png: mask without image"):
        dsb.load(folder, cache=None)


def test_two_images_of_one_name(folder):
    shutil.copy(folder / "aaa/images/aaa.png", folder / "aaa/images/second.png")
    with pytest.raises(ValueError, match=r"second\.png: a second image for aaa"):
        dsb.load(folder, cache=None)


def test_sizes_that_differ(folder):
    iio.imwrite(folder / "bbb/masks/1.png", np.zeros((8, 9), np.uint8))
    with pytest.raises(ValueError, match=r"bbb/masks/1\.png: the mask is \(8, 9\) px, its image \(8, 8\) px"):
        dsb.load(folder, cache=None)


def test_mask_values_of_another_kind(folder):
    iio.imwrite(folder / "bbb/masks/1.png", np.arange(64, dtype=np.uint8).reshape(8, 8))
    with pytest.raises(ValueError, match=r"bbb/masks/1\.png: mask values 0, 1, 2, 3, 4, 5"):
        dsb.load(folder, cache=None)


@pytest.mark.parametrize("as_zip", [False, True])
def test_a_truncated_png_names_file_or_member(folder, as_zip):
    path = folder / "bbb/images/bbb.png"
    path.write_bytes(path.read_bytes()[:-30])
    source = zipped(folder) if as_zip else folder
    with pytest.raises(ValueError, match=rf"{source.name}.*bbb/images/bbb\.png: unreadable or truncated"):
        dsb.load(source, cache=None)


def test_a_damaged_zip_member_is_named(folder):
    path = zipped(folder, compression=zipfile.ZIP_STORED)
    content = path.read_bytes()
    image = (folder / "bbb/images/bbb.png").read_bytes()
    place = content.rindex(image)
    path.write_bytes(content[: place + 20] + b"XXXX" + content[place + 24 :])
    with pytest.raises(ValueError, match=r"stage1_train\.zip: bbb/images/bbb\.png: the zip file is damaged here"):
        dsb.load(path, cache=None)


def test_a_truncated_zip_is_named(folder):
    path = zipped(folder)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"stage1_train\.zip: not a readable zip file .* download it again"):
        dsb.load(path, cache=None)


@pytest.mark.parametrize("name", ["../evil/images/a.png", "/etc/images/a.png", "a\\..\\..\\images/a.png", "C:/images/a.png"])
def test_a_member_that_points_outside_is_refused(folder, name):
    path = zipped(folder)
    with zipfile.ZipFile(path, "a") as file:
        file.writestr(name, b"")
    with pytest.raises(ValueError, match="points outside its folder"):
        dsb.load(path, cache=None)


def test_an_empty_folder_and_a_missing_one(tmp_path):
    with pytest.raises(ValueError, match=r"holds no files; expected ImageId/images/\*\.png"):
        dsb.load(tmp_path, cache=None)
    with pytest.raises(ValueError, match="nowhere: no such folder or zip file"):
        dsb.load(tmp_path / "nowhere", cache=None)


def test_one_image_only(tmp_path):
    write(tmp_path, "aaa")
    with pytest.raises(ValueError, match="1 images in 1 independent groups; .* at least 3"):
        dsb.split(dsb.load(tmp_path, cache=None), dsb.CONFIG)


def test_what_a_user_put_into_datasets_is_found(folder):
    assert dsb.find(folder.parent) == folder
    assert dsb.find(folder) == folder
    path = zipped(folder)
    shutil.rmtree(folder)
    assert dsb.find(folder.parent) == path
    shutil.copy(path, path.with_name("stage1_test.zip"))
    assert dsb.find(folder.parent) == path
    path.rename(path.with_name("other.zip"))
    with pytest.raises(ValueError, match=r"holds other\.zip, stage1_test\.zip; say which one with --data"):
        dsb.find(folder.parent)
    path.with_name("other.zip").unlink()
    path.with_name("stage1_test.zip").unlink()
    assert dsb.find(folder.parent) is None


def test_masks_of_class_numbers_are_objects_with_classes_and_the_cache_keeps_them(tmp_path, monkeypatch):
    for kind, values in (("images", np.full((8, 8), 90)), ("masks", np.kron([[1, 0], [2, 1]], np.ones((4, 4))))):
        (tmp_path / "mine" / kind).mkdir(parents=True)
        for name in "ab":
            iio.imwrite(tmp_path / "mine" / kind / f"{name}.png", values.astype(np.uint8))
    monkeypatch.setattr(dsb, "CACHE_FROM", 0)
    config = dsb.CONFIG.replace(classes=3)
    for _ in range(2):
        sample = dsb.load(tmp_path / "mine", config, tmp_path / "cache")[0]
        assert sample.object_classes[sample.mask].tolist() == np.kron([[1, 0], [2, 1]], np.ones((4, 4))).tolist()
        assert sample.mask.max() == 2  # the two parts of class 1 touch at a corner: one object
    assert dsb.load(tmp_path / "mine", dsb.CONFIG, tmp_path / "cache")[0].object_classes is None  # not the other's cache
    with pytest.raises(ValueError, match=r"a\.png: holds the class number 2; with 2 classes|--classes"):
        check_classes(dsb.load(tmp_path / "mine", dsb.CONFIG.replace(classes=4), None), 4)


def test_numbered_nuclei_with_a_map_of_their_classes(tmp_path):
    folder = nuclei(tmp_path / "nuclei", photographs=3, side=128, kinds=2)
    samples = dsb.load(folder, dsb.CONFIG.replace(classes=3), None)
    for sample in samples:
        classes = iio.imread(folder / sample.name / "classes" / f"{sample.name}.png")
        assert (sample.class_map[sample.mask > 0] == classes[sample.mask > 0]).all()
    assert {number for sample in samples for number in sample.object_classes} == {0, 1, 2}


def test_an_object_without_a_class_is_named(tmp_path):
    folder = nuclei(tmp_path / "nuclei", photographs=3, side=128, kinds=2)
    path = next(folder.glob("*/classes/*.png"))
    iio.imwrite(path, np.zeros_like(iio.imread(path)))
    with pytest.raises(ValueError, match=rf"{path.name}: object 1 of the mask has no class here"):
        dsb.load(folder, dsb.CONFIG.replace(classes=3), None)


def test_own_images_under_the_published_name_are_not_the_published_set(folder):
    assert not dsb.RECIPE.is_published(dsb.load(folder, cache=None), folder)


def test_clusters_have_names_that_say_what_they_look_like(nuclei_folder):
    split = dsb.split(dsb.load(nuclei_folder, cache=None), dsb.CONFIG)
    names = dsb.RECIPE.names_of_strata(split)
    assert set(names) == {sample.stratum for sample in split} and len(set(names.values())) == len(names)
    assert any("dark" in name for name in names.values())


def test_the_split_of_simulated_nuclei(nuclei_folder):
    samples = dsb.load(nuclei_folder, cache=None)
    split = dsb.split(samples, dsb.CONFIG)
    names = {role: {sample.name for sample in members} for role, members in split.items()}
    assert set.union(*names.values()) == {sample.name for sample in samples}
    assert sum(map(len, names.values())) == len(samples)
    groups = [{sample.group for sample in members} for _, members in split.items()]
    assert sum(map(len, groups)) < len(samples)  # crops of one photograph were found
    assert not (groups[0] & groups[1] or groups[0] & groups[2] or groups[1] & groups[2])
    assert dsb.split(samples, dsb.CONFIG).to_json() == split.to_json()


def test_fluorescence_is_gray_and_dark():
    dark = np.where(np.arange(64).reshape(8, 8, 1) < 10, 200, 20).astype(np.uint8)
    mask = np.zeros((8, 8), int)
    kinds = [dsb.is_fluorescence(Sample("a", image, mask)) for image in (dark, 255 - dark, np.repeat(dark, 3, axis=2))]
    assert kinds == [True, False, False]


REAL = dsb.find(dsb.CACHE.parent / "dsb")


@pytest.mark.skipif(REAL is None, reason="stage1_train is not in datasets/dsb")
def test_the_published_images():
    """The numbers of datasets/dsb/README.md; each role gets its share of each k-means cluster, to within one image."""
    samples = dsb.load(REAL)
    if len(samples) != 664:
        pytest.skip("not the corrected version of stage1_train")
    assert dsb.RECIPE.is_published(samples, REAL)
    split = dsb.split(samples, dsb.CONFIG)
    members = [sample for _, part in split.items() for sample in part]
    groups = np.bincount([sample.group for sample in members])
    assert (len(groups), groups.max()) == (251, 12)
    shares = (1 - dsb.CONFIG.validation_share - dsb.CONFIG.test_share, dsb.CONFIG.validation_share, dsb.CONFIG.test_share)
    for stratum in range(dsb.CLUSTERS):
        inside = [sample.name for sample in members if sample.stratum == stratum]
        for (_, part), share in zip(split.items(), shares, strict=True):
            held = sum(sample.stratum == stratum for sample in part)
            assert abs(held - share * len(inside)) <= 1

"""What all simulations share: a folder is made once, whole, and never over somebody's files."""

import numpy as np
import pytest

from simulate import scene


def write_names(folder, count):
    for number in range(count):
        (folder / f"{number}.txt").write_text("made")


def test_a_folder_made_before_is_left_and_one_of_other_settings_replaced(tmp_path):
    folder = scene.make_once(tmp_path / "n", {"count": 1}, write_names)
    stamp = folder.stat().st_mtime_ns
    scene.make_once(folder, {"count": 1}, write_names)
    assert folder.stat().st_mtime_ns == stamp
    scene.make_once(folder, {"count": 2}, write_names)
    assert sorted(path.name for path in folder.iterdir()) == ["0.txt", "1.txt", "simulated.json"]


def test_somebodys_files_are_never_replaced(tmp_path):
    (tmp_path / "0.txt").write_text("precious")
    with pytest.raises(ValueError, match="holds files that this program did not make"):
        scene.make_once(tmp_path, {"count": 1}, write_names)
    assert (tmp_path / "0.txt").read_text() == "precious"


def test_of_two_processes_that_simulate_at_once_both_use_the_first(tmp_path):
    def overtaken(folder, count):
        scene.make_once(tmp_path / "n", {"count": count}, write_names)
        (folder / "second.txt").write_text("")

    assert scene.make_once(tmp_path / "n", {"count": 1}, overtaken) == tmp_path / "n"
    assert sorted(path.name for path in (tmp_path / "n").iterdir()) == ["0.txt", "simulated.json"]
    assert [path.name for path in tmp_path.iterdir()] == ["n"]


def test_somebodys_files_that_appear_meanwhile_are_never_replaced(tmp_path):
    def write(folder):
        (tmp_path / "n").mkdir()
        (tmp_path / "n/0.txt").write_text("precious")

    with pytest.raises(OSError, match="n"):
        scene.make_once(tmp_path / "n", {}, write)
    assert [path.name for path in (tmp_path / "n").iterdir()] == ["0.txt"]
    assert [path.name for path in tmp_path.iterdir()] == ["n"]


def test_an_interrupted_simulation_leaves_nothing(tmp_path):
    def write(folder):
        write_names(folder, 1)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        scene.make_once(tmp_path / "n", {}, write)
    assert list(tmp_path.iterdir()) == []


def test_noise_is_of_unit_strength_and_smooth_along_the_axes_asked_for():
    noise = scene.smooth_noise(np.random.default_rng(0), (64, 64), (0, 3))
    assert noise.dtype == np.float32 and noise.std() == pytest.approx(1)
    down, along = np.mean(noise[:-1] * noise[1:]), np.mean(noise[:, :-1] * noise[:, 1:])
    assert abs(down) < 0.3 < 0.9 < along


def test_uneven_light_stays_within_its_bounds():
    light = scene.illumination(np.random.default_rng(0), (48, 64))
    assert light.shape == (48, 64) and light.dtype == np.float32
    assert -0.65 < light.min() < light.max() < 0.65

"""`pip install .`: one package, whose modules import each other inside it, and no name that could hide a user's module."""

import ast
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tomllib
import venv
import zipfile
from pathlib import Path

import imageio.v3 as imageio
import pytest
from drawn import nuclei
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
SPEC = importlib.util.spec_from_file_location("package", ROOT / "installation/package.py")
package = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(package)

OWN = {"data", "files", "scores"}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
NOT_OURS = "raise SystemExit('the file of the user was imported')\n"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("import data", "import microscopy_unet.data as data"),
        ("import data as d, os", "import microscopy_unet.data as d, os"),
        ("import os, data", "import os, microscopy_unet.data as data"),
        (
            "import scores.matching",
            "import microscopy_unet.scores.matching as scores, microscopy_unet.scores as scores",
        ),
        ("import scores.matching as m", "import microscopy_unet.scores.matching as m"),
        ("from data import Sample as S, Split", "from microscopy_unet.data import Sample as S, Split"),
        ("from  scores.matching  import (  # why\n  a,\n  b,\n)", None),
        ("def f():\n    from scores import matching", None),
        ("µ = 'µm'; from data import Sample", None),
        (
            "if data:\n\timport data; import files",
            "if data:\n\timport microscopy_unet.data as data; import microscopy_unet.files as files",
        ),
        ("import data_tools, numpy.data", "import data_tools, numpy.data"),
        ("from database import data", "from database import data"),
        ("from . import data\nfrom .files import x", "from . import data\nfrom .files import x"),
        ("text = 'import data'  # from data import x", "text = 'import data'  # from data import x"),
    ],
)  # fmt: skip
def test_imports_are_rewritten_where_they_stand(before, after):
    after = after or re.sub(r"from +(?=scores|data)", lambda found: found[0] + "microscopy_unet.", before)
    assert package.rewrite(before, OWN, "a.py") == after


@pytest.mark.parametrize(
    "text", ["from \\\n  data import x", "import_module('data')", "importlib.import_module('scores.matching')"]
)
def test_an_import_that_cannot_be_rewritten_is_named(text):
    with pytest.raises(ValueError, match=r"a/b\.py, line 2: cannot rewrite"):
        package.rewrite(f"import os\n{text}\n", OWN, "a/b.py")


def test_rewritten_modules_find_each_other(tmp_path, monkeypatch):
    """Run a small package that imports in every way, beside modules of the same names that must not be imported."""
    files = {
        "data.py": "import scores.matching\nfrom scores import matching as m\nvalue = scores.matching.one() + m.one()\n",
        "scores/__init__.py": '"""Scores."""\n',
        "scores/matching.py": "def one():\n    import files\n    from files import number as n\n    return files.number * n\n",
        "files.py": "number = 3\n",
    }
    for name, text in files.items():
        path = tmp_path / "microscopy_unet" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(package.rewrite(text, OWN, name))
        (tmp_path / name.partition("/")[0].removesuffix(".py")).with_suffix(".py").write_text(NOT_OURS)
    monkeypatch.syspath_prepend(tmp_path)
    assert importlib.import_module("microscopy_unet.data").value == 18
    for name in [name for name in sys.modules if name.startswith("microscopy_unet")]:
        del sys.modules[name]


def test_every_module_of_the_program_can_be_rewritten():
    files = package.program_files(ROOT)
    own = package.own_names(files)
    assert {"data", "segmentation", "train_and_predict", "readers", "system"} <= own
    assert not own & {"installation", "tests", "weights"}
    assert {Path("weights/nuclei.keras"), Path("weights/nuclei.json"), Path("scores/matching.py")} <= set(files)
    for path in files:
        if path.suffix == ".py":
            text = (ROOT / path).read_text(encoding="utf-8")
            changed = package.rewrite(text, own, str(path))
            assert changed.count("\n") == text.count("\n")
            assert not {name for name in imported(changed) if name.partition(".")[0] in own}, path


def imported(text):
    """The modules that a file imports."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.module


def pins(name):
    """{package: version} of a file of requirements, without the files that it includes."""
    lines = [line for line in (ROOT / name).read_text(encoding="utf-8").splitlines() if re.match(r"\w", line)]
    return dict(line.split("==") for line in lines)


def test_every_pin_lies_within_its_range():
    extras = PROJECT["optional-dependencies"]
    ranges = [Requirement(text) for text in PROJECT["dependencies"] + extras["notebooks"] + extras["machines"]]
    ranges = {wanted.name: wanted.specifier for wanted in ranges}
    pinned = pins("requirements.txt") | pins("requirements-machines.txt")
    assert set(ranges) == set(pinned)
    assert [name for name, version in pinned.items() if version not in ranges[name]] == []
    gpu = Requirement(extras["gpu"][0])
    assert gpu.extras == {"and-cuda"} and gpu.specifier == ranges["tensorflow"]


def test_the_ranges_are_those_of_the_code():
    tested = re.search(r"Python ([\d., and]+)\.", (ROOT / "requirements.txt").read_text(encoding="utf-8"))[1]
    for version in re.findall(r"3\.\d+", tested):
        assert version in Requirement(f"x{PROJECT['requires-python']}").specifier
    assert set(PROJECT["scripts"].values()) == {"microscopy_unet.train_and_predict:main", "microscopy_unet.predict:main"}


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A copy of what the package is built from, because building leaves files there."""
    target = tmp_path_factory.mktemp("source")
    others = ("installation/package.py", "pyproject.toml", "README.md", "LICENSE")
    for path in [*package.program_files(ROOT), *map(Path, others)]:
        (target / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / path, target / path)
    return target


def pip(*arguments):
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.fixture(scope="module")
def wheel(source, tmp_path_factory):
    """The wheel, built with the setuptools of this environment."""
    stale = source / "build/lib/microscopy_unet/old_module.py"  # as an earlier build may leave it
    stale.parent.mkdir(parents=True)
    stale.write_text("")
    folder = tmp_path_factory.mktemp("wheel")
    done = pip("wheel", "--no-deps", "--no-build-isolation", "-w", folder, source)
    assert done.returncode == 0, done.stdout + done.stderr
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """A function that runs a program of a new environment in a folder with a data.py and a files.py of the user."""
    environment, empty = tmp_path_factory.mktemp("environment"), tmp_path_factory.mktemp("empty")
    venv.create(environment)
    folder = environment / ("Scripts" if os.name == "nt" else "bin")
    packages = next(environment.rglob("site-packages"))
    (packages / "tested.pth").write_text("\n".join(path for path in sys.path if path.endswith("site-packages")))
    done = pip("--python", folder / "python", "install", "--no-deps", "--no-index", wheel)
    assert done.returncode == 0, done.stdout + done.stderr
    for name in ("data.py", "files.py", "scores.py"):
        (empty / name).write_text(NOT_OURS)
    hidden = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}

    def run(program, *arguments):
        command = [str(folder / program), *map(str, arguments)]
        return subprocess.run(command, cwd=empty, env=hidden, capture_output=True, text=True, timeout=500)

    run.folder = empty
    return run


@pytest.mark.slow
def test_the_wheel_holds_one_package(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.partition("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"microscopy_unet"}
    unwanted = ("old_module", "__pycache__", "/tests/", "installation/")
    assert not [name for name in names if any(part in name for part in unwanted)]
    assert {"microscopy_unet/weights/nuclei.keras", "microscopy_unet/readers/images.py"} <= set(names)


@pytest.mark.slow
def test_segment_works_beside_modules_of_the_user(installed):
    image, truth = nuclei(6, 7)
    imageio.imwrite(installed.folder / "nuclei.png", image)
    program = (
        "import sys, microscopy_unet\n"
        "print('tensorflow' in sys.modules, microscopy_unet.__version__)\n"
        "import imageio.v3 as imageio\n"
        "from microscopy_unet import open_network, segment\n"
        "found = segment(imageio.imread('nuclei.png'), open_network('nuclei'))\n"
        "print(found.objects.max(), {'data', 'files', 'scores'} & set(sys.modules))\n"
    )
    done = installed("python", "-c", program)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n")[:2] == [f"False {PROJECT['version']}", f"{truth.max()} set()"]


@pytest.mark.slow
def test_the_commands_work_in_any_folder(installed):
    """Also the processes that they start: workers of Dask and those that prepare batches."""
    pytest.importorskip("distributed", reason="Dask comes with requirements-machines.txt")
    (installed.folder / "images").mkdir()
    imageio.imwrite(installed.folder / "images" / "a.png", nuclei(6, 7)[0])
    done = installed("unet-predict", "images", "--dask", "1")
    assert done.returncode == 0, done.stdout + done.stderr
    assert (installed.folder / "predictions" / "a_objects.tif").exists()
    small = "--filters 4 --depth 2 --tile 64 --overlap 16 --batch-size 4 --epochs 1 --steps 2 --workers 1"
    done = installed("python", "-m", "microscopy_unet.train_and_predict", "dsb", *small.split())
    assert done.returncode == 0, done.stdout + done.stderr
    (scores,) = (installed.folder / "runs" / "dsb").glob("*/scores.json")
    assert scores.exists() and (installed.folder / "datasets" / "simulated" / "dsb").is_dir()


@pytest.mark.slow
def test_an_editable_installation_is_refused(source, tmp_path):
    done = pip("install", "--no-deps", "--no-build-isolation", "--target", tmp_path, "--editable", source)
    assert done.returncode != 0
    assert "cannot be installed with --editable, because the installation rewrites all imports" in done.stdout + done.stderr


@pytest.mark.slow
def test_a_source_archive_gives_the_same_wheel(source, wheel, tmp_path):
    program = "import sys; from setuptools import build_meta; build_meta.build_sdist(sys.argv[1])"
    subprocess.run([sys.executable, "-c", program, tmp_path], cwd=source, check=True, capture_output=True)
    done = pip("wheel", "--no-deps", "--no-build-isolation", "-w", tmp_path, next(tmp_path.glob("*.tar.gz")))
    assert done.returncode == 0, done.stdout + done.stderr
    again = next(tmp_path.glob("*.whl"))
    assert zipfile.ZipFile(again).namelist() == zipfile.ZipFile(wheel).namelist()

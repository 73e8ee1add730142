"""CONTRIBUTING.md and the files of the project: the example recipe runs, what is named exists, versions agree."""

import re
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from drawn import nuclei

import recipe
import train_and_predict
from data import ROLES
from system.files import read_json

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```", TEXT, re.M | re.S)
SMALL = "--filters 4 --depth 2 --tile 32 --overlap 8 --batch-size 4 --epochs 1 --steps 2 --workers 0 --precision float32"

OPTIONAL = ("dask", "distributed", "zarr", "ome_zarr", "jax", "openvino", "onnx", "onnxruntime", "torch", "elasticdeform")


@pytest.fixture
def registered(tmp_path, monkeypatch):
    """The name of the example recipe, written and registered as the page says."""
    (code,) = [block for block in BLOCKS if "RECIPE = " in block]
    (line,) = [block for block in BLOCKS if re.fullmatch(r'"\w+": ".+",\n', block)]
    ((name, text),) = re.findall(r'"(\w+)": "(.+)"', line)
    assert f"`{name}.py`" in TEXT and "recipe.py" in TEXT
    (tmp_path / f"{name}.py").write_text(code, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(recipe.RECIPES, name, text)
    return name


@pytest.fixture
def dishes(tmp_path):
    """Two drawn fields of each of four dishes, six objects in each."""
    folder = tmp_path / "my_yeast"
    for kind in ("images", "masks"):
        (folder / kind).mkdir(parents=True)
    image, truth = nuclei(2, 3)
    for dish in "abcd":
        for field in (1, 2):
            cv2.imwrite(str(folder / "images" / f"{dish}_{field}.png"), np.roll(image, ord(dish) * 5 + field, axis=1))
            numbers = np.roll(truth, ord(dish) * 5 + field, axis=1).astype(np.uint16)
            cv2.imwrite(str(folder / "masks" / f"{dish}_{field}.png"), numbers)
    return folder


def test_the_example_recipe_runs(registered, dishes, tmp_path):
    run = tmp_path / "run"
    train_and_predict.main([registered, "--data", str(dishes), "--output", str(run), *SMALL.split()])
    split = read_json(run / "split.json")
    roles = {role: {name[0] for name in split[role]} for role in ROLES}  # dishes
    assert sorted(dish for found in roles.values() for dish in found) == list("abcd") and all(roles.values())
    assert sum(len(split[role]) for role in ROLES) == 8
    assert read_json(run / "scores.json")["title"] == "my_yeast, own images"
    assert (run / "model.keras").exists() and (run / "model.json").exists()


def test_the_example_recipe_without_images_says_where_to_put_them(registered):
    with pytest.raises(SystemExit, match=r"datasets/yeast: holds no images; put yours there, or name their folder with --data"):
        train_and_predict.main([registered])


def test_what_the_page_names_exists():
    for name in re.findall(r"`([\w./-]+\.(?:py|md|txt|toml|ipynb))`", TEXT):
        if not name.startswith(("yeast", "model", "requirements-formats", "requirements-review")):
            assert (ROOT / name).exists() or list(ROOT.glob(f"*/{name}")), name
    for folder in re.findall(r"`(\w+)/`", TEXT):
        assert (ROOT / folder).is_dir() or folder == "runs", folder
    sections = re.findall(r"^## (.+)", TEXT, re.M)
    assert {"Set-up", "Tests", "Allowed imports", "Add a recipe", "Add a score", "Add a setting"} <= set(sections)


def test_the_linter_has_one_version():
    (pinned,) = re.findall(r"^ruff==(.+)$", (ROOT / "requirements-dev.txt").read_text(), re.M)
    hook = (ROOT / ".pre-commit-config.yaml").read_text()
    assert re.findall(r"ruff-pre-commit\n +rev: v(\S+)", hook) == [pinned]
    assert re.findall(r"- id: (\S+)", hook) == ["ruff-check", "ruff-format"]


def test_the_workflow_runs_all_supported_versions():
    workflow = (ROOT / ".github/workflows/tests.yml").read_text()
    assert "run: .ci/run" in workflow
    tested = re.search(r"Python ([\d., and]+)\.", (ROOT / "requirements.txt").read_text())[1]
    assert re.findall(r"3\.\d+", workflow) == re.findall(r"3\.\d+", tested)


def commands(text, tmp_path):
    """The commands that .ci/commands.awk finds in a page."""
    (tmp_path / "page.md").write_text(text, encoding="utf-8")
    command = ["awk", "-f", ROOT / ".ci/commands.awk", tmp_path / "page.md"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()


def test_lines_of_a_command_are_joined(tmp_path):
    page = "text \\\n```\n$ a && \\\n  b \\\n  c\nd\n```\ne\n```sh\nf \\\n```\nnot in a block\n```\ng\n```\n"
    assert commands(page, tmp_path) == ["a &&   b   c", "d", "g"]


def test_the_first_two_commands_of_the_readme_are_the_run_and_the_tests(tmp_path):
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    run, tests = [command for command in commands(page, tmp_path) if ".venv" in command][:2]
    assert "requirements.txt" in run and run.endswith("python train_and_predict.py")
    assert "requirements-dev.txt" in tests and tests.endswith(".venv/bin/python -m pytest")


PLACES = [path for path in ROOT.glob("*/*.py") if path.parent.name != "tests"]
SCRIPTS = [path for path in PLACES if "ArgumentParser(" in path.read_text(encoding="utf-8")]
SCRIPTS = sorted(str(path.relative_to(ROOT)) for path in SCRIPTS if not (path.parent / "__init__.py").exists())


@pytest.mark.slow
@pytest.mark.parametrize("script", ["train_and_predict.py", "predict.py", *SCRIPTS])
def test_scripts_start_from_any_folder(script, tmp_path):
    done = subprocess.run([sys.executable, ROOT / script, "--help"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0 and "--help" in done.stdout, done.stderr


@pytest.mark.slow
def test_tests_of_optional_packages_are_skipped_where_these_are_absent(tmp_path):
    """No file of tests fails when it is read, and no test of Dask, JAX or OpenVINO when it is run."""
    (tmp_path / "absent.py").write_text(
        "import sys\n"
        "class Absent:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name.partition('.')[0] in {OPTIONAL}:\n"
        "            raise ModuleNotFoundError(name, name=name)\n"
        "sys.meta_path.insert(0, Absent())\n"
        "import pytest\n"
        "sys.exit(pytest.main(['-n', '0', '-p', 'no:cacheprovider', *sys.argv[1:]]))\n"
    )
    files = [f"tests/test_{name}.py" for name in ("cluster", "scans", "nodes", "augment", "prediction")]
    for arguments in (["--collect-only", "tests"], files):
        command = [sys.executable, tmp_path / "absent.py", *arguments]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout
    for package in ("Dask", "JAX", "OpenVINO"):
        assert re.search(rf"SKIPPED .*: {package} is in requirements-\w+\.txt", done.stdout), package


def test_optional_packages_are_imported_only_where_they_are_needed():
    """A module that imports one at its top could not be imported without it; only some of `parallel/` are all about Dask."""
    pattern = rf"^(from|import) ({'|'.join(OPTIONAL)})\b"
    files = [*ROOT.glob("*.py"), *(path for init in ROOT.glob("*/__init__.py") for path in init.parent.rglob("*.py"))]
    found = {path.parent.name for path in files if re.search(pattern, path.read_text(encoding="utf-8"), re.M)}
    assert found == {"parallel"}

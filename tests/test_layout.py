"""The layout that every tool has to agree on: links, package list, names, the wheel, and a live path without torch."""

from __future__ import annotations

import importlib.metadata
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
MAPPED = ("realtime", "training", "export", "benchmarks")
PYPROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
SETUPTOOLS: dict[str, Any] = PYPROJECT["tool"]["setuptools"]
FOREIGN = {
    "cv2",
    "torch",
    "onnx",
    "onnxruntime",
    "tensorrt",
    "openvino",
    "mediapipe",
    "av",
    "skimage",
    "sklearn",
    "yaml",
}
"""Top-level names that are refused even where the package is not installed."""


def product_files() -> dict[str, Path]:
    """Every Python file of the product by dotted name, each folder entered once and never through a link."""
    found: dict[str, Path] = {}
    for folder in ("tsfmicro", *MAPPED):
        prefix = "" if folder == "tsfmicro" else "tsfmicro."
        for path in sorted((ROOT / folder).rglob("*.py")):
            inside = path.relative_to(ROOT)
            if folder == "tsfmicro" and inside.parts[1] in MAPPED:
                continue  # older Pythons follow links in rglob
            found[prefix + ".".join(inside.with_suffix("").parts)] = path
    return found


@pytest.mark.parametrize("folder", MAPPED)
def test_link_and_package_dir_agree(folder: str) -> None:
    assert SETUPTOOLS["package-dir"][f"tsfmicro.{folder}"] == folder
    link = ROOT / "tsfmicro" / folder
    if link.is_file() and not link.is_symlink():
        pytest.skip("checkout without symbolic links (git config core.symlinks false)")
    assert link.is_symlink(), f"tsfmicro/{folder} has to be a link to ../{folder}"
    assert link.resolve() == ROOT / folder


def test_every_package_is_shipped() -> None:
    packages = {name.removesuffix(".__init__") for name in product_files() if name.endswith(".__init__")}
    assert set(SETUPTOOLS["packages"]) == packages, "pyproject.toml [tool.setuptools] packages"


def test_every_module_lies_in_a_package() -> None:
    files = product_files()
    homeless = [name for name in files if f"{name.rpartition('.')[0]}.__init__" not in files]
    assert not homeless, f"their folder has no __init__.py: {homeless}"


def test_no_module_takes_a_foreign_name() -> None:
    extras = PYPROJECT["project"]["optional-dependencies"].values()
    wanted = [*PYPROJECT["project"]["dependencies"], *(line for extra in extras for line in extra)]
    ours = {re.split(r"[^\w-]", line)[0].replace("_", "-").lower() for line in wanted}
    installed = {
        top
        for top, distributions in importlib.metadata.packages_distributions().items()
        if ours & {name.replace("_", "-").lower() for name in distributions}
    }
    assert "numpy" in installed
    taken = sys.stdlib_module_names | FOREIGN | installed
    own = {name.removesuffix(".__init__").rpartition(".")[2] for name in product_files()}
    assert not own & taken, "a script started in that folder would import ours instead"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel, built by way of the sdist from a copy, so that both are complete and the checkout stays clean."""
    copy = tmp_path_factory.mktemp("source") / "tsfmicro-checkout"
    copy.mkdir()
    caches = shutil.ignore_patterns("__pycache__", ".*")
    for folder in ("tsfmicro", *MAPPED):
        shutil.copytree(ROOT / folder, copy / folder, symlinks=True, ignore=caches)
    for file in ("pyproject.toml", "README.md", "LICENSE", "NOTICE"):
        shutil.copy(ROOT / file, copy)
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(copy / "dist"), str(copy)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    (built,) = (copy / "dist").glob("*.whl")
    return zipfile.ZipFile(built)


def test_wheel_has_one_top_level_package(wheel: zipfile.ZipFile) -> None:
    tops = {PurePosixPath(name).parts[0] for name in wheel.namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"tsfmicro"}


def test_wheel_has_every_module(wheel: zipfile.ZipFile) -> None:
    shipped = {name for name in wheel.namelist() if name.endswith(".py")}
    assert shipped == {name.replace(".", "/") + ".py" for name in product_files()}


def test_wheel_has_the_data(wheel: zipfile.ZipFile) -> None:
    names = set(wheel.namelist())
    assert "tsfmicro/py.typed" in names
    schemas = {f"tsfmicro/realtime/schema/{path.name}" for path in (ROOT / "realtime" / "schema").glob("*.json")}
    assert schemas, "realtime/schema/ holds no JSON Schema"
    assert schemas <= names
    assert {f"tsfmicro/training/datasets/errata/{name}.csv" for name in ("casme2", "samm", "casme3a")} <= names
    assert "tsfmicro/training/published.csv" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert any(name.endswith("licenses/NOTICE") for name in names)


def test_wheel_has_the_demonstration_bundle(wheel: zipfile.ZipFile) -> None:
    bundle = ROOT / "tsfmicro" / "bundles" / "demonstration.tsf"
    if not bundle.is_dir():
        pytest.skip("tsfmicro/bundles/demonstration.tsf is not in this checkout yet")
    files = {path.relative_to(ROOT).as_posix() for path in bundle.rglob("*") if path.is_file()}
    assert "tsfmicro/bundles/demonstration.tsf/manifest.json" in files
    assert files <= set(wheel.namelist())


WITH_TORCH = (
    "tsfmicro.models",
    "tsfmicro.runners.torch_forward",
    "tsfmicro.runners.torch_runner",
    "tsfmicro.runners.torch_window",
    *(f"tsfmicro.{f}" for f in MAPPED if f != "realtime"),
)
IMPORT_ALL = """
import importlib, sys
for name in sys.argv[1:]:
    importlib.import_module(name)
print(*sorted({"torch", "torchvision", "facenet_pytorch"} & set(sys.modules)))
"""


def test_live_path_imports_no_torch(tmp_path: Path) -> None:
    names = [name.removesuffix(".__init__") for name in product_files()]
    live = [name for name in names if not f"{name}.".startswith(tuple(f"{part}." for part in WITH_TORCH))]
    assert {"tsfmicro.realtime", "tsfmicro.runners", "tsfmicro.bundle"} <= set(live)
    command = [sys.executable, "-c", IMPORT_ALL, *live]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    assert not done.stdout.strip(), f"the live path imported {done.stdout.strip()}"

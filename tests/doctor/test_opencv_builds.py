"""OpenCV: two distributions in one folder, torsos, headless builds, missing system libraries."""

from __future__ import annotations

import base64
import hashlib
import tomllib
from dataclasses import replace
from importlib import metadata
from pathlib import Path

import pytest

from tests.doctor.examples import ROOT, WHEEL
from tsfmicro.doctor import opencv_builds
from tsfmicro.doctor.opencv_builds import TESTED, WANTED, Build, gather_builds, judge_builds, judge_import
from tsfmicro.doctor.processes import Answer

CONTRIB = Build(WANTED, "4.11.0.86", 131, 0)
MAIN = Build("opencv-python", "4.12.0.88", 120, 0)
IMPORTED = {"version": "4.11.0", "folder": "/env/cv2", "gui": "QT5", "v4l2": True, "parts": True}


def installed(folder: Path, name: str, version: str, files: dict[str, str]) -> None:
    """What an installer leaves: files, and a RECORD with the hash that each had."""
    information = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    information.mkdir(parents=True)
    (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    record = []
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode().rstrip("=")
        record.append(f"{path},sha256={digest},{len(text)}")
    (information / "RECORD").write_text("\n".join([*record, f"{information.name}/RECORD,,"]) + "\n")


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    found = metadata.distributions
    monkeypatch.setattr(metadata, "distributions", lambda: found(path=[str(tmp_path)]))
    return tmp_path


def test_one_whole_build(environment: Path) -> None:
    installed(environment, "opencv_contrib_python", "4.11.0.86", {"cv2/__init__.py": "a", "cv2/cv2.so": "b", "x": "y"})
    installed(environment, "numpy", "1.26.4", {"numpy/__init__.py": "c"})
    builds = gather_builds()
    assert builds == [Build(WANTED, "4.11.0.86", 2, 0)]
    (found,) = judge_builds(builds, WHEEL)
    assert (found.status, found.fix) == ("ok", None)


def test_a_second_build_overwrites_the_first(environment: Path) -> None:
    installed(environment, WANTED, "4.11.0.86", {"cv2/__init__.py": "same", "cv2/cv2.so": "contrib"})
    installed(environment, "opencv-python", "4.12.0.88", {"cv2/__init__.py": "same", "cv2/cv2.so": "main"})
    builds = gather_builds()
    assert builds == [Build(WANTED, "4.11.0.86", 2, 1), Build("opencv-python", "4.12.0.88", 2, 0)]
    (found,) = judge_builds(builds, WHEEL)
    assert found.status == "fail"
    assert "1 of 2 files of opencv-contrib-python were overwritten" in found.detail
    assert found.fix == (
        "/env/bin/python -m pip uninstall -y opencv-contrib-python opencv-python && "
        "/env/bin/python -m pip install --force-reinstall --no-deps opencv-contrib-python==4.11.0.86"
    )


def test_removing_the_second_build_leaves_a_torso(environment: Path) -> None:
    installed(environment, WANTED, "4.11.0.86", {"cv2/__init__.py": "a", "cv2/cv2.so": "b"})
    (environment / "cv2" / "cv2.so").unlink()
    (found,) = judge_builds(gather_builds(), WHEEL)
    assert found.status == "fail" and "1 of 2 files" in found.detail
    assert found.fix and found.fix.endswith("--force-reinstall --no-deps opencv-contrib-python==4.11.0.86")


def test_two_builds_of_one_version_work_by_luck() -> None:
    (found,) = judge_builds([CONTRIB, replace(MAIN, version="4.11.0.86")], WHEEL)
    assert found.status == "warn" and "agree so far" in found.detail


@pytest.mark.parametrize(
    ("build", "status", "hint"),
    [
        (replace(CONTRIB, version="5.0.0.93"), "fail", ">=4.10,<5 is needed"),
        (replace(CONTRIB, name="opencv-contrib-python-headless"), "warn", "without windows"),
        (replace(MAIN, version="4.11.0.86"), "warn", "in place of opencv-contrib-python"),
    ],
)
def test_a_build_other_than_the_tested(build: Build, status: str, hint: str) -> None:
    (found,) = judge_builds([build], WHEEL)
    assert found.status == status and hint in found.detail
    assert found.fix and f"{WANTED}=={TESTED}" in found.fix


def test_no_build_at_all() -> None:
    (found,) = judge_builds([], WHEEL)
    assert found.status == "fail" and "not installed" in found.detail


def test_the_real_one_is_read_whole() -> None:
    builds = gather_builds()
    assert builds and all(build.files > 50 for build in builds)


def test_range_and_tested_version_are_those_of_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert f"{WANTED}{opencv_builds._RANGE}" in project["dependencies"]
    assert f"{WANTED}=={TESTED}" in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()


# --- the import -----------------------------------------------------------------------------------------------------


def test_an_import_that_works() -> None:
    (found,) = judge_import(Answer(IMPORTED), WHEEL)
    assert found.status == "ok" and "QT5" in found.detail


@pytest.mark.parametrize(
    ("library", "package"),
    [("libGL.so.1", "libgl1"), ("libgthread-2.0.so.0", "libglib2.0-0"), ("libSM.so.6", "libsm6")],
)
def test_a_missing_system_library_is_named_by_its_package(library: str, package: str) -> None:
    problem = f"ImportError: {library}: cannot open shared object file: No such file or directory"
    (found,) = judge_import(Answer({}, problem), WHEEL)
    assert found.status == "fail"
    assert found.fix and found.fix.startswith("sudo apt-get install libgl1") and package in found.fix


def test_an_import_that_stumbles_over_numpy() -> None:
    (found,) = judge_import(Answer({}, "ImportError: numpy.core.multiarray failed to import"), WHEEL)
    assert found.status == "fail" and found.fix == "/env/bin/python -m pip install 'numpy>=1.26,<2'"


@pytest.mark.parametrize("answer", [Answer({}, "AttributeError: no attribute"), Answer({**IMPORTED, "parts": False})])
def test_a_torso_is_installed_again(answer: Answer) -> None:
    (found,) = judge_import(answer, WHEEL)
    assert found.status == "fail" and found.fix and "--force-reinstall" in found.fix

"""Python, requirements, tested versions, conflicts, and the commands that install."""

from __future__ import annotations

import sys
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.doctor.examples import CHECKOUT, ROOT, WHEEL
from tsfmicro.doctor import packages
from tsfmicro.doctor.installation import this_installation
from tsfmicro.doctor.packages import Conflicts, Package, gather_packages, judge_conflicts, judge_packages, judge_python
from tsfmicro.doctor.processes import ToolRun
from tsfmicro.doctor.requirements import Requirement, parse_requirement, release, satisfies
from tsfmicro.errors import ContractError

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


CONSTRAINED = "/env/bin/python -m pip install -c /src/tsf/constraints.txt"
NUMPY = Requirement("numpy", ">=1.26,<2")
AV = Requirement("av", ">=17,<19")


# --- requirements ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "specifier", "fits"),
    [
        ("1.26.4", ">=1.26,<2", True),
        ("2.0.0", ">=1.26,<2", False),
        ("2", ">=1.26,<2", False),
        ("1.9", ">=1.26", False),
        ("0.10.21", "==0.10.21", True),
        ("0.10.21.0", "==0.10.21", True),
        ("0.10.2", "==0.10.21", False),
        ("2.11.0+cu130", ">=2.9,<3", True),
        ("5.0.0rc1", "<5", False),
        ("1.1", "!=1.1", False),
        ("1.2", ">1.1,<=1.2", True),
        ("anything", "", True),
    ],
)
def test_ranges(version: str, specifier: str, fits: bool) -> None:
    assert satisfies(version, specifier) is fits


@given(st.lists(st.integers(0, 99), min_size=1, max_size=4), st.lists(st.integers(0, 99), min_size=1, max_size=4))
def test_ranges_order_versions_as_their_numbers(a: list[int], b: list[int]) -> None:
    first, second = (".".join(map(str, part)) for part in (a, b))
    padded = [part + [0] * (4 - len(part)) for part in (a, b)]
    assert satisfies(first, f">={second}") is (padded[0] >= padded[1])
    assert satisfies(first, f"<{second}") is (padded[0] < padded[1])
    assert satisfies(first, f"=={second}") is (padded[0] == padded[1])
    assert release(first) == tuple(a)


def test_a_requirement_of_a_wheel_names_its_extra() -> None:
    assert parse_requirement("torch<3,>=2.9; extra == 'train'") == Requirement("torch", "<3,>=2.9", "train")
    assert parse_requirement("scikit_image >= 0.24") == Requirement("scikit-image", ">=0.24")


@pytest.mark.parametrize("text", ["", "numpy~=1.0", "numpy==1.*", "torch @ file:///x", ">=1"])
def test_a_requirement_that_cannot_be_compared_is_refused(text: str) -> None:
    with pytest.raises(ContractError, match="cannot be read"):
        parse_requirement(text)


def test_every_requirement_of_this_project_can_be_read() -> None:
    found = {(package.requirement.name, package.requirement.extra) for package in gather_packages(this_installation())}
    assert ("mediapipe", "") in found and ("torch", "train") in found and ("openvino", "openvino") in found
    lines = [*PROJECT["dependencies"], *(line for extra in PROJECT["optional-dependencies"].values() for line in extra)]
    assert len(gather_packages(this_installation())) == len(lines)


def test_a_wheel_is_read_from_its_metadata(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = ["numpy<2,>=1.26", "torch>=2.9; extra == 'train'"]
    monkeypatch.setattr(packages, "requires", lambda name: lines)
    found = gather_packages(WHEEL)
    assert [str(package.requirement) for package in found] == ["numpy<2,>=1.26", "torch>=2.9"]
    assert found[0].installed is not None and found[0].tested is None


def test_constraints_beside_a_checkout_are_the_tested_versions() -> None:
    here = this_installation()
    assert here.checkout == ROOT
    tested = {package.requirement.name: package.tested for package in gather_packages(here)}
    assert tested["mediapipe"] == "0.10.21" and tested["numpy"] is not None
    assert tested["tensorrt"] is None  # not part of the tested environment


# --- judging --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "status"),
    [((3, 11, 7), "ok"), ((3, 12, 0), "ok"), ((3, 10, 9), "fail"), ((3, 13, 1), "fail"), ((4, 11, 0), "fail")],
)
def test_python(version: tuple[int, int, int], status: str) -> None:
    (found,) = judge_python(version, "/env/bin/python")
    assert found.status == status
    assert ".".join(map(str, version)) in found.detail


def test_supported_pythons_are_those_of_pyproject() -> None:
    low, high = (f"3.{minor}" for minor in (11, 13))
    assert PROJECT["requires-python"] == f">={low},<{high}"


def test_all_in_range_and_as_tested() -> None:
    here = [Package(NUMPY, "1.26.4", "1.26.4"), Package(AV, "18.1.0", "18.1.0")]
    assert [f.status for f in judge_packages(here, CHECKOUT)] == ["ok", "ok"]


def test_a_package_that_is_missing() -> None:
    (found, _) = judge_packages([Package(AV, None, "18.1.0")], CHECKOUT)
    assert found.status == "fail" and "av>=17,<19 is not installed" in found.detail
    assert found.fix == f"{CONSTRAINED} av==18.1.0"


def test_several_bad_packages_are_mended_by_one_command() -> None:
    torch = Package(Requirement("torch", ">=2.9,<3", "train"), "2.2.0", "2.11.0")
    need, extra, _ = judge_packages([Package(AV, None, "18.1.0"), Package(NUMPY, "2.0", "1.26.4"), torch], CHECKOUT)
    assert (need.status, need.fix) == ("fail", f"{CONSTRAINED} av==18.1.0 numpy==1.26.4")
    assert (extra.status, extra.fix) == ("warn", f"{CONSTRAINED} torch==2.11.0")
    assert "av" in need.detail and "numpy" in need.detail and "torch" in extra.detail


def test_numpy_2_is_refused_with_its_reason() -> None:
    (found, _) = judge_packages([Package(NUMPY, "2.1.0", None)], WHEEL)
    assert found.status == "fail" and "numpy is 2.1.0" in found.detail and "built for numpy 1" in found.detail
    assert found.fix == "/env/bin/python -m pip install 'numpy>=1.26,<2'"


def test_an_extra_may_be_missing_and_is_only_warned_about() -> None:
    torch = Requirement("torch", ">=2.9,<3", "train")
    assert [f.status for f in judge_packages([Package(torch, None, "2.11.0")], CHECKOUT)] == ["ok", "ok"]
    (found, _) = judge_packages([Package(torch, "2.2.0", None)], WHEEL)
    assert found.status == "warn" and "extra 'train'" in found.detail


def test_opencv_is_left_to_its_own_check() -> None:
    opencv = Package(Requirement("opencv-contrib-python", ">=4.10,<5"), None, "4.11.0.86")
    assert [f.status for f in judge_packages([opencv], CHECKOUT)] == ["ok", "ok"]


def test_other_versions_than_tested_are_named_together() -> None:
    torch = Package(Requirement("torch", ">=2.9,<3", "train"), "2.11.0+cpu", "2.11.0")
    tool = Package(Requirement("ruff", ">=0.9", "dev"), "0.9.1", "0.17.5")
    found = judge_packages([Package(NUMPY, "1.26.3", "1.26.4"), Package(AV, "17.0", "18.1.0"), torch, tool], CHECKOUT)[
        1
    ]
    assert (found.check, found.status) == ("tested-versions", "warn")
    assert "numpy 1.26.3 (tested: 1.26.4)" in found.detail and "torch" not in found.detail
    assert found.fix == f"{CONSTRAINED} numpy==1.26.4 av==18.1.0"


def test_without_constraints_nothing_is_compared() -> None:
    found = judge_packages([Package(NUMPY, "1.26.3", None)], WHEEL)[1]
    assert found.status == "ok" and "not compared" in found.detail


def test_conflicts() -> None:
    lines = tuple(f"package{i} 1 has requirement other<2, but you have other 3." for i in range(6))
    ours = {f"package{i}" for i in range(6)}
    (found,) = judge_conflicts(Conflicts(True, lines), ours, CHECKOUT)
    assert found.status == "warn" and "package3" in found.detail and "and 2 more" in found.detail
    assert found.fix == f"{CONSTRAINED} 'other<2'"
    (found,) = judge_conflicts(Conflicts(True, ("package1 is odd",)), ours, CHECKOUT)
    assert found.fix == f"{CONSTRAINED} -e /src/tsf"
    assert judge_conflicts(Conflicts(True, ()), ours, CHECKOUT)[0].status == "ok"
    assert "not looked at" in judge_conflicts(Conflicts(False, ()), ours, CHECKOUT)[0].detail


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("torch 2.11.0 has requirement setuptools<82, but you have setuptools 84.2.1.", "'setuptools<82'"),
        ("torch 2 has requirement numpy<2.3,>=2; python_version >= '3.9', but you have numpy 1.", "'numpy<2.3,>=2'"),
        ("torch 2.11.0 requires jinja2, which is not installed.", "jinja2"),
    ],
)
def test_a_conflict_is_mended_by_what_is_asked_for(line: str, wanted: str) -> None:
    (found,) = judge_conflicts(Conflicts(True, (line,)), {"torch"}, CHECKOUT)
    assert found.fix == f"{CONSTRAINED} {wanted}"


def test_a_foreign_package_is_not_mended_by_installing_ours() -> None:
    lines = (
        "tsfmicro 0.1.0 requires av, which is not installed.",
        "Deep_Face 1 requires tf, which is not installed.",
        "opencv-python 4.12 has requirement numpy>=2, but ...",
    )
    (found,) = judge_conflicts(Conflicts(True, lines), {"numpy"}, CHECKOUT)
    assert found.fix and found.fix.startswith("/env/bin/python -m pip uninstall -y deep-face (")
    assert "opencv" not in found.detail  # removing one of two breaks the other: its own check knows
    assert judge_conflicts(Conflicts(True, lines[::2]), {"numpy"}, CHECKOUT)[0].status == "ok"


def test_ours_are_what_we_need_and_what_that_needs() -> None:
    ours = packages.gather_ours(this_installation())
    assert {"tsfmicro", "mediapipe", "torch", "tensorrt"} <= ours
    assert {"jaxlib", "contourpy"} <= ours  # by way of mediapipe and matplotlib
    assert "bottleneck" not in ours  # an extra of pandas


@pytest.mark.parametrize(
    ("run", "expected"),
    [
        (ToolRun(0, "No broken requirements found.\n"), Conflicts(True, ())),
        (ToolRun(1, "WARNING: old pip\n\na 1 requires b, which is not installed.\n"),
         Conflicts(True, ("a 1 requires b, which is not installed.",))),
        (None, Conflicts(False, ())),
    ],
)  # fmt: skip
def test_what_pip_says(monkeypatch: pytest.MonkeyPatch, run: ToolRun | None, expected: Conflicts) -> None:
    monkeypatch.setattr(packages, "run_tool", lambda *words, timeout_s: run)
    assert packages.gather_conflicts(WHEEL) == expected


# --- commands -------------------------------------------------------------------------------------------------------


def test_commands_name_the_environment_they_change() -> None:
    assert WHEEL.install("a>=1") == "/env/bin/python -m pip install 'a>=1'"
    assert WHEEL.uninstall("a", "b") == "/env/bin/python -m pip uninstall -y a b"
    assert WHEEL.install_project("train") == "/env/bin/python -m pip install 'tsfmicro[train]'"
    uv = replace(WHEEL, has_pip=False, has_uv=True)
    assert uv.install("a") == "uv pip install --python /env/bin/python a"
    assert uv.uninstall("a") == "uv pip uninstall --python /env/bin/python a"
    spaced = replace(CHECKOUT, python=Path("/my env/python"), checkout=Path("/my src"))
    assert spaced.install_project() == "'/my env/python' -m pip install -c '/my src/constraints.txt' -e '/my src'"


def test_this_installation_is_the_checkout_that_runs() -> None:
    here = this_installation()
    assert here.checkout == ROOT and here.python == Path(sys.executable)
    assert here.has_pip or here.has_uv


def test_sudo_only_for_those_who_need_it() -> None:
    assert WHEEL.as_root("reboot") == "sudo reboot"
    assert replace(WHEEL, is_root=True).as_root("reboot") == "reboot"

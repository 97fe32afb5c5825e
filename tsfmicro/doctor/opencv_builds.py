"""OpenCV: one distribution, whole, and one that can be imported.

Four distributions write the same folder ``cv2/``; the installer lets them overwrite each other without a word, and
removing one of two leaves a torso (opencv/opencv-python#962).
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from tsfmicro.doctor.findings import Finding, Status
from tsfmicro.doctor.installation import Installation
from tsfmicro.doctor.processes import Answer
from tsfmicro.doctor.requirements import canonical, satisfies

WANTED = "opencv-contrib-python"
NAMES = ("opencv-python", WANTED, "opencv-python-headless", "opencv-contrib-python-headless")
TESTED = "4.11.0.86"
"""What mediapipe 0.10.21 and numpy 1 resolve to."""
_RANGE = ">=4.10,<5"
_LIBRARIES = {
    "libGL.so": "libgl1", "libgthread": "libglib2.0-0", "libglib": "libglib2.0-0", "libX11": "libx11-6",
    "libxcb": "libxcb1", "libSM": "libsm6", "libXext": "libxext6", "libICE": "libice6",
}  # fmt: skip
"""Missing shared library, and the Debian package that has it."""


@dataclass(frozen=True, slots=True)
class Build:
    """One installed distribution of OpenCV."""

    name: str
    version: str
    files: int
    """Files it says it wrote into ``cv2/``."""
    damaged: int
    """Those of them that are gone or have another content now."""


def gather_builds() -> list[Build]:
    """Every OpenCV distribution, its files compared with its own record of them."""
    found = []
    for distribution in metadata.distributions():
        name = canonical(distribution.metadata["Name"] or "")
        if name in NAMES:
            files = [file for file in distribution.files or () if file.parts[0] == "cv2" and file.hash is not None]
            recorded = ((Path(str(file.locate())), file.hash.mode, file.hash.value) for file in files if file.hash)
            found.append(Build(name, distribution.version, len(files), count_damaged(recorded)))
    return sorted(found, key=lambda build: build.name)


def count_damaged(recorded: Iterable[tuple[Path, str, str]]) -> int:
    """How many files are gone or differ from what was recorded.

    Args:
        recorded: path, name of the hash, and its value as a RECORD writes it: URL-safe base64 without padding.
    """
    return sum(not _is_whole(path, mode, value) for path, mode, value in recorded)


def judge_builds(builds: Sequence[Build], here: Installation) -> list[Finding]:
    """One build, the right one, none of it overwritten."""
    install = here.reinstall(f"{WANTED}=={TESTED}")
    listed = " and ".join(f"{build.name} {build.version}" for build in builds)
    damaged = ", ".join(f"{b.damaged} of {b.files} files of {b.name}" for b in builds if b.damaged)
    if not builds:
        return [Finding("opencv", "fail", f"not installed; {WANTED}{_RANGE} is needed", install)]
    if len(builds) > 1:
        fix = f"{here.uninstall(*(build.name for build in builds))} && {install}"
        state = f"{damaged} were overwritten or removed" if damaged else "they happen to agree so far"
        status: Status = "fail" if len({build.version for build in builds}) > 1 else "warn"
        text = f"{listed} both write the folder cv2/: {state}; removing one breaks the other"
        return [Finding("opencv", status, text, fix)]
    (build,) = builds
    if damaged:
        text = f"{listed}: {damaged} are gone or changed, as after removing a second OpenCV"
        return [Finding("opencv", "fail", text, install)]
    if not satisfies(build.version, _RANGE):
        return [Finding("opencv", "fail", f"{listed}; {WANTED}{_RANGE} is needed", install)]
    if build.name.endswith("-headless"):
        text = f"{listed} is a build without windows: fine on a server, but there is no overlay"
        return [Finding("opencv", "warn", text, f"{here.uninstall(build.name)} && {install}")]
    if build.name != WANTED:
        fix = f"{here.uninstall(build.name)} && {install}"
        return [Finding("opencv", "warn", f"{listed} in place of {WANTED}, which mediapipe asks for", fix)]
    return [Finding("opencv", "ok", f"{listed}, the only one, all {build.files} files as installed")]


def judge_import(answer: Answer, here: Installation) -> list[Finding]:
    """Whether the OpenCV that is found first can be imported and is whole."""
    again = here.reinstall(f"{WANTED}=={TESTED}")
    if answer.problem is not None:
        if "numpy" in answer.problem:
            text = f"cannot be imported, because of numpy: {answer.problem}"
            return [Finding("opencv-import", "fail", text, here.install("numpy>=1.26,<2"))]
        for library, package in _LIBRARIES.items():
            if library in answer.problem:
                fix = here.as_root("apt-get install libgl1 libglib2.0-0")
                if package not in fix:
                    fix = f"{fix} {package}"
                return [Finding("opencv-import", "fail", f"a system library is missing: {answer.problem}", fix)]
        return [Finding("opencv-import", "fail", f"cannot be imported: {answer.problem}", again)]
    version, folder = answer.values["version"], answer.values["folder"]
    if not answer.values["parts"]:
        return [Finding("opencv-import", "fail", f"{version} in {folder} lacks functions that are needed", again)]
    return [Finding("opencv-import", "ok", f"{version}, windows by {answer.values['gui']}, from {folder}")]


def _is_whole(path: Path, mode: str, value: str) -> bool:
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, mode).digest()
    except OSError:
        return False
    return base64.urlsafe_b64encode(digest).decode().rstrip("=") == value

"""Local cameras: which there are, whether this user may use them, and whether they are quick enough."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from tsfmicro.doctor.findings import Finding
from tsfmicro.doctor.installation import Installation
from tsfmicro.doctor.v4l2 import Camera, Mode, device_paths, read_camera

MIN_FPS = 20.0
"""Below, every movement is rejected: ``GateSpec.min_fps``."""
_GOOD_FPS = 30.0
_MIN_WIDTH_PX = 640
"""A face of a narrower picture rarely has the pixels."""
_ACCESS = frozenset({errno.EACCES, errno.EPERM})


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What decides how a missing camera is to be had."""

    is_linux: bool
    in_container: bool
    in_wsl: bool


def gather_cameras() -> list[Camera]:
    """Every ``/dev/video`` node, on Linux."""
    return [read_camera(path) for path in device_paths()] if sys.platform.startswith("linux") else []


def judge_cameras(cameras: Sequence[Camera], around: Surroundings, here: Installation) -> list[Finding]:
    """One finding for each camera, one if there is none."""
    if not around.is_linux:
        return [Finding("camera", "ok", "not looked at on this system; try: tsf-live --camera 0")]
    if not cameras:
        return [Finding("camera", "ok", f"none here {_how_to_get_one(around)}")]
    found = [_judge(camera, around, here) for camera in cameras if camera.captures or camera.error is not None]
    if found:
        return found
    nodes = ", ".join(camera.path for camera in cameras)
    return [Finding("camera", "ok", f"none: {nodes} deliver no pictures (metadata or output devices)")]


def best_mode(modes: Sequence[Mode]) -> Mode | None:
    """The quickest mode of 640 pixels or more; of equally quick ones the largest, as long as it is below 1080 lines.

    Rates beyond 60 frames/s are not sought. A camera with small modes only has its quickest of those.
    """
    wide = [mode for mode in modes if mode.width_px >= _MIN_WIDTH_PX] or list(modes)
    return max(
        wide, key=lambda m: (min(m.fps or 0.0, 60.0), m.height_px < 1080, m.width_px * m.height_px), default=None
    )


def _judge(camera: Camera, around: Surroundings, here: Installation) -> Finding:
    if camera.error is not None:
        return _refused(camera, camera.error, around, here)
    named = f"{camera.path} {camera.name}".strip()
    best = best_mode(camera.modes)
    number = camera.path.removeprefix("/dev/video")
    if best is None or best.fps is None:
        size = f", up to {best.width_px}x{best.height_px} {best.pixel_format}" if best else ""
        return Finding("camera", "ok", f"{named}{size}; its driver declares no frame rate")
    largest = max(camera.modes, key=lambda mode: (mode.width_px * mode.height_px, mode.fps or 0.0))
    text = f"{named}: {_mode_text(best)}"
    text += f", at most {_mode_text(largest)}" if largest != best else ""
    text += f" ({len(camera.modes)} modes)" if len(camera.modes) > 1 else ""
    list_modes = f"v4l2-ctl -d {camera.path} --list-formats-ext"
    if best.fps < MIN_FPS:
        fix = f"use a camera with 60 frames/s (30 at the least); what this one can do: {list_modes}"
        return Finding("camera", "warn", f"{text}; below {MIN_FPS:.0f} frames/s every movement is rejected", fix)
    if best.fps < _GOOD_FPS - 1:
        fix = f"use a camera with 60 frames/s; what this one can do: {list_modes}"
        return Finding("camera", "warn", f"{text}; short movements want 30 frames/s, better 60", fix)
    return Finding("camera", "ok", f"{text}; tsf-live --camera {number}")


def _refused(camera: Camera, error: int, around: Surroundings, here: Installation) -> Finding:
    reason = os.strerror(error)
    text = f"{camera.path} cannot be opened: {reason}"
    if error in _ACCESS and around.in_container:
        return Finding("camera", "warn", text, f"docker run --device {camera.path} --group-add video ...")
    if error in _ACCESS:
        fix = f"{here.as_root('usermod -aG video $USER')}, then log in again"
        return Finding("camera", "warn", f"{text}; this user is not in the group video", fix)
    if error == errno.EBUSY:
        return Finding("camera", "warn", text, f"close the program that holds it: fuser -v {camera.path}")
    return Finding(
        "camera", "warn", text, f"plug it in again, or look at the kernel's messages: {here.as_root('dmesg')}"
    )


def _mode_text(mode: Mode) -> str:
    rate = f"{mode.fps:g} frames/s at " if mode.fps is not None else ""
    return f"{rate}{mode.width_px}x{mode.height_px} {mode.pixel_format}"


def _how_to_get_one(around: Surroundings) -> str:
    if around.in_wsl:
        return "(under WSL attach a USB camera with: usbipd attach --wsl)"
    if around.in_container:
        return "(a container is given one with: docker run --device /dev/video0)"
    return "(no /dev/video*)"

"""The few questions of the V4L2 interface that name a camera and its modes. Layouts: linux/videodev2.h."""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

QUERYCAP, ENUM_FMT, ENUM_FRAMESIZES, ENUM_FRAMEINTERVALS = 0x80685600, 0xC0405602, 0xC02C564A, 0xC034564B
CAPTURE = 0x1
"""Capability bit, and type, of a device that delivers single-plane pictures."""
_HAS_DEVICE_CAPS = 0x80000000
_DISCRETE = 1
_MOST_ENTRIES = 64
"""A driver that goes on for longer is taken to be broken."""

Ioctl: TypeAlias = Callable[[int, bytes], bytes | None]
"""Request number and structure to the filled structure, or None where the driver refuses."""


@dataclass(frozen=True, slots=True)
class Mode:
    """A picture format of a camera."""

    pixel_format: str
    """Four letters, such as ``MJPG``."""
    width_px: int
    height_px: int
    fps: float | None
    """Highest rate the driver declares; None where it declares none."""


@dataclass(frozen=True, slots=True)
class Camera:
    """One ``/dev/video`` node."""

    path: str
    name: str
    """What the driver calls it; empty where it could not be asked."""
    captures: bool
    """False for the metadata nodes that come with most cameras."""
    modes: tuple[Mode, ...]
    error: int | None = None
    """errno of what stood in the way."""


def device_paths(folder: Path = Path("/dev")) -> list[Path]:
    """The nodes there are, in the order of their numbers."""
    nodes = (path for path in folder.glob("video*") if path.name[5:].isdecimal())
    return sorted(nodes, key=lambda path: int(path.name[5:]))


def read_camera(path: Path) -> Camera:
    """Open a node, ask it, close it. No picture is taken, so the camera may be in use meanwhile."""
    import fcntl  # Linux has it; this package is imported everywhere

    try:
        descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK)
    except OSError as error:
        return Camera(str(path), "", False, (), error.errno)

    def ioctl(request: int, structure: bytes) -> bytes | None:
        try:
            return fcntl.ioctl(descriptor, request, structure)
        except OSError:
            return None

    try:
        return describe(str(path), ioctl)
    finally:
        os.close(descriptor)


def describe(path: str, ioctl: Ioctl) -> Camera:
    """Name and modes, asked through ``ioctl``."""
    answer = ioctl(QUERYCAP, bytes(104))
    if answer is None:
        return Camera(path, "", False, (), errno.ENOTTY)
    name = answer[16:48].split(b"\0", 1)[0].decode(errors="replace")
    capabilities, device_capabilities = struct.unpack_from("=II", answer, 84)
    if capabilities & _HAS_DEVICE_CAPS:
        capabilities = device_capabilities
    if not capabilities & CAPTURE:
        return Camera(path, name, False, ())
    return Camera(path, name, True, tuple(_modes(ioctl)))


def _modes(ioctl: Ioctl) -> Iterator[Mode]:
    for index in range(_MOST_ENTRIES):
        answer = ioctl(ENUM_FMT, struct.pack("=II56x", index, CAPTURE))
        if answer is None:
            return
        code = answer[44:48]
        for width_px, height_px in _sizes(ioctl, code):
            yield Mode(
                code.decode("ascii", "replace").strip(), width_px, height_px, _fps(ioctl, code, width_px, height_px)
            )


def _sizes(ioctl: Ioctl, code: bytes) -> Iterator[tuple[int, int]]:
    """(width, height) pixels; the largest alone where the driver takes any size."""
    for index in range(_MOST_ENTRIES):
        answer = ioctl(ENUM_FRAMESIZES, struct.pack("=I4s36x", index, code))
        if answer is None:
            return
        kind, width, height_or_most_width, _, _, most_height = struct.unpack_from("=6I", answer, 8)
        if kind != _DISCRETE:
            yield height_or_most_width, most_height
            return
        yield width, height_or_most_width


def _fps(ioctl: Ioctl, code: bytes, width_px: int, height_px: int) -> float | None:
    rates = []
    for index in range(_MOST_ENTRIES):
        question = struct.pack("=I4sII36x", index, code, width_px, height_px)
        answer = ioctl(ENUM_FRAMEINTERVALS, question)
        if answer is None:
            break
        kind, numerator, denominator = struct.unpack_from("=3I", answer, 16)
        if numerator:
            rates.append(denominator / numerator)
        if kind != _DISCRETE:  # the shortest interval comes first
            break
    return max(rates, default=None)

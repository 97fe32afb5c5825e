"""Installations and machines that the doctor's tests examine."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tsfmicro.doctor.cameras import Surroundings
from tsfmicro.doctor.gpu import Card, Gpu
from tsfmicro.doctor.installation import Installation

ROOT = Path(__file__).resolve().parents[2]

WHEEL = Installation(Path("/env/bin/python"), None, has_pip=True, has_uv=False, is_root=False)
CHECKOUT = replace(WHEEL, checkout=Path("/src/tsf"))

PLAIN = Surroundings(is_linux=True, in_container=False, in_wsl=False)
CONTAINER = Surroundings(is_linux=True, in_container=True, in_wsl=False)

NO_GPU = Gpu(on_bus=0, cards=(), driver_cuda=None)
ADA = Card("NVIDIA GeForce RTX 4060 Ti", "8.9", "580.65", 16380.0)
HOPPER = Card("NVIDIA H200", "9.0", "580.65", 143771.0)
ADA_GPU = Gpu(on_bus=1, cards=(ADA,), driver_cuda="13.0")
HOPPER_GPU = Gpu(on_bus=1, cards=(HOPPER,), driver_cuda="13.0")

"""Every check in the order of the report. What goes wrong inside one is a finding of it, and the others go on."""

from __future__ import annotations

import functools
import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tsfmicro.doctor import cameras, display, gpu, machine, opencv_builds, packages, runtimes, stages
from tsfmicro.doctor.findings import Finding, one_line
from tsfmicro.doctor.installation import Installation, this_installation
from tsfmicro.doctor.limits import gather_resources
from tsfmicro.doctor.processes import ask

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Check:
    """Something to look at."""

    name: str
    run: Callable[[], list[Finding]]


def all_checks(bundles: Sequence[Path], shipped: Path, out: Path) -> list[Check]:
    """The checks of one report.

    Args:
        bundles: to be verified beside the one that ships.
        shipped: where that one lies.
        out: folder that results would be written to.
    """
    here = this_installation()
    around = machine.gather_surroundings()
    seen_gpu = functools.cache(gpu.gather_gpu)
    encoding = sys.stdout.encoding  # now: a progress line takes standard output's place while it is shown
    return [
        Check("python", lambda: packages.judge_python(sys.version_info[:3], sys.executable)),
        Check("packages", lambda: packages.judge_packages(packages.gather_packages(here), here)),
        Check(
            "conflicts",
            lambda: packages.judge_conflicts(packages.gather_conflicts(here), packages.gather_ours(here), here),
        ),
        Check("opencv", lambda: opencv_builds.judge_builds(opencv_builds.gather_builds(), here)),
        Check("opencv-import", lambda: opencv_builds.judge_import(ask("opencv"), here)),
        Check("landmarks", lambda: stages.judge_landmarks(ask("landmarks"), here)),
        *(_bundle_check(bundle, bundle == shipped, here) for bundle in (shipped, *bundles)),
        Check("video", lambda: stages.judge_video(ask("video"), here)),
        Check("camera", lambda: cameras.judge_cameras(cameras.gather_cameras(), around, here)),
        Check("display", lambda: display.judge_display(display.gather_display())),
        Check("cpu", lambda: machine.judge_resources(gather_resources(), around)),
        Check("gpu", lambda: gpu.judge_gpu(seen_gpu(), around.in_container, here)),
        Check(
            "onnxruntime",
            lambda: runtimes.judge_onnxruntime(runtimes.gather_onnxruntimes(), ask("onnxruntime"), here),
        ),
        Check("torch", lambda: runtimes.judge_torch(runtimes.gather_torch(), seen_gpu(), here)),
        *(_runtime_check(wanted, seen_gpu, here) for wanted in runtimes.OPTIONAL_RUNTIMES),
        Check("output", lambda: machine.judge_folder(machine.gather_folder(out))),
        Check("clock", lambda: machine.judge_clock(machine.gather_clock(), here)),
        Check("console", lambda: machine.judge_console(encoding)),
    ]


def examine(checks: Sequence[Check], started: Callable[[str], None] = lambda name: None) -> Iterator[Finding]:
    """Run the checks one after the other.

    Args:
        checks: from :func:`all_checks`.
        started: told the name of each before it runs, for a progress line.
    """
    for check in checks:
        started(check.name)
        try:
            yield from check.run()
        except Exception as error:  # a doctor that dies of what it looks at helps nobody
            _log.debug("check %s failed", check.name, exc_info=True)
            text = one_line(f"the check itself failed with {type(error).__name__}: {error}")
            yield Finding(check.name, "fail", text, "report it with the output of: tsf-doctor --json")


def _bundle_check(bundle: Path, is_shipped: bool, here: Installation) -> Check:
    return Check("bundle", lambda: stages.judge_bundle(bundle, is_shipped, ask("bundle", str(bundle)), here))


def _runtime_check(wanted: runtimes.OptionalRuntime, seen_gpu: Callable[[], gpu.Gpu], here: Installation) -> Check:
    return Check(
        wanted.check, lambda: runtimes.judge_runtime(wanted, runtimes.gather_runtime(wanted), seen_gpu(), here)
    )

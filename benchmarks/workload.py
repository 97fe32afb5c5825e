"""What a scenario of the live path is run on: clips as files, the recogniser, and the digests of both."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tsfmicro.benchmarks.provenance import digest_of
from tsfmicro.benchmarks.stages import write_demo
from tsfmicro.bundle import default_bundle_path, read_bundle
from tsfmicro.errors import SourceError
from tsfmicro.realtime.recognise import Recogniser
from tsfmicro.realtime.sources.demo import DEMO_NAME
from tsfmicro.runners import beside_the_frames, load

_DEMO_S = 24.0
_DEMO_FPS = 60.0


@dataclass(frozen=True, slots=True)
class Workload:
    """What is run."""

    files: tuple[Path, ...]
    names: tuple[str, ...]
    """Of the files, without folders."""
    recogniser: Recogniser | None
    """None only spots."""
    bundle: str | None
    """Digest of the recogniser's bundle."""

    @property
    def inputs(self) -> dict[str, Any]:
        """Digests, for the provenance."""
        clips = {name: digest_of(file) for name, file in zip(self.names, self.files, strict=True)}
        return {"clips_sha256": clips, "bundle": self.bundle}


@contextmanager
def workload(names: list[str] | None, spot_only: bool) -> Iterator[Workload]:
    """Clips and recogniser for the time of a scenario.

    Args:
        names: video files, or ``demo:``, which is written to a file first, so that there is something to decode.
        spot_only: no recogniser.

    Raises:
        SourceError: a clip is no file.
    """
    with TemporaryDirectory() as folder:
        demo = Path(folder) / "demo.mp4"
        wanted = names or [DEMO_NAME]
        files = [demo if name == DEMO_NAME else Path(name) for name in wanted]
        missing = [file for file in files if file != demo and not file.is_file()]
        if missing:
            raise SourceError(f"{missing[0]} is no file; expected a video file, or demo:")
        if demo in files:
            write_demo(demo, round(_DEMO_S * _DEMO_FPS))
        with _recogniser(spot_only) as (recogniser, digest):
            yield Workload(tuple(files), tuple(Path(name).name for name in wanted), recogniser, digest)


@contextmanager
def _recogniser(spot_only: bool) -> Iterator[tuple[Recogniser | None, str | None]]:
    bundle = None if spot_only else read_bundle(default_bundle_path())
    with nullcontext() if bundle is None else load(bundle, threads=beside_the_frames()) as runner:
        if bundle is None or runner is None:
            yield None, None
        else:
            yield Recogniser(runner, bundle.manifest.calibration), bundle.digest

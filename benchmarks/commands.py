"""The ``tsf-bench`` command."""

from __future__ import annotations

from contextlib import ExitStack, nullcontext
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Annotated

import typer
from rich.console import Console

from tsfmicro.benchmarks import live_commands, reading, scaling_commands
from tsfmicro.benchmarks.benchmark_page import benchmark_figures
from tsfmicro.benchmarks.engine_page import engine_figures
from tsfmicro.benchmarks.event import ClipResult, row_of, run_clips
from tsfmicro.benchmarks.fdp_page import fdp_figures
from tsfmicro.benchmarks.figures import figures, with_figures
from tsfmicro.benchmarks.model_page import model_figures
from tsfmicro.benchmarks.naming import run_naming
from tsfmicro.benchmarks.objectives import parse_objective
from tsfmicro.benchmarks.outcome import Slo, finish
from tsfmicro.benchmarks.peers import TOOLS, run_peers
from tsfmicro.benchmarks.provenance import digest_of
from tsfmicro.benchmarks.spotting import commands as spotting_commands
from tsfmicro.benchmarks.spotting.page import spotting_figures
from tsfmicro.benchmarks.stages import run_stages
from tsfmicro.benchmarks.training_page import training_figures
from tsfmicro.bundle import WEIGHTS_FILE, default_bundle_path, read_bundle
from tsfmicro.errors import BackendError, SourceError, UsageError
from tsfmicro.models.config import MODELS, SIZES, ModelConfig
from tsfmicro.realtime.sources.demo import DEMO_NAME
from tsfmicro.realtime.stage_clock import StageClock
from tsfmicro.realtime.window_recognise import load_namer

PEERS = tuple(name for name in MODELS if name != ModelConfig().model)
"""Networks that are not ours."""

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
)

reading.attach(app)
live_commands.attach(app)
scaling_commands.attach(app)
spotting_commands.attach(app)


@app.command(
    epilog="Examples:\n\n    tsf-bench event --clips 5 --json results.json\n\n    tsf-bench event --slo 'f1>=0.98'"
)
def event(
    clips: Annotated[int, typer.Option(help="Demonstration clips, ten events each.", min=1)] = 5,
    first_seed: Annotated[
        int, typer.Option(help="Seed of the first; 20 is demo: itself, 100 to 105 served to make the spotter.", min=0)
    ] = 200,
    model: Annotated[Path | None, typer.Option(help="Bundle; by default the demonstration one.")] = None,
    spot_only: Annotated[bool, typer.Option("--spot-only", help="Without naming emotions.")] = False,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the result to FILE.")] = None,
    slo: Slo = None,
) -> None:
    """Find hidden micro-expressions of known truth in animated portraits, at 60 frames/s."""
    objectives = [parse_objective(text) for text in slo or []]  # before the work, not after it
    seeds = list(range(first_seed, first_seed + clips))
    console = Console(stderr=True)
    bundle = None if spot_only else read_bundle(model or default_bundle_path())
    results: list[ClipResult] = []
    with ExitStack() as stack:
        recogniser = None if bundle is None else load_namer(bundle, "auto", None, StageClock(), stack)
        for result in run_clips(seeds, recogniser):
            results.append(result)
            console.print(f"clip {result.seed}: {result.counts.tp} of {len(result.truth)} found")
    row = row_of(results)
    digest = None if bundle is None else bundle.digest
    settings = {"seeds": seeds, "bundle": digest, "person": "the portrait the demonstration bundle was trained on"}
    finish(json_file, "event", [row], settings, objectives, {"bundle": digest})


@app.command(epilog="Example:\n\n    tsf-bench stages demo: --json results.json")
def stages(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="Clip with one face, or demo:")] = DEMO_NAME,
    rounds: Annotated[int, typer.Option(help="How often the two are alternated.", min=1)] = 7,
    max_frames: Annotated[int, typer.Option(help="Frames of the clip.", min=10)] = 240,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the result to FILE.")] = None,
    slo: Slo = None,
) -> None:
    """Time the per-frame path beside the face-landmark model alone."""
    objectives = [parse_objective(text) for text in slo or []]
    rows = run_stages(source, rounds, max_frames)
    settings = {"source": Path(source).name, "rounds": rounds, "max_frames": max_frames}
    inputs = {"clips_sha256": {Path(source).name: digest_of(Path(source))}} if Path(source).is_file() else {}
    finish(json_file, "stages", rows, settings, objectives, inputs)


@app.command(
    epilog="Example:\n\n    python -m venv fer; fer/bin/pip install --no-deps fer; fer/bin/pip install tensorflow-cpu "
    "'opencv-contrib-python<5' pandas requests moviepy==1.0.3 tqdm ffmpeg-python\n\n"
    "    tsf-bench peers --python fer/bin/python --json results.json"
)
def peers(
    python: Annotated[Path, typer.Option(help="Interpreter of an environment in which the tool is installed.")],
    tool: Annotated[str, typer.Option(help=f"One of {', '.join(TOOLS)}.")] = "fer",
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="Clip with one face, or demo:")] = DEMO_NAME,
    rounds: Annotated[int, typer.Option(help="How often the two are alternated.", min=1)] = 7,
    max_frames: Annotated[int, typer.Option(help="Frames of the clip.", min=10)] = 120,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the result to FILE.")] = None,
    slo: Slo = None,
) -> None:
    """Time another tool beside the per-frame path, on the same decoded frames, in turns."""
    objectives = [parse_objective(text) for text in slo or []]
    rows = run_peers(tool, python, source, rounds, max_frames)
    settings = {"tool": tool, "source": Path(source).name, "rounds": rounds, "max_frames": max_frames}
    inputs = {"clips_sha256": {Path(source).name: digest_of(Path(source))}} if Path(source).is_file() else {}
    finish(json_file, "peers", rows, settings, objectives, inputs)


@app.command(epilog="Example:\n\n    tsf-bench models --json benchmarks/results/models.json")
def models(
    rounds: Annotated[int, typer.Option(help="Pairs to time in each network.", min=1)] = 15,
    threads: Annotated[int, typer.Option(help="CPU threads of torch.", min=1)] = 1,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the result to FILE.")] = None,
    slo: Slo = None,
) -> None:
    """Count and time every network of the family on the CPU."""
    objectives = [parse_objective(text) for text in slo or []]
    rows = _networks().run_models(rounds, threads)
    finish(json_file, "models", rows, {"rounds": rounds, "threads": threads}, objectives)


@app.command(epilog="Example:\n\n    tsf-bench step --size base --batch 4 --slo 'median<=0.95'")
def step(
    size: Annotated[str, typer.Option(help="base or small.")] = "base",
    batch: Annotated[int, typer.Option(help="Pairs a step.", min=2)] = 4,
    rounds: Annotated[int, typer.Option(help="How often the two are alternated.", min=1)] = 7,
    threads: Annotated[int, typer.Option(help="CPU threads of torch.", min=1)] = 1,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the result to FILE.")] = None,
    slo: Slo = None,
) -> None:
    """Time a training step of late fusion beside the same formulas written down plainly."""
    objectives = [parse_objective(text) for text in slo or []]
    if size not in SIZES:
        raise UsageError(f"--size is {size!r}; expected {' or '.join(SIZES)}")
    rows = _networks().run_step(size, batch, rounds, threads)
    settings = {"size": size, "fusion": "late", "batch": batch, "rounds": rounds, "threads": threads}
    finish(json_file, "step", rows, settings, objectives)


@app.command(epilog="Example:\n\n    tsf-bench ceiling --json benchmarks/results/ceiling.json")
def ceiling(
    rounds: Annotated[int, typer.Option(help="Products to time of each side.", min=1)] = 15,
    threads: Annotated[int, typer.Option(help="CPU threads of torch.", min=1)] = 1,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the result to FILE.")] = None,
) -> None:
    """Time square matrix products: no training step has its multiply-adds faster than that."""
    rows = _networks().run_ceiling(rounds, threads)
    finish(json_file, "ceiling", rows, {"rounds": rounds, "threads": threads}, [])


@app.command(epilog="Example:\n\n    tsf-bench positions --size small --batch 1 --batch 32 --json results.json")
def positions(
    size: Annotated[list[str] | None, typer.Option(help="base or small; repeatable. By default both.")] = None,
    batch: Annotated[list[int] | None, typer.Option(help="Pairs a pass; repeatable. By default 1.", min=1)] = None,
    step_batch: Annotated[int, typer.Option(help="Pairs a training step.", min=2)] = 4,
    rounds: Annotated[int, typer.Option(help="How often the two are alternated.", min=1)] = 9,
    threads: Annotated[int, typer.Option(help="CPU threads.", min=1)] = 1,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the result to FILE.")] = None,
    slo: Slo = None,
) -> None:
    """Time decay masks and rotary tables computed once beside computing them in every pass, in torch and in graphs."""
    objectives = [parse_objective(text) for text in slo or []]
    sizes, batches = size or list(SIZES), batch or [1]
    if unknown := sorted(set(sizes) - set(SIZES)):
        raise UsageError(f"--size is {unknown[0]!r}; expected {' or '.join(SIZES)}")
    rows = _networks("positions").run_positions(sizes, batches, step_batch, rounds, threads)
    settings = {"sizes": sizes, "batches": batches, "step_batch": step_batch, "rounds": rounds, "threads": threads}
    finish(json_file, "positions", rows, settings, objectives)


@app.command(
    epilog="Example:\n\n    tsf-bench recognisers runs/fdp runs/tsfmicro runs/mmnet --json results.json\n\n"
    "The runs come from tsf-train loso on the same clips."
)
def recognisers(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Folders of finished, honest runs.")],
    rounds: Annotated[int, typer.Option(help="Events to time in each network.", min=1)] = 15,
    threads: Annotated[int, typer.Option(help="CPU threads of torch.", min=1)] = 1,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the result to FILE.")] = None,
    slo: Slo = None,
) -> None:
    """Hold leave-one-subject-out runs of several networks side by side, with what the networks cost."""
    objectives = [parse_objective(text) for text in slo or []]
    rows = _networks("recognisers").run_recognisers(runs, rounds, threads)
    finish(json_file, "recognisers", rows, {"rounds": rounds, "threads": threads}, objectives)


@app.command(
    epilog="Example:\n\n    tsf-bench naming a.mp4 b.mp4 --model casme2.tsf --model casme2-fdp.tsf --json results.json"
)
def naming(
    clips: Annotated[list[str], typer.Argument(metavar="CLIP...", help="Videos, or demo:")],
    model: Annotated[list[Path] | None, typer.Option(help="Bundle; repeatable, by default the demonstration one.")] = (
        None
    ),
    slide: Annotated[float, typer.Option(help="Stride of the windows that FDP names without the spotter, s.")] = 0.25,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the result to FILE.")] = None,
    slo: Slo = None,
) -> None:
    """Run clips through the live path with each recogniser and with their mean: what they say, and how often alike."""
    objectives = [parse_objective(text) for text in slo or []]
    files = [Path(clip) for clip in clips if clip != DEMO_NAME]
    missing = [file for file in files if not file.is_file()]
    if missing:
        raise SourceError(f"{missing[0]} is no file; expected a video file")
    bundles = [read_bundle(path) for path in model or [default_bundle_path()]]
    rows = run_naming(clips, bundles, slide)
    inputs = {
        "clips_sha256": {file.name: digest_of(file) for file in files},
        "bundles": {
            bundle.manifest.name: {
                "digest": bundle.digest,
                "data": bundle.manifest.provenance.data,
                "command": bundle.manifest.provenance.command,
            }
            for bundle in bundles
        },
    }
    finish(json_file, "naming", rows, {"slide_s": slide}, objectives, inputs)


@app.command(epilog="Example:\n\n    tsf-bench fdp-page")
def fdp_page(
    document: Annotated[Path, typer.Argument(help="Document with the marks of the figures.")] = Path("docs/fdp.md"),
    results: Annotated[Path, typer.Option(help="Folder of committed results.")] = Path("benchmarks/results"),
) -> None:
    """Write the comparison of the recognisers from the committed results."""
    _fill(document, fdp_figures(results))


@app.command(epilog="Example:\n\n    tsf-bench train --size base --batch 8 --precision bf16 --json results.json")
def train(
    size: Annotated[str, typer.Option(help="Network: base or small.")] = "base",
    batch: Annotated[int, typer.Option(help="Pairs a step.", min=2)] = 32,
    rounds: Annotated[int, typer.Option(help="How often the two are alternated.", min=1)] = 5,
    precision: Annotated[str, typer.Option(help="Of the training loop: fp32 or bf16.")] = "fp32",
    compile_step: Annotated[bool, typer.Option("--compile", help="As tsf-train loso --compile.")] = False,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    threads: Annotated[int, typer.Option(help="CPU threads.", min=1)] = 1,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the result to FILE.")] = None,
    slo: Slo = None,
) -> None:
    """Time the training loop beside a plain float32 loop over the same network."""
    # torch takes seconds to import: the other scenarios do without.
    import torch

    from tsfmicro.benchmarks.learning import run_training
    from tsfmicro.training.loso.spec import Precision, Step

    objectives = [parse_objective(text) for text in slo or []]
    if precision not in set(Precision):
        raise UsageError(f"--precision is {precision!r}; expected {' or '.join(Precision)}")
    torch.set_num_threads(threads)
    step = Step.COMPILED if compile_step else Step.EAGER
    rows = run_training(size, batch, rounds, Precision(precision), step, device)
    settings = {"size": size, "batch": batch, "precision": precision, "step": step.value, "device": device}
    settings |= {"threads": threads}
    finish(json_file, "train", rows, {**settings, "torch": torch.__version__}, objectives)


@app.command(
    epilog="Examples:\n\n    tsf-bench engine --json results.json\n\n"
    "    tsf-bench engine --size base --backends onnxruntime,openvino --slo 'onnxruntime<=0.85'\n\n"
    "    tsf-bench engine --size base --backends onnxruntime,openvino,torch-compiled --beside mmnet --batch 1 --batch 8"
)
def engine(
    model: Annotated[Path | None, typer.Option(help="Bundle; by default the demonstration one.")] = None,
    size: Annotated[str | None, typer.Option(help="Random weights of this size instead: base or small.")] = None,
    backends: Annotated[str, typer.Option(help="Names for tsf-live --backend, joined by commas.")] = "onnxruntime",
    batch: Annotated[
        list[int] | None, typer.Option(help="Pairs (of FDP: windows) a call; repeatable. By default 1.", min=1)
    ] = None,
    rounds: Annotated[int, typer.Option(help="Calls of each backend, in turns.", min=1)] = 30,
    threads: Annotated[int, typer.Option(help="CPU threads of each.", min=1)] = 1,
    beside: Annotated[
        list[str] | None, typer.Option(help="Another network of the same size in the same run: mmnet.")
    ] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the result to FILE.")] = None,
    slo: Slo = None,
) -> None:
    """Time backends beside torch eager in float32, in turns, each with its distance from it."""
    objectives = [parse_objective(text) for text in slo or []]
    if size is not None and (model is not None or size not in SIZES):
        raise UsageError(f"--size is {size!r}; expected {' or '.join(SIZES)}, and no --model beside it")
    if unknown := sorted(set(beside or []) - set(PEERS)):
        raise UsageError(f"--beside is {unknown[0]!r}; expected {' or '.join(PEERS)}")
    engines = _networks("engines")
    names, batches = backends.split(","), batch or [1]
    found = nullcontext(read_bundle(model or default_bundle_path())) if size is None else engines.bundle_of_size(size)
    with found as bundle:
        others = [ModelConfig(model=name, size=bundle.manifest.model.size) for name in beside or []]
        rows = engines.run_engines(bundle, names, batches, rounds, threads, others)
        settings = {"bundle": bundle.manifest.name, "weights_sha256": bundle.manifest.files[WEIGHTS_FILE]}
    settings |= {"size": bundle.manifest.model.size, "rounds": rounds, "threads": threads, "batches": batches}
    settings |= {"backends": names, "beside": beside or []}
    finish(json_file, "engine", rows, settings, objectives)


@app.command(epilog="Example:\n\n    tsf-bench readme")
def readme(
    document: Annotated[Path, typer.Argument(help="Document with the marks of the figures.")] = Path("README.md"),
    results: Annotated[Path, typer.Option(help="Folder of committed results.")] = Path("benchmarks/results"),
) -> None:
    """Write the figures of the README from the committed results."""
    _fill(document, figures(results, read_bundle(default_bundle_path()).manifest))


@app.command(epilog="Example:\n\n    tsf-bench model-page")
def model_page(
    document: Annotated[Path, typer.Argument(help="Document with the marks of the figures.")] = Path("docs/models.md"),
    results: Annotated[Path, typer.Option(help="Folder of committed results.")] = Path("benchmarks/results"),
) -> None:
    """Write the table of the model family from the committed results."""
    _fill(document, model_figures(results))


@app.command(epilog="Example:\n\n    tsf-bench benchmark-page")
def benchmark_page(
    document: Annotated[Path, typer.Argument(help="Document with the marks of the figures.")] = Path(
        "docs/benchmarks.md"
    ),
    results: Annotated[Path, typer.Option(help="Folder of committed results.")] = Path("benchmarks/results"),
) -> None:
    """Write the tables of every scenario from the committed results."""
    _fill(document, benchmark_figures(results, document.parent / "plots"))


@app.command(epilog="Example:\n\n    tsf-bench plots --results benchmarks/results --out docs/plots")
def plots(
    results: Annotated[Path, typer.Option(help="Folder of committed results.")] = Path("benchmarks/results"),
    out: Annotated[Path, typer.Option(help="Folder of the pictures.")] = Path("docs/plots"),
) -> None:
    """Draw latency, stages and scaling from the committed results."""
    from tsfmicro.benchmarks.plots import draw_all

    drawn, missing = draw_all(results, out)
    for path in drawn:
        typer.echo(f"drew {path}")
    for scenario in missing:
        Console(stderr=True).print(f"no picture of {scenario}: {results / scenario}.json is not there", soft_wrap=True)


@app.command(epilog="Example:\n\n    tsf-bench training-page")
def training_page(
    document: Annotated[Path, typer.Argument(help="Document with the marks of the figures.")] = Path(
        "docs/training.md"
    ),
    results: Annotated[Path, typer.Option(help="Folder of committed results.")] = Path("benchmarks/results"),
) -> None:
    """Write the figures of the training page from the committed results."""
    _fill(document, training_figures(results))


@app.command(epilog="Example:\n\n    tsf-bench export-page")
def export_page(
    document: Annotated[Path, typer.Argument(help="Document with the marks of the figures.")] = Path("docs/export.md"),
    results: Annotated[Path, typer.Option(help="Folder of committed results.")] = Path("benchmarks/results"),
) -> None:
    """Write the latencies of the backends from the committed results."""
    _fill(document, engine_figures(results))


@app.command(epilog="Example:\n\n    tsf-bench spotting-page")
def spotting_page(
    document: Annotated[Path, typer.Argument(help="Document with the marks of the figures.")] = Path(
        "docs/spotting.md"
    ),
    results: Annotated[Path, typer.Option(help="Folder of committed results.")] = Path("benchmarks/results"),
) -> None:
    """Write the tables of spotting from the committed results."""
    _fill(document, spotting_figures(results))


def _fill(document: Path, block: str) -> None:
    try:
        text = document.read_text(encoding="utf-8")
        document.write_text(with_figures(text, block), encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{document} cannot be rewritten: {error.strerror}") from error
    typer.echo(f"wrote the figures of {document}")


def _networks(module: str = "networks") -> ModuleType:
    """The scenarios that need torch and more, which the others do without."""
    extras = {"torch": "train", "onnx": "export", "onnxscript": "export", "openvino": "openvino"}
    try:
        return import_module(f"tsfmicro.benchmarks.{module}")
    except ModuleNotFoundError as error:
        extra = extras.get(error.name or "")
        if extra is None:
            raise
        raise BackendError(f"this scenario needs {error.name}; type: pip install 'tsfmicro[{extra}]'") from error

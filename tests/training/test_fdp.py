"""FDP learns, in the same loops and through the same commands as the networks that look at pairs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from tests.running import Prompt  # noqa: E402
from tests.training.loso.tiny import LABELS  # noqa: E402
from tsfmicro.bundle import read_bundle  # noqa: E402
from tsfmicro.errors import ContractError, UsageError  # noqa: E402
from tsfmicro.models.card import ModelCard  # noqa: E402
from tsfmicro.models.config import ModelConfig  # noqa: E402
from tsfmicro.models.fdp.config import FdpConfig, LossWeights  # noqa: E402
from tsfmicro.models.fdp.loss import joint_loss  # noqa: E402
from tsfmicro.models.fdp.network import build_fdp  # noqa: E402
from tsfmicro.models.fdp.ranking import dynamic_images, order_loss  # noqa: E402
from tsfmicro.preprocess import PreprocessSpec  # noqa: E402
from tsfmicro.runners.window import load_window  # noqa: E402
from tsfmicro.synthetic.pairs import PairSpec, default_preprocessor  # noqa: E402
from tsfmicro.synthetic.portrait import Portrait  # noqa: E402
from tsfmicro.training.choice import Model  # noqa: E402
from tsfmicro.training.corpus import SyntheticPairs, SyntheticWindows, drawn_for  # noqa: E402
from tsfmicro.training.crops.cache import CacheEntry, CacheIndex  # noqa: E402
from tsfmicro.training.crops.faces import Faces, read_picture  # noqa: E402
from tsfmicro.training.faces import astronaut  # noqa: E402
from tsfmicro.training.fixtures import others  # noqa: E402
from tsfmicro.training.fixtures.synthetic import write_synthetic  # noqa: E402
from tsfmicro.training.loso.networks import model_config, require_views  # noqa: E402
from tsfmicro.training.loso.spec import LosoSpec, Precision  # noqa: E402
from tsfmicro.training.training_options import TrainingOptions  # noqa: E402

SMALL = FdpConfig(size="small", frames=4, classes=2, drop_path=0.0)


def moving(seed: int, windows: int) -> tuple[Any, Any]:
    """Windows in which a spot grows left or right of the middle of some picture, and which of the two it is."""
    generator = torch.Generator().manual_seed(seed)
    truth = torch.arange(windows) % 2
    base = torch.randn(windows, 1, 8, 8, generator=generator).repeat_interleave(8, 2).repeat_interleave(8, 3)
    frames = base.expand(-1, 4, -1, -1).clone()
    for number, side in enumerate(truth.tolist()):
        column = 12 if side == 0 else 44
        for time in range(4):
            frames[number, time, 24:40, column : column + 8] += 0.2 * time
    return frames, truth


@pytest.mark.slow
def test_every_part_of_the_joint_loss_is_learned() -> None:
    """Which side, in what order, and what the dynamic image looks like: of windows it was not trained on."""
    torch.manual_seed(3)
    network = build_fdp(SMALL)
    optimiser = torch.optim.AdamW(network.parameters(), lr=2e-3)
    unseen, sides = moving(99, 16)

    def measured() -> tuple[float, float, float]:
        network.eval()
        with torch.no_grad():
            said = network(unseen)
        network.train()
        assert said.scores is not None and said.dynamic_image is not None
        right = float((said.logits.argmax(1) == sides).float().mean())
        return (
            right,
            float(order_loss(said.scores)),
            float((said.dynamic_image - dynamic_images(unseen)).square().mean()),
        )

    before = measured()
    for step in range(40):
        windows, truth = moving(step, 8)
        loss = joint_loss(network(windows), windows, truth, LossWeights())
        optimiser.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        optimiser.step()
    right, order, construction = measured()
    assert right >= 0.9
    assert order < 0.5 * before[1]
    assert construction < 0.5 * before[2]


@pytest.mark.slow
def test_from_a_folder_to_a_bundle_that_reads_windows(prompt: Prompt, tmp_path: Path) -> None:
    root = others.write_plain(tmp_path / "own", labels=LABELS, people=2, per_label=1)
    run, out = tmp_path / "run", tmp_path / "fdp.tsf"
    words = (
        "tsf-train",
        "loso",
        "--dataset",
        "csv",
        "--root",
        root,
        "--protocol",
        "casme2_5c_tsf",
        "--faces",
        "dataset",
    )
    network = ("--model", "fdp", "--size", "small", "--option", "frames=4")
    settings = ("--seeds", 1, "--shuffled-seeds", 0, "--epochs", 1, "--batch", 5, "--order-weight", 0.2)
    done = prompt(*words, *network, *settings, "--out", run)
    assert done.code == 0, done.err
    found = json.loads((run / "result.json").read_text())
    assert (found["folds"], found["samples"], found["complete"]) == (2, 10, True)
    assert (found["spec"]["model"], found["spec"]["learning_rate"], found["spec"]["weight_decay"]) == (
        "fdp",
        1e-4,
        1e-3,
    )
    assert found["spec"]["loss"] == {"recognition": 1.0, "order": 0.2, "dynamic_image": 100.0}
    done = prompt("tsf-train", "fit", run, "--out", out)
    assert done.code == 0, done.err
    bundle = read_bundle(out)
    assert bundle.manifest.model == ModelCard("fdp", "small", "window", 5, {"frames": 4})
    assert bundle.manifest.provenance.metrics["loso"]["uf1"] == found["uf1"]
    crops = np.load(run / "crops" / "crops.npy", mmap_mode="r")
    with load_window(bundle, "torch") as runner:
        answers = runner.infer(np.array(crops[:2])).answers
    assert answers.probabilities.shape == (2, 5)
    done = prompt("tsf-train", "report", run)
    assert done.code == 0, done.err
    assert "fdp, small, frames=4" in (run / "report.html").read_text()
    # Pairs are no windows: the run of another network needs crops of its own.
    pairs = ("--model", "mmnet", "--size", "small", "--cache", run / "crops")
    prompt(*words, *pairs, *settings[:-2], "--out", tmp_path / "mmnet").assert_refused(2, "other clips")


def test_fdp_is_trained_at_its_own_rates() -> None:
    fdp, pairs = TrainingOptions(model=Model.FDP).spec(5), TrainingOptions().spec(5)
    assert (fdp.learning_rate, pairs.learning_rate) == (1e-4, 8e-4)
    assert (fdp.weight_decay, pairs.weight_decay) == (1e-3, 0.6)
    assert TrainingOptions(model=Model.FDP).spec(3).weight_decay == 1e-3
    with pytest.raises(UsageError, match="rounds away what differs between frames"):
        TrainingOptions(model=Model.FDP, precision=Precision.BF16).spec(5)
    asked = TrainingOptions(model=Model.FDP, learning_rate=3e-4, weight_decay=0.0, image_weight=5.0).spec(5)
    assert (asked.learning_rate, asked.weight_decay, asked.loss.dynamic_image) == (3e-4, 0.0, 5.0)
    assert LosoSpec.from_dict(json.loads(json.dumps(asked.to_dict()))) == asked
    with pytest.raises(ContractError, match=r"LossWeights\.order"):
        LossWeights(order=-1.0)


def index(window: tuple[str, ...]) -> CacheIndex:
    entry = CacheEntry("k", "csv", "p", "c", 1, "others", "1.png", "2.png", window)
    return CacheIndex("csv", "casme2_5c_tsf", "a", Faces.DATASET, PreprocessSpec(), (entry,))


def test_a_network_gets_the_views_it_takes() -> None:
    fdp, pairs = FdpConfig(frames=3), ModelConfig()
    windows = index(("1.png", "2.png", "3.png"))
    require_views(fdp, windows)
    require_views(pairs, index(()))
    with pytest.raises(UsageError, match="windows of 3 frames, tsfmicro takes onset and apex"):
        require_views(pairs, windows)
    with pytest.raises(UsageError, match=r"onset and apex, fdp takes windows of 3 frames; .* prepare --window 3"):
        require_views(fdp, index(()))
    with pytest.raises(UsageError, match="windows of 3 frames, fdp takes windows of 8 frames"):
        require_views(FdpConfig(), windows)


def test_a_run_names_fdp() -> None:
    spec = LosoSpec(model="fdp", size="small", options=("global_blocks=none",))
    assert model_config(spec, 3) == FdpConfig(size="small", classes=3, global_blocks="none")


def test_the_synthetic_corpus_draws_what_the_network_takes() -> None:
    people: dict[str, tuple[Portrait, ...]] = {"astronaut": (astronaut(),)}
    spec = PairSpec(classes=("surprise", "happiness"))
    words: dict[str, Any] = {"seed": 4, "length": 2}
    windows = drawn_for(FdpConfig(frames=5), people, spec, default_preprocessor(), **words)
    *frames, label, contractions = windows[1]
    assert isinstance(windows, SyntheticWindows) and [tuple(frame.shape) for frame in frames] == [(224, 224, 3)] * 5
    assert label in (0, 1) and float(contractions.max()) > 0
    assert all(torch.equal(a, b) for a, b in zip(frames, windows[1][:5], strict=True))
    assert isinstance(drawn_for(ModelConfig(), people, spec, default_preprocessor(), **words), SyntheticPairs)


def test_a_corpus_of_recordings_serves_pairs_and_windows(tmp_path: Path) -> None:
    """Every clip rests at its ends and moves most at the frame that its annotation calls the apex."""
    still = PairSpec(
        amplitude_percent_iod=(5.0, 5.0), iod_px=(70.0, 70.0), misalignment_px=0.0, turn_deg=0.0,
        noise_sigma=(0.0, 0.0), jpeg_share=0.0,
    )  # fmt: skip
    classes = ("surprise", "disgust")
    root = write_synthetic(tmp_path / "c", [(astronaut(),)], people=2, clips=1, classes=classes, spec=still, fps=25.0)
    lines = [line.split(",") for line in (root / "clips.csv").read_text().splitlines()[1:]]
    assert len(lines) == 4
    for subject, clip, onset, apex, offset, _ in lines:
        files = sorted((root / subject / clip).iterdir(), key=lambda path: int(path.stem))
        assert (int(onset), int(offset)) == (1, len(files)) and len(files) >= 8
        frames = [read_picture(path).astype(int) for path in files]
        # The light drifts on, so what counts is the change of places, not of brightness.
        change = [float(np.abs(frame - frames[0]).std()) for frame in frames]
        assert abs(int(np.argmax(change)) + 1 - int(apex)) <= 1

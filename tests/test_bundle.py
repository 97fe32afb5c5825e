"""A bundle is used whole and unchanged, or not at all."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tsfmicro import bundle as bundles
from tsfmicro.bundle import (
    Bundle,
    Calibration,
    Manifest,
    ModelCard,
    Provenance,
    SourceNote,
    add_file,
    default_bundle_path,
    read_bundle,
    round_to_half,
    update_metrics,
    write_bundle,
)
from tsfmicro.errors import BundleError, ContractError, UsageError
from tsfmicro.labels import protocol
from tsfmicro.models.config import ModelConfig
from tsfmicro.preprocess import PreprocessSpec

PROTOCOL = "casme2_5c_tsf"


def a_manifest(**changes: Any) -> Manifest:
    manifest = Manifest(
        name="test",
        model=ModelCard(name="tsfmicro", size="small", fusion="late", classes=5),
        protocol_id=PROTOCOL,
        labels=protocol(PROTOCOL).classes,
        preprocess=PreprocessSpec(),
        provenance=Provenance(
            data="nothing",
            command="pytest",
            seed=1,
            steps=0,
            commit="none",
            sources=(SourceNote("noise", "CC0-1.0", "weights"),),
            metrics={"accuracy": 0.2, "folds": (1, 2)},
        ),
        calibration=Calibration(temperature=1.5, min_probability=0.4, min_magnitude_percent_iod=None),
        licence="Apache-2.0",
        intended_use="tests",
    )
    return dataclasses.replace(manifest, **changes)


def some_weights() -> dict[str, NDArray[Any]]:
    rng = np.random.default_rng(5)
    return {
        "b.weight": rng.normal(size=(4, 3)).astype(np.float32),
        "a.bias": rng.normal(size=4).astype(np.float32),
        "n": np.array(7, np.int64),
    }


OPTIONS: dict[str, str | int] = {"patch_px": 16, "t2s_add": "after_blocks"}
CARD = ModelCard("tsfmicro", "small", "t2s", 5, OPTIONS)


@pytest.fixture
def written(tmp_path: Path) -> Bundle:
    bundle = write_bundle(tmp_path / "one.tsf", a_manifest(), some_weights())
    return add_file(bundle, "model.onnx", b"graph")


def edit(bundle: Bundle, change: dict[str, Any]) -> None:
    """Overwrite top-level fields of the manifest on disk."""
    path = bundle.path / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_round_trip(written: Bundle) -> None:
    back = read_bundle(written.path)
    assert back == written
    assert back.digest == written.digest
    assert back.manifest.preprocess == PreprocessSpec()
    assert back.manifest.provenance.metrics == {"accuracy": 0.2, "folds": [1, 2]}
    assert set(back.manifest.files) == {"weights.safetensors", "model.onnx"}
    assert back.file("model.onnx").read_bytes() == back.read("model.onnx") == b"graph"
    for name, tensor in some_weights().items():
        np.testing.assert_array_equal(back.weights()[name], tensor)
        assert back.weights()[name].dtype == tensor.dtype


def test_manifest_json_is_a_fixed_point() -> None:
    text = a_manifest().to_json()
    assert text.endswith("}\n")
    assert Manifest.from_json(text).to_json() == text
    assert list(json.loads(text)) == sorted(json.loads(text))


def test_same_content_gives_the_same_bytes(tmp_path: Path) -> None:
    weights = some_weights()
    first = write_bundle(tmp_path / "a.tsf", a_manifest(), weights)
    second = write_bundle(tmp_path / "b.tsf", a_manifest(), dict(reversed(weights.items())))
    assert snapshot(first.path) == snapshot(second.path)


def test_half_is_stored_as_float16_and_comes_back_as_float32(tmp_path: Path) -> None:
    weights = some_weights()
    half = round_to_half(weights)
    assert {name: tensor.dtype.name for name, tensor in half.items()} == {
        "b.weight": "float16", "a.bias": "float32", "n": "int64",
    }  # fmt: skip
    back = write_bundle(tmp_path / "half.tsf", a_manifest(), half).weights()
    assert back["b.weight"].dtype == np.float32
    np.testing.assert_array_equal(back["b.weight"], weights["b.weight"].astype(np.float16).astype(np.float32))
    np.testing.assert_array_equal(back["a.bias"], weights["a.bias"])


@pytest.mark.parametrize("value", [1e5, math.nan, math.inf])
def test_half_refuses_what_it_cannot_hold(value: float) -> None:
    with pytest.raises(ContractError, match="big"):
        round_to_half({"big": np.full((1, 1), value, np.float32)})


def test_weights_that_are_not_finite_are_not_written(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match=r"head\.bias"):
        write_bundle(tmp_path / "x.tsf", a_manifest(), {"head.bias": np.array([1, np.nan], np.float32)})
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["weights.safetensors", "model.onnx"])
@pytest.mark.parametrize("place", [0, -1])
def test_one_changed_byte_is_found(written: Bundle, name: str, place: int) -> None:
    path = written.path / name
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(BundleError, match=name) as caught:
        read_bundle(written.path)
    assert caught.value.exit_code == 5


def test_one_changed_byte_of_the_manifest_is_found(written: Bundle) -> None:
    path = written.path / "manifest.json"
    text = path.read_text()
    path.write_text(text.replace('"std": [\n      0.229', '"std": [\n      0.228'))
    assert path.read_text() != text
    with pytest.raises(BundleError, match=r"manifest\.json.*|preprocess_digest"):
        read_bundle(written.path)
    path.write_text(text[:-3])
    with pytest.raises(BundleError, match=r"manifest\.json"):
        read_bundle(written.path)


def test_change_after_reading_is_found(written: Bundle) -> None:
    bundle = read_bundle(written.path)
    (written.path / "weights.safetensors").write_bytes(b"other")
    with pytest.raises(BundleError, match=r"weights\.safetensors"):
        bundle.weights()


@pytest.mark.parametrize("name", ["weights.safetensors", "model.onnx", "manifest.json"])
def test_missing_file_is_found(written: Bundle, name: str) -> None:
    (written.path / name).unlink()
    with pytest.raises(BundleError, match=name):
        read_bundle(written.path)


@pytest.mark.parametrize("name", ["extra.pt", "EXTRA.PKL", "model.engine", "sub/model.onnx"])
def test_unlisted_file_that_could_be_loaded_is_refused(written: Bundle, name: str) -> None:
    (written.path / name).parent.mkdir(exist_ok=True)
    (written.path / name).write_bytes(b"x")
    with pytest.raises(BundleError, match=f"{Path(name).name} is not listed"):
        read_bundle(written.path)


def test_unlisted_notes_are_harmless(written: Bundle) -> None:
    (written.path / "README.md").write_text("hello")
    assert read_bundle(written.path) == written


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": "tsf.bundle/2"}, r"tsf\.bundle/2.*tsf\.bundle/1"),
        ({"schema": None}, "schema"),
        ({"preprocess_digest": "0" * 64}, "preprocess_digest"),
        ({"preprocess": {}}, "align"),
        ({"labels": list(reversed(protocol(PROTOCOL).classes))}, "labels"),
        ({"labels": [*protocol(PROTOCOL).classes, "fear"]}, "labels"),
        ({"protocol_id": "casme2_5c_tfs"}, "did you mean"),
        ({"model": {"name": "tsfmicro", "size": "small", "fusion": "late", "classes": 3}}, "3 classes"),
        ({"model": {"name": "tsfmicro"}}, "model"),
        ({"model": "tsfmicro"}, "model"),
        ({"calibration": {"temperature": math.nan, "min_probability": 0, "min_magnitude_percent_iod": None}}, "finite"),
        ({"calibration": {"temperature": 0, "min_probability": 0, "min_magnitude_percent_iod": None}}, "temperature"),
        ({"calibration": {"temperature": 1, "min_probability": 2, "min_magnitude_percent_iod": None}}, "in 0..1"),
        ({"calibration": {"temperature": True, "min_probability": 0, "min_magnitude_percent_iod": None}}, "type"),
        ({"files": {}}, r"no weights\.safetensors"),
        ({"files": {"../weights.safetensors": "0" * 64}}, "plain name"),
        ({"files": {"weights.safetensors": "0"}}, "64 lower-case hex"),
        ({"name": 3}, "name"),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_manifests_that_cannot_be_trusted_are_refused(written: Bundle, change: dict[str, Any], message: str) -> None:
    edit(written, change)
    with pytest.raises(BundleError, match=message):
        read_bundle(written.path)


@pytest.mark.parametrize("text", ["", "[]", "null", "{", "\ufeff{}", "[" * 100_000, '{"schema": 1e999}'])
def test_text_that_is_no_manifest_is_refused(text: str) -> None:
    with pytest.raises(BundleError, match=r"manifest\.json|schema"):
        Manifest.from_json(text)


@pytest.mark.parametrize("number", [math.nan, math.inf, np.float64("nan")])
def test_metrics_that_are_not_finite_are_refused(number: float) -> None:
    with pytest.raises(ContractError, match=r"metrics\.loso\[1\]\.uf1"):
        dataclasses.replace(a_manifest().provenance, metrics={"loso": [0, {"uf1": number}]})


def test_metrics_that_are_not_json_are_refused(written: Bundle) -> None:
    with pytest.raises(ContractError, match="ndarray"):
        update_metrics(written, {"x": np.zeros(2)})
    assert read_bundle(written.path) == written


def test_manifest_refuses_an_unknown_protocol() -> None:
    with pytest.raises(UsageError):
        a_manifest(protocol_id="nothing")


def test_missing_bundle_names_its_neighbours_and_the_command(written: Bundle) -> None:
    with pytest.raises(BundleError, match=r"one\.tsf.*tsf-train demonstration --out onne\.tsf"):
        read_bundle(written.path.with_name("onne.tsf"))
    with pytest.raises(BundleError, match=r"one\.tsf"):
        read_bundle(written.path.parent)


def test_missing_bundle_without_neighbours(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"type `tsf-train demonstration --out new\.tsf`"):
        read_bundle(tmp_path / "new.tsf")


def test_file_that_is_not_listed_has_no_path(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "bare.tsf", a_manifest(), some_weights())
    with pytest.raises(BundleError, match=r"no model\.onnx, only weights\.safetensors; type `tsf-export"):
        bundle.file("model.onnx")


def test_weights_that_are_no_safetensors_are_refused(written: Bundle) -> None:
    bundle = add_file(written, "weights.safetensors", b"pickle")
    with pytest.raises(BundleError, match="not valid safetensors"):
        bundle.weights()


def test_writing_replaces_a_bundle_and_leaves_nothing_beside_it(written: Bundle) -> None:
    weights = {"w": np.ones(3, np.float32)}
    replaced = write_bundle(written.path, a_manifest(name="second"), weights)
    assert read_bundle(written.path) == replaced
    assert set(replaced.manifest.files) == {"weights.safetensors"}
    assert [p.name for p in written.path.parent.iterdir()] == ["one.tsf"]


@pytest.mark.parametrize("broken", ["write_bytes", "write_text", "rename"])
@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_interrupted_write_leaves_the_old_bundle(
    written: Bundle, monkeypatch: pytest.MonkeyPatch, broken: str, error: type[BaseException]
) -> None:
    before = snapshot(written.path.parent)
    original = getattr(Path, broken)

    def fail(self: Path, *args: Any, **kwargs: Any) -> Any:
        if self.name == "new" or self.parent.name == "new":  # the second rename, or any write into the new directory
            raise error("disk full")
        return original(self, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(Path, broken, fail)
        with pytest.raises(error):
            write_bundle(written.path, a_manifest(name="second"), {"w": np.ones(3, np.float32)})
    assert snapshot(written.path.parent) == before
    assert read_bundle(written.path) == written


def test_interrupted_resealing_leaves_the_old_bundle(written: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    before = snapshot(written.path.parent)
    original = Path.write_bytes

    def fail(self: Path, data: bytes) -> int:
        if self.name == "manifest.json":
            raise OSError("disk full")
        return original(self, data)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", fail)
        with pytest.raises(OSError, match="disk full"):
            add_file(written, "model.onnx", b"new graph")
    assert snapshot(written.path.parent) == before
    assert read_bundle(written.path) == written


def test_what_is_no_bundle_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").write_bytes(b"cat")
    (tmp_path / "file").write_bytes(b"text")
    for name in ("photos", "file"):
        with pytest.raises(BundleError, match="is no bundle"):
            write_bundle(tmp_path / name, a_manifest(), some_weights())
    assert snapshot(tmp_path) == {"photos/cat.jpg": b"cat", "file": b"text"}


def test_adding_files_from_a_stale_bundle_loses_nothing(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "b.tsf", a_manifest(), some_weights())
    add_file(bundle, "model.onnx", b"1")
    update_metrics(bundle, {"uar": 0.5})
    last = add_file(bundle, "model.engine", b"2")
    assert read_bundle(bundle.path) == last
    assert set(last.manifest.files) == {"weights.safetensors", "model.onnx", "model.engine"}
    assert last.manifest.provenance.metrics == {"accuracy": 0.2, "folds": [1, 2], "uar": 0.5}
    assert [p.name for p in tmp_path.iterdir()] == ["b.tsf"]


def test_adding_to_a_damaged_bundle_is_refused(written: Bundle) -> None:
    (written.path / "model.onnx").write_bytes(b"other")
    with pytest.raises(BundleError, match=r"model\.onnx"):
        add_file(written, "new.onnx", b"x")


@pytest.mark.parametrize("name", ["manifest.json", "../x.onnx", "a/b.onnx", "", ".hidden", "/x", "a\\b"])
def test_only_plain_names_can_be_added(written: Bundle, name: str) -> None:
    with pytest.raises(ContractError, match="plain name"):
        add_file(written, name, b"x")


def test_default_bundle_lies_in_the_package() -> None:
    assert default_bundle_path() == Path(bundles.__file__).parent / "bundles" / "demonstration.tsf"


# ---- which network -------------------------------------------------------------------------------------------------


def test_a_card_says_what_to_build() -> None:
    config = ModelConfig(size="small", fusion="t2s", patch_px=16, t2s_add="after_blocks")
    assert ModelCard.of(config) == CARD
    assert CARD.config() == config
    assert ModelCard.of(ModelConfig(model="mmnet")) == ModelCard("mmnet", "base", "late", 5)


def test_options_survive_the_manifest_and_are_written_only_where_there_are_any() -> None:
    manifest = a_manifest(model=CARD)
    assert json.loads(manifest.to_json())["model"]["options"] == OPTIONS
    assert Manifest.from_json(manifest.to_json()) == manifest
    assert "options" not in json.loads(a_manifest().to_json())["model"]


@pytest.mark.parametrize("options", [[], {"patch_px": 1.5}, {"patch_px": True}, {"patch_px": None}, "16"])
def test_options_of_the_wrong_kind_are_refused(options: Any) -> None:
    values = json.loads(a_manifest().to_json())
    values["model"]["options"] = options
    with pytest.raises(BundleError, match=r"model\.options"):
        Manifest.from_json(json.dumps(values))


@pytest.mark.parametrize("options", [{"colour": "red"}, {"patch_px": 3}, {"spatial_input": "apex"}])
def test_a_card_of_an_unknown_network_is_refused(options: dict[str, str | int]) -> None:
    with pytest.raises(ContractError):
        ModelCard("tsfmicro", "small", "late", 5, options).config()


def test_the_card_cannot_be_changed_through_its_options() -> None:
    options: dict[str, str | int] = {"patch_px": 16}
    card = ModelCard("tsfmicro", "small", "late", 5, options)
    options["patch_px"] = 1
    assert card.options == {"patch_px": 16}


def test_the_shipped_manifest_reads_as_it_was_written() -> None:
    """Byte for byte: its digest is in every session's record."""
    path = default_bundle_path() / "manifest.json"
    assert Manifest.from_json(path.read_bytes()).to_json() == path.read_text(encoding="utf-8")

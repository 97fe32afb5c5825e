"""Everything one call of ``tsf-export`` makes of a bundle: graphs, an engine, its sidecar, and the proof of each."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version

import onnx
import torch

from tsfmicro import __version__
from tsfmicro.bundle import ONNX_FILE, ONNX_HALF_FILE, WEIGHTS_FILE, Bundle
from tsfmicro.errors import BackendError
from tsfmicro.export.onnx_graph import OPSET, in_precision, trace
from tsfmicro.export.parity import Link, Proof, begin_proof, graph_logits
from tsfmicro.export.precision import MatrixLayer, matrix_layers, require_precision
from tsfmicro.export.tensorrt_builder import BuiltEngine, EngineOrder, build_engine
from tsfmicro.export.torch_half import Fused
from tsfmicro.export.window_half import name_delicate
from tsfmicro.export.windows import WindowProof, begin_window_proof, graph_answers
from tsfmicro.runners.cuda import Cuda, card_here
from tsfmicro.runners.engine_card import EngineCard, ProvenOn, engine_file, sidecar_file
from tsfmicro.runners.parity import Parity
from tsfmicro.runners.precision import Precision
from tsfmicro.runners.tensorrt_engine import Engine, layout_of
from tsfmicro.runners.torch_runner import load_fused
from tsfmicro.runners.torch_window import load_fused_window

GRAPH_FILES = {Precision.FLOAT32: ONNX_FILE, Precision.FLOAT16: ONNX_HALF_FILE}
PASSED, NOT_RUN = "passed", "not run here"


@dataclass(frozen=True, slots=True)
class Product:
    """A file, not yet written."""

    name: str
    kind: str
    """``"onnx"``, the kind of an engine, or ``"sidecar"``."""
    data: bytes
    requested: Precision
    actual: Precision
    """Read off the graph, or off the network an engine was built from."""

    @property
    def sha256(self) -> str:
        """Hex."""
        return hashlib.sha256(self.data).hexdigest()


@dataclass(frozen=True, slots=True)
class Exported:
    """Files that were all proved as far as this machine can."""

    products: tuple[Product, ...]
    links: tuple[Link, ...]
    engine: EngineCard | None


def stages_of(bundle: Bundle, precisions: tuple[Precision, ...], order: EngineOrder | None) -> tuple[str, ...]:
    """What :func:`export_bundle` will tell, in this order."""
    if bundle.manifest.model.reads_windows:
        return ("graph of the windows",)
    graphs = (f"{precision.value} graph and its proof" for precision in precisions)
    return ("answers in float64", "tracing", *graphs, *(() if order is None else (f"{order.kind} engine",)))


def export_bundle(
    bundle: Bundle,
    precisions: tuple[Precision, ...],
    order: EngineOrder | None = None,
    on_stage: Callable[[str], None] = lambda stage: None,
) -> Exported:
    """Make and prove, in memory; nothing is written here.

    Args:
        bundle: verified.
        precisions: of the graphs to make.
        order: of the engine to build, of one of these precisions; or none.
        on_stage: told the name of each stage of :func:`stages_of` when it begins.

    Raises:
        BundleError: if the manifest does not describe a network of this version.
        ParityError: if something does not compute what the network computes.
        BackendError: if something is not of the precision asked for, or the engine cannot be built here.
    """
    stages = iter(stages_of(bundle, precisions, order))
    on_stage(next(stages))
    if bundle.manifest.model.reads_windows:
        return _window_products(bundle, precisions, order)
    fused = load_fused(bundle)
    proof = begin_proof(fused, bundle.manifest.preprocess, bundle.manifest.calibration.min_probability)
    on_stage(next(stages))
    traced = trace(fused, OPSET)
    products = []
    for precision in precisions:
        on_stage(next(stages))
        products.append(_graph(traced, precision, proof))
    if order is None:
        return Exported(tuple(products), tuple(proof.links), None)
    on_stage(next(stages))
    graph = next(product for product in products if product.actual is order.precision)
    engine, card = _engine(bundle, _build(fused, graph, order), graph, order, proof)
    return Exported((*products, *engine), tuple(proof.links), card)


def _window_products(bundle: Bundle, precisions: tuple[Precision, ...], order: EngineOrder | None) -> Exported:
    """The same for FDP."""
    fused = load_fused_window(bundle)
    manifest = bundle.manifest
    proof = begin_window_proof(fused, manifest.preprocess, manifest.calibration.min_probability)
    traced = trace(fused, OPSET)
    delicate = name_delicate(traced)
    products = [_window_graph(traced, delicate, precision, proof) for precision in precisions]
    if order is None:
        return Exported(tuple(products), tuple(proof.links), None)
    graph = next(product for product in products if product.actual is order.precision)
    engine, card = _engine(bundle, _build(fused, graph, order), graph, order, proof)
    return Exported((*products, *engine), tuple(proof.links), card)


def _window_graph(
    traced: onnx.ModelProto, delicate: frozenset[str], precision: Precision, proof: WindowProof
) -> Product:
    data = in_precision(traced, precision, delicate)
    actual = require_precision(matrix_layers(onnx.load_from_string(data)), precision, f"the {precision.value} graph")
    proof.hold("ONNX Runtime", precision, graph_answers(data, proof))
    return Product(GRAPH_FILES[precision], "onnx", data, precision, actual)


def _graph(traced: onnx.ModelProto, precision: Precision, proof: Proof) -> Product:
    data = in_precision(traced, precision)
    actual = require_precision(matrix_layers(onnx.load_from_string(data)), precision, f"the {precision.value} graph")
    proof.hold("ONNX Runtime", precision, graph_logits(data, proof.onset, proof.apex))
    return Product(GRAPH_FILES[precision], "onnx", data, precision, actual)


def _engine(
    bundle: Bundle, built: BuiltEngine, graph: Product, order: EngineOrder, proof: Proof | WindowProof
) -> tuple[tuple[Product, Product], EngineCard]:
    actual = require_precision(built.layers, order.precision, f"the {order.kind} network")
    proven, parity = _prove_engine(bundle, built, order, proof)
    name = engine_file(order.kind, order.precision)
    engine = Product(name, order.kind, built.plan, order.precision, actual)
    card = EngineCard(
        kind=order.kind,
        engine_sha256=engine.sha256,
        graph_file=graph.name,
        graph_sha256=graph.sha256,
        weights_sha256=bundle.manifest.files[WEIGHTS_FILE],
        runtime_version=built.runtime_version,
        tool_versions=_tool_versions(),
        compute_capabilities=built.compute_capabilities,
        built_on=built.built_on,
        precision_requested=order.precision.value,
        precision_actual=actual.value,
        matrix_layers=dict(Counter(layer.precision for layer in built.layers)),
        float32_layers=_float32_layers(built.layers, actual),
        batch_profile=order.batch_profile,
        proven_on=proven,
        parity=parity,
        build_s=round(built.build_s, 2),
    )
    sidecar = Product(sidecar_file(name), "sidecar", card.to_json().encode(), order.precision, actual)
    return (engine, sidecar), card


def _build(fused: Fused, graph: Product, order: EngineOrder) -> BuiltEngine:
    if order.kind == "torch-tensorrt":
        from tsfmicro.export.torch_tensorrt_builder import build_with_torch

        return build_with_torch(fused, order)
    return build_engine(graph.data, order)


def _prove_engine(
    bundle: Bundle, built: BuiltEngine, order: EngineOrder, proof: Proof | WindowProof
) -> tuple[ProvenOn | None, str]:
    """Run the engine on the card and hold it against the network; without a card, say so."""
    card = card_here()
    if card is None:
        return None, f"{NOT_RUN}: no NVIDIA card"
    try:
        parity = _on_card(bundle, built, order, proof)
    except BackendError as error:
        if order.kind != "tensorrt-rtx":
            raise
        return None, f"{NOT_RUN}: {error}"  # built for other cards than this one
    return ProvenOn(card.name, card.capability, built.runtime_version, asdict(parity)), PASSED


def _on_card(bundle: Bundle, built: BuiltEngine, order: EngineOrder, proof: Proof | WindowProof) -> Parity:
    """Hold the engine against the network.

    Raises:
        BackendError: if the engine cannot be run on the card.
        ParityError: if it does not compute what the network computes.
    """
    cuda = Cuda()
    try:
        engine = Engine(built.plan, order.kind, layout_of(bundle), order.batch_profile[2], cuda)
    except BaseException:
        cuda.close()
        raise
    try:
        return proof.hold_engine(order.kind, order.precision, engine)
    finally:
        engine.close()


def _float32_layers(layers: tuple[MatrixLayer, ...], actual: Precision) -> tuple[str, ...]:
    if actual is Precision.FLOAT32:
        return ()
    return tuple(layer.name for layer in layers if layer.precision == "float32")


def _tool_versions() -> dict[str, str]:
    found = {"tsfmicro": __version__, "torch": str(torch.__version__), "onnx": str(onnx.__version__)}
    with suppress(PackageNotFoundError):
        found["torch-tensorrt"] = version("torch-tensorrt")
    return found

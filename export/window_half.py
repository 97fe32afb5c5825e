"""Which parts of FDP's graph stay float32 in its float16 form.

What tells a micro-expression is the difference between frames that are almost equal. So whatever carries a frame from
layer to layer is float32: the preparation of the crops and the stem, where grey levels are still all alike, and the
sums that every block adds to. So is everything between the features of the frames and the dynamic representation: the
sum that makes the features, the rank scorer (whose scale of a still window is below what float16 can hold) and the
pooling. The blocks, where nearly all of the arithmetic is, and both heads are float16.
"""

from __future__ import annotations

import onnx

from tsfmicro.errors import ContractError
from tsfmicro.export.precision import MATRIX_OPS
from tsfmicro.runners.precision import FLOAT32_PARTS

_FIRST_OF_STEM, _FIRST_OF_BLOCKS, _FRAMES = "frames.stem.0", "frames.embeddings.0.0", "frames."
_POOLING_NORM = "network.order.pooling.norm.weight"
_PREPARE, _STEM, _ORDER = FLOAT32_PARTS


def name_delicate(model: onnx.ModelProto) -> frozenset[str]:
    """Find the nodes that stay float32, and give the products among them names that say where they are.

    Args:
        model: FDP as ``onnx_graph.trace`` makes it; its products without weights are renamed in place.

    Returns:
        Names of the nodes, for ``half.to_half``.

    Raises:
        ContractError: if this is not the graph of an FDP.
    """
    maker = {name: node for node in model.graph.node for name in node.output}
    layers = {node.name: node for node in model.graph.node}
    norm = next((node for node in model.graph.node if _POOLING_NORM in node.input), None)
    if norm is None or not {_FIRST_OF_STEM, _FIRST_OF_BLOCKS} <= {*layers}:
        raise ContractError("the graph has no frames.stem.0 or no order.pooling.norm; it is not an FDP")
    prepare = _before(layers[_FIRST_OF_STEM], maker, until="")
    stem = _before(layers[_FIRST_OF_BLOCKS], maker, until="") - prepare
    order = _before(norm, maker, until=_FRAMES) - prepare - stem
    sums = {node.name for node in model.graph.node if node.op_type == "Add" and {*node.input} <= {*maker}}
    blocks = sums & _before(norm, maker, until="") - order
    named = [_named(model.graph, *part) for part in ((prepare, _PREPARE), (stem, _STEM), (order, _ORDER))]
    return frozenset(blocks).union(*named)


def _named(graph: onnx.GraphProto, names: set[str], part: str) -> frozenset[str]:
    """The same nodes, once the products without a name of their own are called after their part."""
    nodes = [node for node in graph.node if node.name in names]
    unnamed = [n for n in nodes if n.op_type in MATRIX_OPS and not n.name.startswith((_FRAMES, part))]
    for number, node in enumerate(unnamed, start=1):
        node.name = f"{part}product.{number}"
    return frozenset(node.name for node in nodes)


def _before(node: onnx.NodeProto, maker: dict[str, onnx.NodeProto], until: str) -> set[str]:
    """Names of what leads to a node, back to and including the products whose names begin with ``until``."""
    found: set[str] = set()
    waiting = [maker[name] for name in node.input if name in maker]
    while waiting:
        other = waiting.pop()
        if other.name in found:
            continue
        found.add(other.name)
        if until and other.op_type in MATRIX_OPS and other.name.startswith(until):
            continue
        waiting += [maker[name] for name in other.input if name in maker]
    return found

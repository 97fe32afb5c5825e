"""A recording on disk: a folder of three files.

* ``recording.json``: schema, program version, sources, geometry of the crops, model.
* ``sights.jsonl``: a line for every frame, loss, return and end, in the order they were analysed in. Floats are written
  so that they read back as the same bits; ``crc32`` guards each line.
* ``crops.bin``: the pixels around every face as PNGs, one after the other; lines say where.

Crops are written before the line that names them, so whatever moment a process is killed at, all complete lines hold.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tsfmicro import __version__
from tsfmicro.align import AlignSpec
from tsfmicro.errors import ContractError, SourceError

SCHEMA_ID = "tsf.recording/1"
HEADER_FILE, SIGHTS_FILE, CROPS_FILE = "recording.json", "sights.jsonl", "crops.bin"
REPLAY_PREFIX = "replay:"
"""Of the source that runs a recording again."""
_GUARD = b', "crc32": '


@dataclass(frozen=True, slots=True)
class Header:
    """What holds for a whole recording."""

    sources: tuple[str, ...]
    """Names, free of credentials."""
    align: AlignSpec
    """Geometry of the crops; only a model that wants the same can judge them."""
    model: Mapping[str, Any] | None
    """As in ``session.start``: the model of the recorded session."""
    t_wall: str
    """RFC 3339."""
    version: str = __version__
    """Of the program that recorded."""

    def dumps(self) -> str:
        """As JSON."""
        return json.dumps({"schema": SCHEMA_ID, **asdict(self)}, indent=2, ensure_ascii=False) + "\n"


def read_header(folder: Path) -> Header:
    """Read the header of a recording.

    Raises:
        SourceError: there is no recording, or it is damaged or of another version of the format.
    """
    path = folder / HEADER_FILE
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise SourceError(
            f"{folder} holds no {HEADER_FILE}; expected a folder that tsf-live --record has written."
        ) from error
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise SourceError(f"{path} is damaged: it is not JSON.") from error
    schema = record.get("schema") if isinstance(record, dict) else None
    if schema != SCHEMA_ID:
        raise SourceError(f"{path} has schema {schema}; this version reads {SCHEMA_ID}.")
    try:
        names = tuple(str(name) for name in record["sources"])
        align = AlignSpec(**record["align"])
        return Header(names, align, record["model"], str(record["t_wall"]), str(record["version"]))
    except (KeyError, TypeError, ContractError) as error:
        raise SourceError(f"{path} is damaged: {type(error).__name__} {error}.") from error


def guarded(record: Mapping[str, Any]) -> bytes:
    """One line of JSON that ends in the check sum of what stands before it.

    Raises:
        ContractError: a value is NaN, infinite or not JSON.
    """
    try:
        body = json.dumps(record, allow_nan=False, ensure_ascii=False).encode()
    except (TypeError, ValueError) as error:
        raise ContractError(f"a {record.get('kind')} line cannot be written as JSON: {error}") from error
    return body[:-1] + _GUARD + str(zlib.crc32(body)).encode() + b"}\n"


def unguarded(line: bytes) -> dict[str, Any]:
    """What :func:`guarded` wrote.

    Raises:
        ValueError: the line is damaged.
    """
    body, guard, rest = line.rpartition(_GUARD)
    body += b"}"
    if not guard or not rest.endswith(b"}\n") or int(rest[:-2]) != zlib.crc32(body):
        raise ValueError("its check sum is another")
    record = json.loads(body)
    if not isinstance(record, dict):
        raise ValueError("it is no object")
    return record

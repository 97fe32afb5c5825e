"""Results say where they come from, and nothing about who or where their maker is."""

from __future__ import annotations

import getpass
import json
import platform
import socket
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy
import pytest

from tsfmicro import __version__
from tsfmicro.benchmarks import provenance as module
from tsfmicro.benchmarks.figures import read_result
from tsfmicro.benchmarks.provenance import SCHEMA_ID, digest_of, provenance, write_result
from tsfmicro.benchmarks.reading import as_markdown
from tsfmicro.errors import UsageError

ROOT = Path(__file__).resolve().parents[2]


def words_of(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from words_of(item)
    elif isinstance(value, list):
        for item in value:
            yield from words_of(item)
    elif isinstance(value, str):
        yield value


def test_a_result_has_the_schema(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "r.json"
    write_result(path, "event", ({"tp": 3}, {"tp": 4}), {"seeds": [1]})
    text = path.read_text(encoding="utf-8")
    assert text.endswith("}\n")
    record = json.loads(text)
    assert list(record) == ["schema", "scenario", "settings", "provenance", "rows"]
    assert (record["schema"], record["scenario"]) == ("tsf.bench/1", "event")
    assert (record["settings"], record["rows"]) == ({"seeds": [1]}, [{"tp": 3}, {"tp": 4}])


def test_provenance_names_versions_and_machine() -> None:
    found = provenance()
    assert found["tsfmicro"] == __version__
    assert found["packages"]["numpy"] == numpy.__version__
    assert set(found["packages"]) >= {"numpy", "opencv-contrib-python", "mediapipe", "onnxruntime"}
    assert found["cpus"] >= found["cpus_usable"] > 0
    assert found["kernel"] == platform.release()
    assert found["memory_mib"] > 100
    assert found["cpu"]
    written = datetime.fromisoformat(found["time_utc"])
    assert written.utcoffset() == timedelta(0)
    assert abs(datetime.now(written.tzinfo) - written) < timedelta(minutes=5)


def test_no_path_and_no_name_of_host_or_user(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    write_result(path, "event", [{"tp": 3}], {}, {"clips_sha256": {"clip.mp4": digest_of(Path(__file__))}})
    secrets = {socket.gethostname(), socket.getfqdn(), str(ROOT), str(Path.home()), str(tmp_path), getpass.getuser()}
    for word in words_of(json.loads(path.read_text())):
        assert word not in secrets
        assert "/home/" not in word
        assert str(ROOT) not in word
        assert not word.startswith("/")


def test_what_cannot_be_found_out_is_null(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(module, "_PACKAGES", ("numpy", "no-such-package-anywhere"))
    monkeypatch.setenv("PATH", str(tmp_path))  # no git
    found = provenance()
    assert found["commit"] is None
    assert found["packages"] == {"numpy": numpy.__version__, "no-such-package-anywhere": None}


@pytest.mark.parametrize("name", ["file/r.json", "folder"])
def test_where_nothing_can_be_written_is_bad_usage(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("in the way")
    (tmp_path / "folder").mkdir()
    with pytest.raises(UsageError, match="cannot be written") as caught:
        write_result(tmp_path / name, "event", [], {})
    assert caught.value.exit_code == 2


def test_inputs_are_told_by_their_digest(tmp_path: Path) -> None:
    (tmp_path / "clip").write_bytes(b"abc")
    digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2, appendix B.1
    assert digest_of(tmp_path / "clip") == digest
    assert provenance({"clip": digest})["inputs"] == {"clip": digest}
    assert provenance()["inputs"] == {}


def results() -> list[Path]:
    """What ``tsf-bench`` wrote; other commands' results lie beside it."""
    found = sorted((ROOT / "benchmarks" / "results").glob("*.json"))
    return [path for path in found if json.loads(path.read_text(encoding="utf-8")).get("schema") == SCHEMA_ID]


@pytest.mark.parametrize("path", results(), ids=lambda path: path.name)
def test_every_committed_result_still_reads(path: Path) -> None:
    record = json.loads(path.read_text(encoding="utf-8"))
    assert f"`tsf-bench {record['scenario']}`" in as_markdown(read_result(path))

"""A finding, the report made of findings, and the exit code they come to."""

from __future__ import annotations

import io
import json

import pytest
from rich.console import Console

from tsfmicro.doctor.examine import Check, examine
from tsfmicro.doctor.findings import Finding, Status, exit_code, one_line
from tsfmicro.doctor.report import print_table, to_json, to_lines
from tsfmicro.errors import ContractError

OK = Finding("python", "ok", "3.11.7")
WARN = Finding("camera", "warn", "not allowed", "sudo usermod -aG video $USER")
FAIL = Finding("landmarks", "fail", "no [red]face[/red]", "pip install " + "mediapipe==0.10.21 " * 20)
BAD_BUNDLE = Finding("bundle", "fail", "changed", "make it again")


@pytest.mark.parametrize("status", ["warn", "fail"])
def test_a_problem_says_how_to_mend_it(status: Status) -> None:
    for fix in (None, ""):
        with pytest.raises(ContractError, match="no fix"):
            Finding("camera", status, "broken", fix)


def test_a_finding_is_one_line() -> None:
    with pytest.raises(ContractError, match="one line"):
        Finding("camera", "warn", "broken", "a\nb")
    assert one_line("a\n  b\t c") == "a b c"
    assert one_line("x" * 500, most=10) == "xxxxxxx..."


@pytest.mark.parametrize(
    ("findings", "code"),
    [
        ([], 0),
        ([OK, WARN], 0),
        ([OK, BAD_BUNDLE, BAD_BUNDLE], 5),
        ([FAIL, WARN], 6),
        ([BAD_BUNDLE, FAIL], 6),
    ],
)
def test_exit_code(findings: list[Finding], code: int) -> None:
    assert exit_code(findings) == code


def test_json_has_the_four_fields_of_every_finding() -> None:
    rows = json.loads(to_json([OK, WARN]))
    assert rows == [
        {"check": "python", "status": "ok", "detail": "3.11.7", "fix": None},
        {"check": "camera", "status": "warn", "detail": "not allowed", "fix": "sudo usermod -aG video $USER"},
    ]


def test_one_line_a_finding_and_the_count() -> None:
    first, second, last = to_lines([OK, WARN])
    assert first == "ok   python: 3.11.7"
    assert second == "warn camera: not allowed | mend: sudo usermod -aG video $USER"
    assert last == "tsf-live runs here: 0 failed, 1 warned, 1 ok"
    assert to_lines([FAIL])[-1].startswith("tsf-live will not run as it should: 1 failed")


def test_the_table_keeps_commands_whole_and_names_the_worst_first() -> None:
    screen = io.StringIO()
    print_table(Console(file=screen, force_terminal=True, width=60, no_color=True, highlight=False), [OK, WARN, FAIL])
    text = screen.getvalue()
    assert "no [red]face[/red]" in text  # what was found is not markup
    mend = text.split("To mend")[1]
    assert f"    {FAIL.fix}".rstrip() in [line.rstrip() for line in mend.splitlines()]
    assert mend.index("mediapipe==") < mend.index("usermod")


def test_the_table_of_a_sound_machine_has_nothing_to_mend() -> None:
    screen = io.StringIO()
    print_table(Console(file=screen, width=60), [OK])
    assert "mend" not in screen.getvalue() and "1 ok" in screen.getvalue()


def test_a_check_that_breaks_is_a_finding_and_the_others_go_on() -> None:
    def broken() -> list[Finding]:
        raise RuntimeError("first\nsecond")

    begun: list[str] = []
    found = list(examine([Check("gpu", broken), Check("python", lambda: [OK])], begun.append))
    assert (found[0].check, found[0].status) == ("gpu", "fail")
    assert "RuntimeError: first second" in found[0].detail and found[0].fix
    assert found[1] == OK
    assert begun == ["gpu", "python"]

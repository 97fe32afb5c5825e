"""The findings as a person reads them at a terminal, as lines for a log, and as JSON for a program."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tsfmicro.doctor.findings import Finding, Status

_STYLES: dict[Status, str] = {"ok": "green", "warn": "yellow", "fail": "bold red"}


def to_json(findings: Sequence[Finding]) -> str:
    """A list of ``{"check", "status", "detail", "fix"}``; ``fix`` is null where nothing is to be mended."""
    return json.dumps([asdict(finding) for finding in findings], indent=2, ensure_ascii=False)


def to_lines(findings: Sequence[Finding]) -> list[str]:
    """One line a finding, and one that counts them."""
    lines = []
    for finding in findings:
        mend = f" | mend: {finding.fix}" if finding.fix else ""
        lines.append(f"{finding.status:<4} {finding.check}: {finding.detail}{mend}")
    return [*lines, summary(findings)]


def print_table(console: Console, findings: Sequence[Finding]) -> None:
    """A table, and below it what to type, unbroken so that it can be copied."""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for finding in findings:
        style = _STYLES[finding.status]
        table.add_row(f"[{style}]{finding.status}[/]", escape(finding.check), escape(finding.detail))
    console.print(table)
    bad = [finding for status in ("fail", "warn") for finding in findings if finding.status == status]
    if bad:
        console.print("\nTo mend, worst first:")
    once: dict[str | None, Finding] = {}
    for finding in bad:
        once.setdefault(finding.fix, finding)
    for finding in once.values():
        console.print(f"  [{_STYLES[finding.status]}]{escape(finding.check)}[/]", highlight=False)
        console.print(f"    {escape(finding.fix or '')}", soft_wrap=True, highlight=False)
    console.print(f"\n{summary(findings)}", highlight=False)


def summary(findings: Sequence[Finding]) -> str:
    """How many of each."""
    count = {status: sum(finding.status == status for finding in findings) for status in _STYLES}
    verdict = "tsf-live will not run as it should" if count["fail"] else "tsf-live runs here"
    return f"{verdict}: {count['fail']} failed, {count['warn']} warned, {count['ok']} ok"

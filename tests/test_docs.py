"""The documentation keeps its word: links resolve, commands parse, nothing names one particular machine."""

from __future__ import annotations

import importlib
import importlib.util
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from urllib.parse import unquote

import pytest

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS: dict[str, str] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["scripts"]
SHELLS = {"console", "shell", "sh", "bash"}
ENDS_COMMAND = re.compile(r"^(\||\|\||&&|&|;|\d?>{1,2}.*|<.*)$")


def repository_files() -> list[Path]:
    """Files git tracks or would add; links are left out, their targets are in the list themselves."""
    git = shutil.which("git")
    if git is None or not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    command = [git, "-c", f"safe.directory={ROOT}", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    paths = [ROOT / name for name in listed.split("\0") if name]
    return [path for path in paths if path.is_file() and not path.is_symlink()]


def markdown_files() -> list[Path]:
    own = [path for folder in (".", "docs", "realtime", "training", "export", "benchmarks", "tests", "tsfmicro")
           for path in (ROOT / folder).glob("*.md" if folder == "." else "**/*.md")]  # fmt: skip
    return sorted({path.resolve() for path in own})


def without_code(text: str) -> str:
    return re.sub(r"`[^`\n]*`", "", re.sub(r"^(```|~~~).*?^\1", "", text, flags=re.MULTILINE | re.DOTALL))


def anchors(text: str) -> set[str]:
    """The anchors a forge makes from headings: lower case, punctuation dropped, spaces to hyphens."""
    headings = re.findall(r"^#{1,6}\s+(.+?)\s*#*$", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", markdown_files(), ids=lambda page: page.relative_to(ROOT).as_posix())
def test_relative_links_resolve(page: Path) -> None:
    text = without_code(page.read_text(encoding="utf-8"))
    inline = re.findall(r"\]\(\s*<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\s*\)", text)
    references = re.findall(r"^\[[^\]]+\]:\s*<?(\S+?)>?\s*$", text, re.MULTILINE)
    pictures = re.findall(r"(?:src|href)=\"([^\"]+)\"", text)
    broken = []
    for link in [*inline, *references, *pictures]:
        if re.match(r"[a-z][a-z0-9+.-]*:", link):
            continue
        name, _, anchor = unquote(link).partition("#")
        target = (page.parent / name).resolve() if name else page
        known = target.exists() and target.is_relative_to(ROOT)
        if known and anchor and target.suffix == ".md":
            known = anchor in anchors(target.read_text(encoding="utf-8"))
        if not known:
            broken.append(link)
    assert not broken, f"{page.name}: links to nothing inside the repository: {broken}"


def shown_commands(text: str) -> list[str]:
    """The ``tsf-…`` command lines of fenced blocks: after ``$ ``, or bare in a shell block that has no prompts."""
    found: dict[str, None] = {}
    for language, block in re.findall(r"^```(\w*)[^\n]*\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        lines = re.sub(r"\\\n\s*", " ", block).splitlines()
        prompted = [line[2:] for line in lines if line.startswith("$ ")]
        for line in prompted or (lines if language in SHELLS else []):
            if re.match(r"(\.venv/bin/)?tsf-\w+", line):
                found[line.strip().removeprefix(".venv/bin/")] = None
    return list(found)


def arguments(command: str) -> list[str]:
    """Split a command line as the shell does, up to its first pipe or redirection."""
    words: list[str] = []
    for word in shlex.split(command, comments=True):
        if ENDS_COMMAND.match(word):
            break
        words.append(word)
    return words


README = ROOT / "README.md"
COMMANDS = shown_commands(README.read_text(encoding="utf-8")) if README.is_file() else []


@pytest.mark.parametrize("command", COMMANDS)
def test_readme_command_parses(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With ``--help`` added, options and subcommands are still looked up, and nothing runs."""
    if importlib.util.find_spec("tsfmicro.cli") is None:
        pytest.skip("tsfmicro.cli is not in this checkout yet")
    program, *rest = arguments(command)
    assert program in SCRIPTS, f"{program} is not among the commands of pyproject.toml: {sorted(SCRIPTS)}"
    module, _, function = SCRIPTS[program].partition(":")
    monkeypatch.setattr(sys, "argv", [program, *rest, "--help"])
    with pytest.raises(SystemExit) as stop:
        sys.exit(getattr(importlib.import_module(module), function)())
    shown = capsys.readouterr()
    assert not stop.value.code, f"`{command}` does not parse: {shown.err or shown.out}"
    assert "Usage" in shown.out, f"`{command} --help` printed no usage: it ran instead"


def test_shown_commands_reads_blocks() -> None:
    page = "\n".join([
        "```console", "$ tsf-live a.mp4 \\", "    --no-display  # comment", "tsf-live: done", "```",
        "```bash", "tsf-bench latency > x.json", "make demo", "```", "```", "tsf-doctor", "```", "tsf-live prose",
    ])  # fmt: skip
    commands = shown_commands(page + "\n")
    assert [arguments(command) for command in commands] == [
        ["tsf-live", "a.mp4", "--no-display"],
        ["tsf-bench", "latency"],
    ]


def test_no_file_names_a_registry_or_a_machine() -> None:
    # In pieces, so that this file does not match itself.
    places = [
        r"pypi\." + "org",
        "python" + "hosted",
        "(extra-)?index" + "-url",
        "find" + "-links",
        "/opt" + "/(wheels|pypi)",
    ]
    pattern = re.compile("|".join([*places, r"(?<![\w.~}-])/work" + r"/(?!\s)"]))
    found = []
    for path in repository_files():
        content = path.read_bytes()
        if b"\0" in content[:8192]:
            continue
        for number, line in enumerate(content.decode("utf-8", errors="replace").splitlines(), start=1):
            if match := pattern.search(line):
                found.append(f"{path.relative_to(ROOT)}:{number}: {match.group()}")
    assert not found, f"installs must work anywhere: {found}"

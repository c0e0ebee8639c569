"""Write docs/cli.md and docs/settings.md from the program itself.

python scripts/docs_reference.py          # writes the two pages
python scripts/docs_reference.py --check  # exit code 1 when they are out of step
"""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console

from faceloom.cli.main import build_app, commands
from faceloom.core.describe import Setting
from faceloom.stages.settings import Section, sections

DOCS = Path(__file__).resolve().parent.parent / "docs"
WIDTH = 92


def help_text(words: list[str]) -> str:
    """What `faceloom WORDS --help` prints, without trailing blanks."""
    console = Console(file=io.StringIO(), width=WIDTH, color_system=None, legacy_windows=False)
    build_app(words).help_print(words, console=console)
    stream = console.file
    assert isinstance(stream, io.StringIO)
    lines = [line.rstrip() for line in stream.getvalue().strip("\n").splitlines()]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines))


def command_names(group: str = "") -> Iterator[str]:
    """Every command and group, each group before its commands."""
    for word in commands(group):
        name = f"{group} {word}".strip()
        yield name
        yield from command_names(name)


def cli_page() -> str:
    parts = [
        "# Command line",
        "This page is what `faceloom COMMAND --help` prints. Exit codes: 0 done, 1 failed with a "
        "one-line reason on stderr, 2 wrong usage, 130 cancelled. Progress goes to stderr, results "
        "go to stdout, as JSON with `--json`.",
        "A setting can be given in four places. From the weakest to the strongest: its default, "
        "`faceloom.toml` (table `[extract]`, then `[extract.src]` or `[extract.dst]`), its flag, "
        "and `--set key=value`. Words are accepted in any case. `faceloom settings` lists every "
        "setting; so does the page [Settings](settings.md).",
        "`faceloom completion SHELL --install` sets up completion of commands, options and words "
        "in bash, zsh, fish and PowerShell.",
        f"```text\n{help_text([])}\n```",
    ]
    for name in command_names():
        level = "#" * (name.count(" ") + 2)
        parts.append(f"{level} {name}\n\n```text\n{help_text(name.split())}\n```")
    return "\n\n".join(parts) + "\n"


def settings_page() -> str:
    parts = [
        "# Settings",
        "Every setting of every stage and model. In a workspace's `faceloom.toml` a setting is a "
        "key in the stage's table; in Python it is a field of the stage's configuration. A setting "
        "marked * has no flag; give it as `--set key=value`, as all settings of models.",
    ]
    for section in sections():
        if section.settings:
            parts += [f"## {title(section)}", table(section)]
    return "\n\n".join(parts) + "\n"


def title(section: Section) -> str:
    if section.model:
        return f"{section.name} model: `faceloom train {section.name} --set key=value`"
    return f"`faceloom {section.name}`" + (f", table `[{section.table}]`" if section.table else "")


def table(section: Section) -> str:
    rows = ["| setting | values | default | meaning |", "|---|---|---|---|"]
    for one in section.settings:
        mark = " *" if one.flag is None and not section.model else ""
        cells = (f"`{one.key}`{mark}", values(one), default(one), meaning(one))
        rows.append("| " + " | ".join(text.replace("|", "\\|") for text in cells) + " |")
    return "\n".join(rows)


def values(setting: Setting) -> str:
    words = ", ".join(f"`{word}`" for word in setting.words)
    return setting.values.replace(", ".join(setting.words), words) if words else setting.values


def default(setting: Setting) -> str:
    plain = setting.required or setting.default_text in {"unset", "empty"}
    return setting.default_text if plain else f"`{setting.default_text}`"


def meaning(setting: Setting) -> str:
    names = ", ".join(f"`{alias}`" for alias in setting.aliases)
    return f"{setting.help} Also accepted as {names}." if names else setting.help


def pages() -> dict[Path, str]:
    return {DOCS / "cli.md": cli_page(), DOCS / "settings.md": settings_page()}


def stale() -> list[Path]:
    """The pages that differ from what the program says now."""
    return [
        path
        for path, text in pages().items()
        if not path.is_file() or path.read_text("utf-8") != text
    ]


def main() -> None:
    if "--check" in sys.argv[1:]:
        found = stale()
        for path in found:
            print(f"{path}: out of step; run python scripts/docs_reference.py")
        sys.exit(1 if found else 0)
    for path, text in pages().items():
        path.write_text(text, "utf-8")


if __name__ == "__main__":
    main()

"""Write docs/cli.md and docs/settings.md from the program itself.

python scripts/docs_reference.py          # writes the two pages
python scripts/docs_reference.py --check  # exit code 1 when they are out of step
"""

from __future__ import annotations

import io
import re
import sys
from pathlib import Path

from rich.console import Console

from faceloom.cli.faceset.app import SUBCOMMANDS as FACESET_COMMANDS
from faceloom.cli.main import COMMANDS, build_app
from faceloom.core import Settings
from faceloom.core.config import settings_table
from faceloom.models import AmpSettings, Quick96Settings, SaehdSettings, XsegSettings
from faceloom.stages.curate.cluster import ClusterConfig
from faceloom.stages.curate.coverage import CoverageConfig
from faceloom.stages.curate.dedupe import DedupeConfig
from faceloom.stages.curate.sort import SortConfig
from faceloom.stages.demo.run import DemoConfig
from faceloom.stages.encode import EncodeConfig
from faceloom.stages.extract.run import ExtractConfig
from faceloom.stages.faceset.enhance import EnhanceConfig
from faceloom.stages.faceset.resize import ResizeConfig
from faceloom.stages.faceset.tracks import TracksConfig
from faceloom.stages.frames import FramesConfig
from faceloom.stages.merge.run import MergeConfig
from faceloom.stages.new import NewConfig
from faceloom.stages.run import RunConfig
from faceloom.stages.train.config import TrainConfig

DOCS = Path(__file__).resolve().parent.parent / "docs"
SUBCOMMANDS = {
    "faceset": tuple(FACESET_COMMANDS),
    "weights": ("list", "fetch", "add"),
    "model": (
        *("list", "summary", "rename", "copy", "delete", "snapshot", "snapshots", "forget"),
        *("backup", "backups", "restore", "reset", "timelapse", "import", "export"),
    ),
    "export": ("dfm", "xseg"),
}
WIDTH = 92

SECTIONS: tuple[tuple[str, str, type[Settings]], ...] = (
    ("new", "`faceloom new`", NewConfig),
    ("run", "`faceloom run`, table `[run]`", RunConfig),
    ("frames", "`faceloom frames`, table `[frames]`", FramesConfig),
    ("extract", "`faceloom extract`, table `[extract]`", ExtractConfig),
    ("sort", "`faceloom sort`, table `[sort]`", SortConfig),
    ("dedupe", "`faceloom dedupe`, table `[dedupe]`", DedupeConfig),
    ("cluster", "`faceloom cluster`, table `[cluster]`", ClusterConfig),
    ("coverage", "`faceloom coverage`, table `[coverage]`", CoverageConfig),
    ("tracks", "`faceloom faceset tracks`, table `[tracks]`", TracksConfig),
    ("resize", "`faceloom faceset resize`, table `[resize]`", ResizeConfig),
    ("enhance", "`faceloom faceset enhance`, table `[enhance]`", EnhanceConfig),
    ("train", "`faceloom train`, table `[train]`", TrainConfig),
    ("SAEHD", "A SAEHD model: `faceloom train SAEHD --set key=value`", SaehdSettings),
    ("AMP", "An AMP model: `faceloom train AMP --set key=value`", AmpSettings),
    ("Quick96", "A Quick96 model: `faceloom train Quick96 --set key=value`", Quick96Settings),
    ("XSeg", "An XSeg model: `faceloom train XSeg --set key=value`", XsegSettings),
    ("merge", "`faceloom merge`, table `[merge]`", MergeConfig),
    ("encode", "`faceloom encode`, table `[encode]`", EncodeConfig),
    ("demo", "`faceloom demo`", DemoConfig),
)


def help_text(words: list[str]) -> str:
    """What `faceloom WORDS --help` prints, without trailing blanks."""
    console = Console(file=io.StringIO(), width=WIDTH, color_system=None, legacy_windows=False)
    app = build_app(words[0] if words else None)
    app.help_print(words, console=console)
    stream = console.file
    assert isinstance(stream, io.StringIO)
    lines = [line.rstrip() for line in stream.getvalue().strip("\n").splitlines()]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines))


def cli_page() -> str:
    parts = [
        "# Command line",
        "This page is what `faceloom COMMAND --help` prints. Exit codes: 0 done, 1 failed with a "
        "reason in one line on standard error, 2 wrong usage, 130 cancelled. Progress goes to "
        "standard error, results to standard output, as JSON with `--json`.",
        f"```text\n{help_text([])}\n```",
    ]
    for command in COMMANDS:
        parts += [f"## {command}", f"```text\n{help_text([command])}\n```"]
        parts += [
            f"### {command} {sub}\n\n```text\n{help_text([command, sub])}\n```"
            for sub in SUBCOMMANDS.get(command, ())
        ]
    return "\n\n".join(parts) + "\n"


def settings_page() -> str:
    parts = [
        "# Settings",
        "Every setting of every stage. On the command line, one without an option of its own is "
        "given as `--set key=value`; in a workspace's `faceloom.toml` it stands in the stage's "
        "table; in Python it is a field of the stage's configuration.",
    ]
    for _, title, kind in SECTIONS:
        rows = ["| setting | values | default | meaning |", "|---|---|---|---|"]
        for name, values, default, meaning in settings_table(kind):
            cells = (f"`{name}`", plain_type(values), plain_default(default), meaning)
            rows.append("| " + " | ".join(cell(text) for text in cells) + " |")
        parts += [f"## {title}", "\n".join(rows)]
    return "\n\n".join(parts) + "\n"


def cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def plain_type(text: str) -> str:
    """Types as a user reads them."""
    words = re.findall(r"'([^']*)'", text) if "Literal[" in text else []
    if words:
        shown = ", ".join(f"`{word}`" for word in words)
        return f"{shown} or whole number" if re.search(r"\bint\b", text) else shown
    names = {
        "Path": "path",
        "str": "text",
        "int": "whole number",
        "float": "number",
        "bool": "true or false",
    }
    kinds = [names[word] for word in re.findall(r"\w+", text) if word in names]
    if "tuple" in text or "dict" in text:
        return "several" if "tuple" in text else "table"
    return kinds[0] if kinds else "text"


def plain_default(text: str) -> str:
    if text in {"PydanticUndefined", "None"}:
        return "" if text == "PydanticUndefined" else "unset"
    if text in {"True", "False"}:
        return f"`{text.lower()}`"
    if text in {"''", "()", "{}"}:
        return "empty"
    path = re.fullmatch(r"(?:Posix|Windows)Path\('(.*)'\)", text)
    return f"`{path.group(1) if path else text.strip(chr(39))}`"


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

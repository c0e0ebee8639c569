"""The settings of every stage and model, for people who look one up."""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass
from typing import Annotated, Any

from faceloom.core.config import Option, Settings, suggestion
from faceloom.core.describe import Setting, describe
from faceloom.core.errors import UsageError
from faceloom.core.events import Cancel, Progress
from faceloom.core.result import Result, plain
from faceloom.core.words import closest, counted
from faceloom.settings.models import MODEL_SETTINGS
from faceloom.stages.catalog import STAGES

# Width of the help of one setting, and of the columns of a list.
_WIDTH = 88
_LONGEST_VALUES = 36


class SettingsConfig(Settings):
    """List the settings of a stage or a model, or explain one of them.

    A setting is given by its flag, by `--set key=value`, or as a key in the stage's table of
    `faceloom.toml`; a model's settings by `--set` or in `[train.settings]`. In the list, `*` marks
    those without a flag.

    **Example**

        faceloom settings

        faceloom settings extract

        faceloom settings SAEHD batch_size
    """

    words: Annotated[tuple[str, ...], Option(positional=True, metavar="[STAGE|MODEL] [KEY]")] = ()
    """A stage (`extract`, `faceset resize`) or model (`SAEHD`), and one of its settings. A setting
    alone is explained for all stages and models that have it."""


@dataclass(frozen=True)
class Section:
    """The settings of one stage or model."""

    name: str
    table: str | None
    """Its table in `faceloom.toml`; None: it has none."""
    model: bool
    settings: list[Setting]


@dataclass(frozen=True)
class SettingsResult(Result):
    """The stages and models asked for with their settings."""

    sections: list[Section]
    detail: str
    """How much `lines` shows: `names`, `list` or `full`."""

    def as_dict(self) -> dict[str, Any]:
        return {"sections": plain(self.sections)}

    def lines(self) -> list[str]:
        if self.detail == "names":
            return self._names()
        if self.detail == "list":
            return _listed(self.sections[0])
        shown = [_explained(section, one) for section in self.sections for one in section.settings]
        return [line for number, part in enumerate(shown) for line in ([""] * (number > 0) + part)]

    def _names(self) -> list[str]:
        width = max(len(section.name) for section in self.sections)
        lines: list[str] = []
        for title, model in (("Stages", False), ("Models", True)):
            lines += [title] + [
                f"  {section.name:{width}}  {counted(len(section.settings), 'setting')}"
                + (f", table [{section.table}]" if section.table else "")
                for section in self.sections
                if section.model is model
            ]
        return [*lines, "Next: faceloom settings STAGE, or faceloom settings MODEL"]


def run(config: SettingsConfig, *, progress: Progress, cancel: Cancel) -> SettingsResult:
    """The settings that the words name; `UsageError` for an unknown stage, model or key."""
    named = {section.name.lower(): section for section in sections()}
    words = [word.lower() for word in config.words]
    if not words:
        return SettingsResult([one for one in named.values() if one.settings], "names")
    count = next((n for n in range(len(words), 0, -1) if " ".join(words[:n]) in named), 0)
    section, keys = named.get(" ".join(words[:count])), words[count:]
    if section is not None and not keys:
        return SettingsResult([section], "list")
    key = " ".join(keys).removeprefix("--").replace("-", "_")
    among = list(named.values()) if section is None else [section]
    found = [
        Section(one.name, one.table, one.model, [setting])
        for one in among
        for setting in one.settings
        if key in (setting.key, *setting.aliases)
    ]
    if found:
        return SettingsResult(found, "full")
    if section is not None:
        known = [one.key for one in section.settings]
        raise UsageError(f"{section.name} has no setting {key!r}; {suggestion(key, known)}")
    wrong = " ".join(config.words)
    names = [*(one.name for one in among), *(one.key for part in among for one in part.settings)]
    close = closest(wrong, names)
    hint = f"did you mean {close!r}?" if close else "`faceloom settings` lists them"
    raise UsageError(f"there is no stage, model or setting {wrong!r}; {hint}")


def sections() -> list[Section]:
    """All stages, then all classes of models."""
    stages = [Section(one.name, one.table, False, describe(one.settings())) for one in STAGES]
    models = [
        Section(name, "train.settings", True, describe(MODEL_SETTINGS[name]))
        for name in MODEL_SETTINGS
    ]
    return stages + models


def _listed(section: Section) -> list[str]:
    """A line per setting: its flag or key, values, default and the first sentence of its help."""
    rows = [
        (
            _given_by(section, one),
            textwrap.shorten(one.values, _LONGEST_VALUES, placeholder=" …"),
            one.default_text,
            re.split(r"(?<=[.;:])\s", f"{one.help} ")[0].rstrip(".;: "),
        )
        for one in section.settings
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    command = f"faceloom train {section.name}" if section.model else f"faceloom {section.name}"
    table = f", table [{section.table}] of faceloom.toml" if section.table else ""
    lines = [f"{command}{table}"]
    lines += [
        "  ".join([*(f"{cell:{width}}" for cell, width in zip(row, widths, strict=False)), row[3]])
        for row in rows
    ]
    if not section.model and any(one.flag is None for one in section.settings):
        lines.append("* without a flag: --set key=value")
    return [*lines, f"Next: faceloom settings {section.name} KEY"]


def _given_by(section: Section, setting: Setting) -> str:
    if section.model:
        return setting.key
    return f"{setting.key} *" if setting.flag is None else setting.flag


def _explained(section: Section, setting: Setting) -> list[str]:
    """Everything about one setting."""
    by = setting.flag is not None and not section.model
    given = [*([setting.flag or ""] if by else []), f"--set {setting.key}=…"]
    if section.table:
        given.append(f"[{section.table}] {setting.key} in faceloom.toml")
    lines = [
        f"{section.name} {setting.key}",
        *(f"  {line}" for line in textwrap.wrap(setting.help, _WIDTH)),
        f"  values: {setting.values}",
        f"  default: {setting.default_text}",
        f"  given by: {', '.join(given)}",
    ]
    if setting.aliases:
        lines.append(f"  also called: {', '.join(setting.aliases)}")
    return lines

"""Progress on stderr: a live bar on a terminal, plain lines in a log file.

stdout is left to the result, so `--json` can be piped while the bar runs.
"""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

# How often a log file gets a line; the bar on a terminal is redrawn four times a second.
PLAIN_INTERVAL_S = 10.0


def console_progress(stream: TextIO | None = None) -> BarProgress | PlainProgress:
    """A `Progress` for `stream` (by default stderr): bars on a terminal, otherwise lines."""
    target: TextIO = sys.stderr if stream is None else stream
    return BarProgress(target) if target.isatty() else PlainProgress(target)


def format_rate(per_second: float | None, unit: str) -> str:
    """`41.2 frames/s`, or `2.5 s each` if one takes longer than a second."""
    if not per_second:
        return ""
    if per_second >= 1:
        return f"{per_second:.1f} {unit}/s" if per_second < 1000 else f"{per_second:.0f} {unit}/s"
    return f"{1 / per_second:.1f} s each"


def format_duration(seconds: float) -> str:
    """`9 s`, `3:07` or `1:02:45`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def format_metrics(metrics: dict[str, float | str]) -> str:
    """`src 0.412  dst 0.398`: numbers with four digits, text unchanged."""
    parts = (
        f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in metrics.items()
    )
    return "  ".join(parts)


class _Task:
    """Counts of the running stage."""

    def __init__(self, stage: str, total: int | None, unit: str, done: int) -> None:
        self.stage, self.total, self.unit = stage, total, unit
        self.first = self.done = done
        self.began = self.shown = time.monotonic()
        self.metrics: dict[str, float | str] = {}

    def rate(self) -> float | None:
        elapsed = time.monotonic() - self.began
        return (self.done - self.first) / elapsed if elapsed > 0 else None

    def line(self) -> str:
        of = "" if self.total is None else f"/{self.total}"
        percent = f" ({self.done / self.total:.0%})" if self.total else ""
        parts = [f"{self.stage}: {self.done}{of} {self.unit}{percent}"]
        rate = self.rate()
        if rate:
            parts.append(format_rate(rate, self.unit))
            if self.total is not None and self.done < self.total:
                parts.append(f"{format_duration((self.total - self.done) / rate)} left")
        if self.metrics:
            parts.append(format_metrics(self.metrics))
        return ", ".join(parts)


class PlainProgress:
    """At most one line every ten seconds, for log files and pipes. Thread-safe."""

    def __init__(self, stream: TextIO, interval_s: float = PLAIN_INTERVAL_S) -> None:
        self._stream = stream
        self._interval_s = interval_s
        self._lock = threading.RLock()
        self._task: _Task | None = None

    def start(self, stage: str, total: int | None, unit: str, done: int = 0) -> None:
        with self._lock:
            self.finish()
            self._task = _Task(stage, total, unit, done)
            of = {None: unit, 1: f"1 {unit.removesuffix('s')}"}.get(total, f"{total} {unit}")
            self._write(f"{stage}: {of}" + (f", {done} already done" if done else ""))

    def advance(self, items: int = 1) -> None:
        with self._lock:
            task = self._task
            if task is None:
                return
            task.done += items
            now = time.monotonic()
            if now - task.shown >= self._interval_s:
                task.shown = now
                self._write(task.line())

    def metric(self, **values: float | str) -> None:
        with self._lock:
            if self._task is not None:
                self._task.metrics.update(values)

    def note(self, message: str) -> None:
        with self._lock:
            self._write(message)

    def finish(self) -> None:
        with self._lock:
            task, self._task = self._task, None
            if task is not None:
                elapsed = format_duration(time.monotonic() - task.began)
                self._write(f"{task.line()}, took {elapsed}")

    def _write(self, line: str) -> None:
        # The reader of stderr may have closed it; the work continues.
        with contextlib.suppress(OSError, ValueError):
            self._stream.write(line + "\n")
            self._stream.flush()


class BarProgress:
    """One live bar on a terminal, with notes printed above it. Thread-safe."""

    def __init__(self, stream: TextIO) -> None:
        from rich.console import Console

        self._console = Console(file=stream)
        self._lock = threading.RLock()
        self._bar: RichProgress | None = None
        self._task_id: TaskID | None = None
        self._unit = ""
        self._metrics: dict[str, float | str] = {}

    def start(self, stage: str, total: int | None, unit: str, done: int = 0) -> None:
        with self._lock:
            self.finish()
            self._unit, self._metrics = unit, {}
            self._bar = _make_bar(self._console, unit)
            self._task_id = self._bar.add_task(stage, total=total, completed=done, metrics="")
            self._bar.start()

    def advance(self, items: int = 1) -> None:
        with self._lock:
            if self._bar is not None and self._task_id is not None:
                self._bar.advance(self._task_id, items)

    def metric(self, **values: float | str) -> None:
        with self._lock:
            if self._bar is not None and self._task_id is not None:
                self._metrics.update(values)
                self._bar.update(self._task_id, metrics=format_metrics(self._metrics))

    def note(self, message: str) -> None:
        with self._lock, contextlib.suppress(OSError, ValueError):
            self._console.print(message, markup=False, highlight=False, soft_wrap=True)

    def finish(self) -> None:
        with self._lock, contextlib.suppress(OSError, ValueError):
            bar, self._bar = self._bar, None
            if bar is not None:
                bar.stop()


def _make_bar(console: object, unit: str) -> RichProgress:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        ProgressColumn,
        SpinnerColumn,
        Task,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )
    from rich.progress import Progress as RichProgress
    from rich.text import Text

    class Count(ProgressColumn):
        def render(self, task: Task) -> Text:
            of = "" if task.total is None else f"/{task.total:.0f}"
            return Text(f"{task.completed:.0f}{of} {unit}")

    class Rate(ProgressColumn):
        def render(self, task: Task) -> Text:
            return Text(format_rate(task.finished_speed or task.speed, unit), style="cyan")

    assert isinstance(console, Console)
    return RichProgress(
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        Count(),
        Rate(),
        TimeElapsedColumn(),
        TimeRemainingColumn(compact=True),
        TextColumn("{task.fields[metrics]}", markup=False, style="dim"),
        console=console,
        refresh_per_second=4,
        speed_estimate_period=60,
    )

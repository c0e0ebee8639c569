"""Run every awkward file through `extract`, and every video through an untrained merge and encode.

    python bench/awkward.py MEDIA_DIR OUT_DIR [--codec ffv1]

Writes OUT_DIR/awkward.md with one row per file. A row passes if each command either worked or
failed with exit code 1 and a one-line message. MEDIA_DIR holds `awkward/` and `videos/`.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

VIDEO_SUFFIXES = {".mp4", ".mkv", ".webm", ".avi", ".ts", ".gif", ".mov"}
RIGHTS = ("--src-rights", "licence", "--dst-rights", "licence")


@dataclass
class Outcome:
    code: int
    line: str
    traceback: bool

    @property
    def text(self) -> str:
        if self.traceback:
            return f"**TRACEBACK** ({self.code})"
        return "works" if self.code == 0 else f"exit {self.code}: {self.line}"


def faceloom(*arguments: str | Path) -> Outcome:
    command = [sys.executable, "-m", "faceloom", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    said = [line for line in done.stderr.splitlines() if line.strip()]
    return Outcome(done.returncode, said[-1] if said else "", "Traceback" in done.stderr)


def untrained_model(media: Path, work: Path) -> Path:
    """A Quick96 model after one iteration, made once and copied into each workspace."""
    donor = work / "donor"
    if not (donor / "model").is_dir():
        clip = media / "awkward" / "three_frames.mp4"
        for step in (
            ("new", donor, "--src", clip, "--dst", clip, *RIGHTS),
            ("extract", "src", "-w", donor),
            ("extract", "dst", "-w", donor),
            ("train", "Quick96", "-w", donor, "--iterations", "1"),
        ):
            outcome = faceloom(*step)
            if outcome.code:
                raise SystemExit(f"cannot make the untrained model: {outcome.line}")
    return donor / "model"


def describe(path: Path) -> str:
    """Frames, size and rate of a video as PyAV counts them: independent of our media layer."""
    import av

    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            frames = 0
            try:
                for _ in container.decode(stream):
                    frames += 1
            except av.FFmpegError:
                pass
            sound = ", ".join(
                f"{a.codec_context.name} {a.channels}ch" for a in container.streams.audio
            )
            rate = float(stream.average_rate or 0)
            return f"{stream.width}x{stream.height} {frames} fr {rate:.3f} fps {sound}".strip()
    except (av.FFmpegError, IndexError, ValueError):
        return "unreadable"


def one_file(source: Path, model: Path, folder: Path, codec: str) -> list[str]:
    shutil.rmtree(folder, ignore_errors=True)
    made = faceloom("new", folder, "--src", source, "--dst", source, *RIGHTS)
    if made.code:
        return [source.name, made.text, "", "", "", ""]
    extracted = faceloom("extract", "dst", "-w", folder)
    faces = len(list((folder / "data_dst" / "aligned").glob("*.jpg")))
    row = [source.name, extracted.text, str(faces)]
    if source.suffix.lower() not in VIDEO_SUFFIXES or extracted.code:
        return [*row, "", "", ""]
    shutil.copytree(model, folder / "model", dirs_exist_ok=True)
    merged = faceloom("merge", "-w", folder)
    encoded = faceloom("encode", "-w", folder, "--codec", codec) if not merged.code else merged
    result = next(iter(sorted(folder.glob("result.m*"))), None)
    after = describe(result) if result else "no result"
    return [*row, merged.text, encoded.text, f"{describe(source)} → {after}"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("media", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--codec", default="h264")
    parser.add_argument("--only", default="", help="only files whose name has this text")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    model = untrained_model(options.media, options.out)
    table = options.out / "awkward.md"
    header = ["file", "extract", "faces", "merge", "encode", "video → result"]
    rows = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    for source in sorted((options.media / "awkward").iterdir()):
        if options.only in source.name:
            cells = one_file(source, model, options.out / "workspace", options.codec)
            rows.append("| " + " | ".join(cells) + " |")
            print(rows[-1], flush=True)
    table.write_text("\n".join(rows) + "\n")


if __name__ == "__main__":
    main()

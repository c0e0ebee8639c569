"""`faceloom merge`: the stage's command, which rejects video options without --to-video."""

from __future__ import annotations

from typing import Any

from faceloom.cli.common import build_config, run_stage
from faceloom.cli.stage import with_signature
from faceloom.core.config import override_values
from faceloom.core.errors import UsageError
from faceloom.stages.merge.config import VIDEO_OPTIONS, MergeConfig


def _merge(*, set_: tuple[str, ...] = (), json: bool = False, verbose: bool = False, **given: Any):
    config = build_config(MergeConfig, set_, stage="merge", **given)
    if not config.to_video:
        # Only here: faceloom.toml may keep them for the next merge to a video.
        flags = {key for key, value in given.items() if value is not None}
        if (flags | override_values(set_).keys()) & set(VIDEO_OPTIONS):
            raise UsageError("output, codec, crf and bitrate apply to a video: add --to-video")
    from faceloom.stages.merge.run import run

    return run_stage(run, config, json=json, verbose=verbose)


merge = with_signature(_merge, MergeConfig)

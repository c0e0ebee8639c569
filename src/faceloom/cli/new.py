"""`faceloom new`: the stage's command, which asks on a terminal for what it needs."""

from __future__ import annotations

import getpass
import sys
from typing import Any, get_args

from faceloom.cli.common import build_config, run_stage
from faceloom.cli.stage import with_signature
from faceloom.core.errors import UsageError
from faceloom.core.vocabulary import Ground
from faceloom.stages.config import NewConfig

_QUESTIONS = {
    "src_rights": "src: the person whose face is used",
    "dst_rights": "dst: the person in the footage that gets the face",
}


def _new(*, set_: tuple[str, ...] = (), json: bool = False, verbose: bool = False, **given: Any):
    missing = [name for name in _QUESTIONS if given.get(name) is None]
    if missing:
        # Report other mistakes before asking anything.
        build_config(NewConfig, set_, **(given | dict.fromkeys(missing, "own")))
        if json or not (sys.stdin.isatty() and sys.stderr.isatty()):
            flag = f"--{missing[0].replace('_', '-')}"
            raise UsageError(f"{flag} is needed: one of {', '.join(get_args(Ground))}")
        given |= {name: _ask_ground(_QUESTIONS[name]) for name in missing}
        given["note"] = given.get("note") or _ask(
            "Where is the consent or licence kept? (Enter for no answer) "
        )
    if given.get("stated_by") is None:
        given["stated_by"] = _login_name()
    config = build_config(NewConfig, set_, **given)
    from faceloom.stages.new import run

    return run_stage(run, config, json=json, verbose=verbose)


new = with_signature(_new, NewConfig)


def _ask_ground(who: str) -> Ground:
    """Ask until a ground is chosen, by its word or its number."""
    from faceloom.provenance import GROUNDS

    words = list(GROUNDS)
    _say(f"\n{who}. On what ground may this likeness be used?")
    for number, (word, meaning) in enumerate(GROUNDS.items(), start=1):
        _say(f"  {number}. {word}: {meaning}")
    while True:
        answer = _ask(f"Ground (1-{len(words)}, or the word): ").lower()
        for number, word in enumerate(words, start=1):
            if answer in {word, str(number)}:
                return word
        _say(f"Please answer with one of: {', '.join(words)}.")


def _ask(question: str) -> str:
    """One line from the terminal; the question goes to stderr."""
    sys.stderr.write(question)
    sys.stderr.flush()
    answer = sys.stdin.readline()
    if not answer:
        raise UsageError("no answer; pass --src-rights and --dst-rights instead")
    return answer.strip()


def _say(line: str) -> None:
    sys.stderr.write(line + "\n")


def _login_name() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return ""

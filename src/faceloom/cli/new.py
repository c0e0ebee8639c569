"""`faceloom new`: a workspace with its rights record, by options or by questions."""

from __future__ import annotations

import getpass
import sys
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from faceloom.cli.common import JsonOption, UsageError, VerboseOption, build_config, run_stage

# The same words as `provenance.rights.Ground`, which help must not have to import.
GroundWord = Literal["own", "consent", "licence", "public-domain", "synthetic"]


def new(
    workspace: Annotated[Path, Parameter(help="The folder to make, or an existing workspace.")],
    /,
    *,
    src: Annotated[
        Path | None, Parameter(help="Whose face is taken: a video, a photo or a folder of either.")
    ] = None,
    dst: Annotated[
        Path | None, Parameter(help="The footage it is put on: video, photo or folder.")
    ] = None,
    src_rights: Annotated[
        GroundWord | None, Parameter(help="On what ground the face of src may be used.")
    ] = None,
    dst_rights: Annotated[
        GroundWord | None, Parameter(help="On what ground the likeness in dst may be used.")
    ] = None,
    src_name: Annotated[
        str, Parameter(show_default=False, help="Who src is, to have it on record.")
    ] = "",
    dst_name: Annotated[
        str, Parameter(show_default=False, help="Who dst is, to have it on record.")
    ] = "",
    note: Annotated[
        str, Parameter(show_default=False, help="Where the consent or the licence lies.")
    ] = "",
    stated_by: Annotated[
        str | None, Parameter(help="Who answers for this; your login name otherwise.")
    ] = None,
    copy: Annotated[
        bool,
        Parameter(
            negative="",
            show_default=False,
            help="Copy the footage in, instead of referring to it.",
        ),
    ] = False,
    json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Make a workspace: a folder with the footage of one pair and its rights record.

    Faceloom asks whose faces these are and on what ground they may be used; merge and encode
    refuse without an answer. Grounds: own (your own likeness), consent (given in writing),
    licence, public-domain, synthetic (the person does not exist). What you leave out is asked on
    a terminal. A DeepFaceLab workspace gets its record this way too; its files stay untouched.

    **Example**

        faceloom new cast --src anna.mp4 --dst ben.mp4 --src-rights consent --dst-rights own
    """
    if src_rights is None or dst_rights is None:
        if json or not (sys.stdin.isatty() and sys.stderr.isatty()):
            missing = "--src-rights" if src_rights is None else "--dst-rights"
            raise UsageError(
                f"{missing} is needed: one of own, consent, licence, public-domain, synthetic"
            )
        src_rights = src_rights or _ask_ground("src", "the person whose face is taken")
        dst_rights = dst_rights or _ask_ground("dst", "the person on whose footage it is put")
        note = note or _ask("Where does the consent or licence lie? (Enter for nothing) ")

    from faceloom.stages.new import NewConfig, run

    config = build_config(
        NewConfig,
        workspace=workspace,
        src=src,
        dst=dst,
        src_rights=src_rights,
        dst_rights=dst_rights,
        src_name=src_name,
        dst_name=dst_name,
        note=note,
        stated_by=_login_name() if stated_by is None else stated_by,
        copy_footage=copy,
    )
    run_stage(run, config, json=json, verbose=verbose)


def _ask_ground(side: str, who: str) -> GroundWord:
    """Ask until a ground is chosen, by its word or its number."""
    from faceloom.provenance import GROUNDS

    words: list[GroundWord] = list(GROUNDS)
    _tell(f"\n{side}: {who}. On what ground may this likeness be used?")
    for number, (word, meaning) in enumerate(GROUNDS.items(), start=1):
        _tell(f"  {number}. {word}: {meaning}")
    while True:
        answer = _ask(f"{side} ground (1-{len(words)}, or the word): ").lower()
        for number, word in enumerate(words, start=1):
            if answer in {word, str(number)}:
                return word
        _tell(f"Please answer with one of: {', '.join(words)}.")


def _ask(question: str) -> str:
    """One line from the terminal. The question goes to standard error, with the rest."""
    sys.stderr.write(question)
    sys.stderr.flush()
    answer = sys.stdin.readline()
    if not answer:
        raise UsageError("the questions were not answered; --src-rights and --dst-rights do it too")
    return answer.strip()


def _tell(line: str) -> None:
    sys.stderr.write(line + "\n")


def _login_name() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return ""

"""`faceloom completion`: completion of commands, options and their words in a shell."""

from __future__ import annotations

import sys
from typing import Annotated, Literal

from cyclopts import Parameter

Shell = Literal["bash", "zsh", "fish", "powershell"]


def completion(
    shell: Annotated[Shell, Parameter(help="The shell: bash, zsh, fish or powershell.")],
    /,
    *,
    install: Annotated[
        bool,
        Parameter(
            negative="", show_default=False, help="Write the script to where the shell finds it."
        ),
    ] = False,
) -> None:
    """Print the script with which a shell completes commands, options and their words.

    With --install the script goes where the shell looks for it, and a line that loads it is added
    to the shell's startup file if it needs one; open a new shell then. Install it again after an
    update of Faceloom.

    **Example**

        faceloom completion bash --install

        faceloom completion zsh > ~/.zfunc/_faceloom
    """
    from faceloom.cli.main import build_app

    app = build_app(whole=True)
    if not install:
        sys.stdout.write(app.generate_completion(shell=shell))
        return
    path = app.install_completion(shell=shell)
    sys.stdout.write(f"{path}: completion for {shell}; open a new shell to use it\n")

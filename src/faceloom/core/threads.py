"""How threads on the CPU wait for each other."""

from __future__ import annotations

import os

# Less than a millisecond: longer than most gaps between the operations of a training step, so that
# threads rarely sleep in between (measured on two idle cores: with 1,000 spins a step takes 50 %
# longer, with 10,000 5 %, with 30,000 2 %), and short compared with the time slice of another
# program.
SPINS = "30000"


def wait_briefly() -> None:
    """Let OpenMP threads spin only briefly before they sleep, unless the user has set it.

    GNU OpenMP, which PyTorch uses on Linux, spins for about 15 ms by default. When another program
    uses one of the cores, every operation can take that long: a training step on two threads was
    measured to take more than ten times as long. Call this before torch is imported: the library
    reads the variable when it is loaded. Other OpenMP libraries ignore it.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", SPINS)

"""How a CPU's threads wait for each other."""

from __future__ import annotations

import os

SPINS = "30000"
"""Under a millisecond: longer than most gaps between a step's operations, so that a thread seldom
falls asleep in one (measured on two idle cores: 1000 spins make a step half as long again, 10 000 a
twentieth, 30 000 a fiftieth); short against the time for which another program takes a core."""


def wait_briefly() -> None:
    """Let OpenMP's threads spin only briefly before they sleep; a setting of the user's wins.

    GNU's OpenMP, which PyTorch for Linux uses, spins some 15 ms by default. As soon as anything
    else runs on one of the cores, every operation then costs both threads up to that: measured, a
    training step of two threads beside one busy program took over ten times as long. Must be called
    before torch is imported, since the library reads it when it is loaded; other systems' OpenMP
    does not know the variable.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", SPINS)

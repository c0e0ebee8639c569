"""`kept_memory` measured by the kernel's own count of page faults."""

from __future__ import annotations

import platform
import resource
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from faceloom.nn import kept_memory


def fewest_faults_of_an_allocation() -> int:
    counts = []
    for _ in range(6):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        torch.ones(1 << 24)
        counts.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
    return min(counts)


def resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's allocator only")
def test_freed_memory_is_used_again_and_then_given_back() -> None:
    # In a process of its own: what other tests have freed would be used first.
    code = "import test_memory; test_memory.keep_and_give_back()"
    result = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert result.returncode == 0, result.stderr


def keep_and_give_back() -> None:
    before = resident_mb()
    with kept_memory():
        assert fewest_faults_of_an_allocation() < 10
        assert resident_mb() > before + 60
    assert resident_mb() < before + 30


def test_it_lets_errors_through() -> None:
    with pytest.raises(ValueError, match="through"), kept_memory():
        raise ValueError("through")

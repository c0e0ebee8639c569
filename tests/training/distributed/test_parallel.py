"""Two processes are one with twice the batch; what they exchange; what they refuse."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import parallel_process
from faceloom.core import InputError, UsageError
from faceloom.training.distributed.parallel import (
    World,
    broadcast_object,
    mean_losses,
    own_device,
    processes,
    world_from_environment,
)

Results = dict[str, Any]
CASES = parallel_process.CASES


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Results, Results, Results]:
    """What one process ended with, and what both of two did."""
    out = tmp_path_factory.mktemp("ranks")
    script = Path(parallel_process.__file__)
    shared = {
        **{key: value for key, value in os.environ.items() if not key.startswith("TORCHELASTIC")},
        "OMP_NUM_THREADS": "1",
        "GLOO_SOCKET_IFNAME": "lo",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(free_port()),
        "WORLD_SIZE": "2",
    }
    started = [
        subprocess.Popen(
            [sys.executable, str(script), str(out)],
            env={**shared, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in range(2)
    ]
    try:
        for process in started:
            said, _ = process.communicate(timeout=120)
            assert process.returncode == 0, said
    finally:
        for process in started:
            process.kill()
    alone = {name: parallel_process.train(case, World()) for name, case in CASES.items()}
    first, second = (torch.load(out / f"2-{rank}.pt") for rank in range(2))
    return alone, first, second


@pytest.mark.parametrize("case", CASES)
def test_replicas_are_equal_to_the_bit(runs: tuple[Results, Results, Results], case: str) -> None:
    _, first, second = runs
    assert first[case]["tensors"].keys() == second[case]["tensors"].keys()
    for key, value in first[case]["tensors"].items():
        assert torch.equal(value, second[case]["tensors"][key]), key
    assert first[case]["steps"] == second[case]["steps"] == [10, 11]


@pytest.mark.parametrize("case", CASES)
def test_two_processes_are_one_with_twice_the_batch(
    runs: tuple[Results, Results, Results], case: str
) -> None:
    alone, first, _ = (run[case] for run in runs)
    assert alone["steps"] == first["steps"]
    assert torch.allclose(alone["losses"], first["losses"], rtol=1e-5)
    for key, value in alone["tensors"].items():
        # Weights moved by about 1 % of themselves. Biases and slots are nothing but what moved, and
        # a discriminator's bias gradients are sums that nearly cancel: 4e-4 apart already where
        # one process computes them in two halves.
        tolerance = 1e-5 if value.ndim > 1 and not key.split(".")[1].isdigit() else 1e-2
        difference = (value - first["tensors"][key]).norm()
        assert difference <= tolerance * value.norm() + 1e-12, key


def test_it_trained_with_all_that_a_step_can_do(runs: tuple[Results, Results, Results]) -> None:
    """The cases above are no empty ones: weights moved, those of the resting network did not."""
    for case, options in CASES.items():
        untrained = parallel_process.build_model(
            "SAEHD",
            parallel_process.SaehdSettings(**parallel_process.TINY, **options),
        )
        tensors = runs[1][case]["tensors"]
        for name, network in untrained.networks().items():
            moved = any(
                not torch.equal(value, tensors[f"{name}.{key}"])
                for key, value in network.state_dict().items()
            )
            assert moved == (name != "inter_AB"), name


def test_gradients_are_summed_once_and_sent_early(runs: tuple[Results, Results, Results]) -> None:
    for run in runs[1:]:
        seen = run["toy"]["seen"]
        # Two processes with gradients of 1 and 2 times the factor.
        assert seen[0] == [None, 3.0, 3.0, 3.0]
        assert seen[1] == [None, 6.0, 6.0, 6.0]
        assert seen[2] == [None, 9.0, 9.0, 9.0]
        assert seen[3] == [None, 15.0, 15.0, 15.0]
        assert seen[4] == seen[5] == [None, 3.0, 3.0, None]
        # Nothing is known of the order before the first step; later a backward pass sends all.
        assert run["toy"]["sent"] == [0, 3, 3, 3, 0, 2]
    assert torch.equal(runs[1]["toy"]["layer"], runs[2]["toy"]["layer"])


def test_different_parts_are_an_error_everywhere(runs: tuple[Results, Results, Results]) -> None:
    for run in runs[1:]:
        assert run["disagree"].startswith("ModelError: odd: the processes train different parts")


def test_what_processes_tell_each_other(runs: tuple[Results, Results, Results]) -> None:
    for run in runs[1:]:
        assert run["object"] == {"from": 0}


def test_who_waits_for_a_process_that_ended_is_told(runs: tuple[Results, Results, Results]) -> None:
    assert runs[1]["end"] == "InputError: the first process gives up"
    assert runs[2]["end"].startswith("ModelError: process 1 stopped because another process")


def test_the_environment_says_who_one_is(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    assert world_from_environment() == World(0, 1, 0)
    monkeypatch.setenv("RANK", "5")
    monkeypatch.setenv("WORLD_SIZE", "8")
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert world_from_environment() == World(5, 8, 1)
    assert not world_from_environment().first
    monkeypatch.setenv("RANK", "8")
    with pytest.raises(UsageError, match="WORLD_SIZE"):
        world_from_environment()
    monkeypatch.setenv("RANK", "x")
    with pytest.raises(UsageError, match="number"):
        world_from_environment()


def test_one_alone_asks_nobody() -> None:
    world = World()
    with processes(world, torch.device("cpu")):
        assert not torch.distributed.is_initialized()
        losses = torch.tensor([1.0, 2.0])
        assert torch.equal(mean_losses(losses, world), losses)
        assert broadcast_object("x", world) == "x"


def test_each_process_has_a_gpu_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    cuda, second = torch.device("cuda", 0), World(5, 8, 1)
    assert own_device(cuda, second) == torch.device("cuda", 1)
    assert own_device(cuda, World()) == cuda
    assert own_device(torch.device("cpu"), second) == torch.device("cpu")
    with pytest.raises(InputError, match="nproc-per-node 2"):
        own_device(cuda, World(2, 8, 2))
    with pytest.raises(InputError, match="mps"):
        own_device(torch.device("mps"), second)

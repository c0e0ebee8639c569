"""Resets: the named networks are new, everything else is the very same."""

from __future__ import annotations

import math
import os
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from faceloom.checkpoints import ModelFolder, load_history, load_model, read_state, save_state
from faceloom.checkpoints.events import read_events
from faceloom.checkpoints.snapshots import list_snapshots, restore
from faceloom.core import InputError
from faceloom.models import FaceModel
from faceloom.training.resets import reset_networks
from killed_writes import Killed, killer
from small_models import content, falling_losses, save_small, small_model

CPU = torch.device("cpu")


def tensors(folder: ModelFolder, name: str) -> dict[str, torch.Tensor]:
    return load_file(folder.path / read_state(folder).folder / f"{name}.safetensors")


def test_only_the_named_networks_are_new(tmp_path: Path) -> None:
    folder = save_small(tmp_path / "x_SAEHD", 5, archi="liae-ud")
    before = read_state(folder)
    old = content(folder, before.folder)
    old_net, old_slots = tensors(folder, "inter_AB"), tensors(folder, "src_dst_opt")
    after = reset_networks(folder, ["inter_AB"])
    assert after == read_state(folder)
    assert after.model_copy(update={"folder": before.folder}) == before
    new = content(folder, after.folder)
    assert {name for name in new if new[name] != old[name]} == {
        "inter_AB.safetensors",
        "src_dst_opt.safetensors",
    }
    fresh = tensors(folder, "inter_AB")
    for key, value in fresh.items():
        assert value.shape == old_net[key].shape
        if value.ndim == 1:
            assert not value.any()
            continue
        # Glorot and Bengio (2010): uniform in ±√(6 / (fan in + fan out)).
        receptive = math.prod(value.shape[2:])
        bound = math.sqrt(6 / ((value.shape[0] + value.shape[1]) * receptive))
        assert 0.98 * bound < float(value.abs().max()) <= bound
        assert not torch.equal(value, old_net[key])
    for key, value in tensors(folder, "src_dst_opt").items():
        if key.startswith("inter_AB."):
            assert not value.any()
            assert old_slots[key].any()
        else:
            assert torch.equal(value, old_slots[key])
    assert load_history(folder, after).values.tolist() == falling_losses(5).values.tolist()


def test_what_comes_of_it_can_be_trained_on(tmp_path: Path) -> None:
    folder = save_small(tmp_path / "x_SAEHD", 5)
    reset_networks(folder, ["inter", "decoder_src", "inter"])
    model: FaceModel
    model, state = load_model(folder, device=CPU, training=True)
    assert state.iteration == 5
    optimizer = model.optimizers()["src_dst_opt"]
    assert optimizer.param_groups[0]["step"] == 5
    inter = {id(param) for param in model.networks()["inter"].parameters()}
    moments = [optimizer.state[p] for p in optimizer.state if id(p) in inter]
    assert moments
    assert all(not slot.any() for slots in moments for slot in slots.values())


def test_a_discriminator_has_an_optimizer_of_its_own(tmp_path: Path) -> None:
    folder = save_small(tmp_path / "x_SAEHD", 5, gan_power=0.1, gan_patch_size=16)
    old = content(folder, read_state(folder).folder)
    assert all(value.any() for value in tensors(folder, "GAN_opt").values())
    new = content(folder, reset_networks(folder, ["GAN"]).folder)
    changed = {name for name in new if new[name] != old[name]}
    assert changed == {"GAN.safetensors", "GAN_opt.safetensors"}
    assert not any(value.any() for value in tensors(folder, "GAN_opt").values())


def test_seed_and_iteration_decide(tmp_path: Path) -> None:
    made: dict[tuple[int, int, int], torch.Tensor] = {}
    for number, (seed, iteration) in enumerate([(1, 5), (1, 5), (1, 6), (2, 5)]):
        folder = save_small(tmp_path / f"{number}_SAEHD", iteration, seed=seed)
        first = max(tensors(folder, "inter").values(), key=torch.numel)
        reset_networks(folder, ["inter"])
        made[(number, seed, iteration)] = max(tensors(folder, "inter").values(), key=torch.numel)
        assert not torch.equal(first, made[(number, seed, iteration)])
    one, same, later, other = made.values()
    assert torch.equal(one, same)
    assert not torch.equal(one, later)
    assert not torch.equal(one, other)


def test_the_state_before_is_kept_and_the_reset_logged(tmp_path: Path) -> None:
    folder = save_small(tmp_path / "x_SAEHD", 5)
    wanted = content(folder, read_state(folder).folder)
    reset_networks(folder, ["inter"])
    reset_networks(folder, ["inter"])
    names = {kept.name for kept in list_snapshots(folder)}
    assert names == {"00000005 before reset of inter", "00000005 before reset of inter 2"}
    first, second = read_events(folder.events_file)
    assert (first.kind, first.iteration) == ("reset", 5)
    assert "inter" in first.message
    assert second.details["snapshot"] == "00000005 before reset of inter 2"
    source = folder.path / "snapshots" / "00000005 before reset of inter"
    assert content(folder, restore(folder, source).folder) == wanted


def test_running_means_start_from_the_new_weights(tmp_path: Path) -> None:
    folder, model = ModelFolder(tmp_path / "x_SAEHD"), small_model()
    means = {
        f"{name}.{key}": torch.full_like(value, 0.5)
        for name, network in model.networks().items()
        for key, value in network.state_dict().items()
    }
    save_state(folder, model, falling_losses(3), seed=3, ema=means)
    reset_networks(folder, ["inter"])
    fresh = tensors(folder, "inter")
    for key, value in tensors(folder, "ema").items():
        network, _, own = key.partition(".")
        expected = fresh[own] if network == "inter" else means[key]
        assert torch.equal(value, expected)


def test_unknown_networks_change_nothing(tmp_path: Path) -> None:
    folder = save_small(tmp_path / "x_SAEHD", 3)
    before = read_state(folder)
    with pytest.raises(
        InputError, match=r"no network 'inter_AB'; its.*: encoder, inter, decoder_src"
    ):
        reset_networks(folder, ["inter", "inter_AB"])
    with pytest.raises(InputError, match="names of the networks"):
        reset_networks(folder, [])
    assert read_state(folder) == before
    assert list_snapshots(folder) == []


def test_a_kill_leaves_the_model_whole(tmp_path: Path) -> None:
    whole = save_small(tmp_path / "whole_SAEHD", 3)
    old = content(whole, read_state(whole).folder)
    seen: list[bool] = []
    for changes in range(0, 1000, 5):
        folder = ModelFolder(tmp_path / f"{changes}_SAEHD")
        shutil.copytree(whole.path, folder.path, copy_function=os.link)
        try:
            with killer().after(changes):
                reset_networks(folder, ["inter"])
                seen.append(True)
                break
        except Killed:
            pass
        now = content(folder, read_state(folder).folder)
        different = {name for name in old if now[name] != old[name]}
        assert different in (set(), {"inter.safetensors", "src_dst_opt.safetensors"})
        seen.append(bool(different))
    assert seen == sorted(seen)
    assert len(seen) > 4

"""Batches by number: colours, and processes that share a batch."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from faceloom.color import TransferName
from faceloom.models import SampleBatch, SampleNeeds
from faceloom.samples import SampleStore
from faceloom.training import PairSource

NEEDS = SampleNeeds(
    resolution=64,
    batch_size=2,
    warp=True,
    src_flip=True,
    dst_flip=True,
    eyes_mouth=True,
    scale_range=0.15,
)
Stores = tuple[SampleStore, SampleStore]


def tensors(batch: SampleBatch) -> list[torch.Tensor]:
    assert batch.eyes_mouth is not None
    return [batch.warped, batch.target, batch.mask, batch.eyes_mouth]


@pytest.mark.parametrize("mode", ["none", "rct", "mkl", "idt", "sot"])
@pytest.mark.parametrize("uniform_yaw", [False, True])
def test_two_processes_see_what_one_with_twice_the_batch_sees(
    stores: Stores, mode: TransferName, uniform_yaw: bool
) -> None:
    part = replace(NEEDS, ct_mode=mode, hsv_power=0.1, uniform_yaw=uniform_yaw)
    whole = PairSource(*stores, replace(part, batch_size=4), 5)
    parts = [PairSource(*stores, part, 5, rank=rank, ranks=2) for rank in range(2)]
    for iteration in (0, 1, 7):
        wanted = whole.take(iteration)
        made = [source.take(iteration) for source in parts]
        for side in range(2):
            joined = zip(*(tensors(pair[side]) for pair in made), strict=True)
            for one, both in zip(joined, tensors(wanted[side]), strict=True):
                assert torch.equal(torch.cat(one), both)


@pytest.mark.parametrize("mode", ["rct", "sot"])
def test_colours_and_hue_vary_on_src_only(stores: Stores, mode: TransferName) -> None:
    plain = PairSource(*stores, NEEDS, 5).take(3)
    varied = PairSource(*stores, replace(NEEDS, ct_mode=mode, hsv_power=0.2), 5).take(3)
    for a, b in zip(tensors(plain[1]), tensors(varied[1]), strict=True):
        assert torch.equal(a, b)
    src, changed = plain[0], varied[0]
    assert torch.equal(src.mask, changed.mask)
    assert float((src.target - changed.target).abs().mean()) > 0.01
    assert float((src.warped - changed.warped).abs().mean()) > 0.01
    dst_mean = stores[1].planes[:, :3].float().mean((0, 2, 3)) / 255
    before, after = ((b.target.mean((0, 2, 3)) - dst_mean).abs().mean() for b in (src, changed))
    assert float(after) < float(before)


def test_a_background_lends_no_colours_unless_asked(stores: Stores) -> None:
    src, dst = stores
    planes = dst.planes.clone()
    inside = torch.zeros(planes.shape[-2:], dtype=torch.bool)
    inside[16:48, 20:44] = True
    planes[:, 3] = inside * 255
    dark = planes.clone()
    dark[:, :3] = torch.where(inside, planes[:, :3], 5)
    sides = [(src, replace(dst, planes=p)) for p in (planes, dark)]
    for statistics, alike in (("inside", True), ("whole", False)):
        needs = replace(NEEDS, ct_mode="rct", ct_statistics=statistics)
        one, other = (PairSource(*pair, needs, 5).take(2)[0].target for pair in sides)
        assert torch.allclose(one, other, atol=1e-6) is alike


def test_every_face_of_dst_lends_its_colours_before_any_lends_them_again(stores: Stores) -> None:
    """With a dst of flat pictures, the mean of a src picture tells which one it was given."""
    src, dst = stores
    planes = dst.planes.clone()
    for i in range(len(dst)):
        planes[i, :3] = 60 + 20 * i
    flat = replace(dst, planes=planes)
    needs = replace(NEEDS, ct_mode="lct")
    source = PairSource(src, flat, needs, 5)
    given = [
        round((float(mean) * 255 - 60) / 20)
        for number in range(len(dst) // 2)
        for mean in source.take(number)[0].target.mean((1, 2, 3))
    ]
    assert sorted(given) == list(range(len(dst)))


def test_any_batch_comes_without_those_before_it(stores: Stores) -> None:
    needs = replace(NEEDS, ct_mode="sot", hsv_power=0.1)
    going_on = PairSource(*stores, needs, 5)
    for iteration in range(4):
        last = going_on.take(iteration)
    fresh = PairSource(*stores, needs, 5).take(3)
    for side in range(2):
        for a, b in zip(tensors(last[side]), tensors(fresh[side]), strict=True):
            assert torch.equal(a, b)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_batches_made_ahead_are_the_same(stores: Stores) -> None:
    device = torch.device("cuda")
    on_device = [replace(s, planes=s.planes.to(device), device=device) for s in stores]
    source = PairSource(on_device[0], on_device[1], NEEDS, 5)
    taken = {i: source.take(i) for i in (0, 1, 2, 7, 3)}
    again = PairSource(on_device[0], on_device[1], NEEDS, 5)
    for i, pair in taken.items():
        for a, b in zip(pair, again.take(i), strict=True):
            for x, y in zip(tensors(a), tensors(b), strict=True):
                assert torch.equal(x, y)

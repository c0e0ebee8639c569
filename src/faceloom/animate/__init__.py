"""Animate a still portrait: a warp of its own 478-point face mesh in 3-D, with known landmarks."""

from faceloom.animate.clip import AnimatedFrame, animate
from faceloom.animate.motion import MotionRange, Pose, talking_head
from faceloom.animate.portrait import (
    ASTRONAUT,
    HOPPER,
    Portrait,
    PortraitPlan,
    crop_portrait,
    make_portrait,
)
from faceloom.animate.render import render
from faceloom.animate.rig import Rig, build_rig

__all__ = [
    "ASTRONAUT",
    "HOPPER",
    "AnimatedFrame",
    "MotionRange",
    "Portrait",
    "PortraitPlan",
    "Pose",
    "Rig",
    "animate",
    "build_rig",
    "crop_portrait",
    "make_portrait",
    "render",
    "talking_head",
]

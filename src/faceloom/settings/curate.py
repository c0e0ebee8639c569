"""Settings of curation that the stages' configurations share with the code that uses them."""

from __future__ import annotations

from typing import Final

from pydantic import Field

from faceloom.core.config import Settings

# Cosine of two groups' mean identity vectors from which they show one person. Single faces of two
# people reach 0.46 (1 in 10,000: 0.38), their means 0.31; means of one person in different clips
# have 0.68 and more.
SAME_GROUP: Final = 0.45


class CoverageSettings(Settings):
    """When src covers a dst face."""

    pose_tolerance_deg: float = Field(default=8.0, gt=0, le=45)
    """How far apart two head poses may be, in degrees of yaw and pitch combined."""
    expression_tolerance: float = Field(default=1.0, gt=0, le=10)
    """Multiplies the tolerance of every part of the expression; 2 accepts twice the difference."""
    light_tolerance: float = Field(default=0.2, gt=0, le=2)
    """How far apart two light vectors may be. A vector points towards the light, and its length
    (0 to 1) says how directional the light is."""
    size_ratio: float = Field(default=0.7, gt=0, le=1)
    """Smallest size of a src face relative to the dst face, each measured in its own frame."""
    brightness_tolerance: float = Field(default=0.2, gt=0, le=1)
    """How far apart the brightness of two faces may be; 1 is the range from black to white."""
    enough: int = Field(default=3, ge=1, le=1000)
    """How many src faces must match a dst face. With 1, a single blurred face is enough."""
    flip_src: bool = False
    """Count the mirror images of src's faces too, as training with `random_src_flip` does."""

"""Parts of a model's saved state that training writes: recipe progress and lowered risk."""

from __future__ import annotations

from pydantic import Field

from faceloom.core import Settings


class Risk(Settings):
    """What training lowered after collapses; part of a model's saved state."""

    lr_factor: float = Field(default=1.0, gt=0, le=1)
    """The learning rate is multiplied by this."""
    clipgrad: bool = False
    """Whether gradients are clipped whatever the settings say."""
    rollbacks: int = Field(default=0, ge=0)
    """How often training has returned to a good state."""

    def lowered(self) -> Risk:
        """The next lower risk: half the learning rate, and clipped gradients."""
        return Risk(lr_factor=self.lr_factor / 2, clipgrad=True, rollbacks=self.rollbacks + 1)


class RecipeProgress(Settings):
    """How far a model has come in a recipe; part of its saved state."""

    recipe: str
    """Name or path, as the user gave it."""
    digest: str
    """Digest of the recipe's content: different content is a different recipe."""
    scale: float = 1.0
    """Factor of its iterations and windows."""
    stage: int = 0
    """The current stage, counted from 0; the number of stages when the recipe is done."""
    began: int = 0
    """Iteration at which this stage began."""
    began_s: float = 0.0
    """Seconds trained when this stage began."""
    resets: int = 0
    """How often this stage has reset networks so far."""
    paused: bool = False
    """Whether training has stopped before this stage, as the stage requests."""
    begun: bool = False
    """Whether this stage has started training and reset its networks."""

"""What a person wants of a mask, as settings: intent and model in, masked content, context, padding and strength out. Pure.

Page and command line share it. The settings are defaults that are shown; whatever a person sets instead is kept.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from studio.core.models import ModelInfo

SEES_MASK = "inpaint"  # the variant of models that take mask and masked picture as inputs (Rombach et al. 2022)


@dataclass(frozen=True)
class IntentSettings:
    """What an intent sets. `prompt_help` says what the prompt should describe."""

    content: str
    context: str
    padding: int  # pixels
    strength: float
    prompt_help: str

    def values(self) -> dict[str, Any]:
        """Field of the task -> its value."""
        names = ("content", "context", "padding", "strength")
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True)
class Intent:
    """One intent. `strength` is for models that do not see the mask, which keep to the place by what is left of the
    picture there; those that see it start from noise. `seen` is the padding, as a share of the model's own side."""

    title: str
    content: str
    context: str
    strength: float
    seen: float
    prompt_help: str
    strength_with_mask: float = 1.0


INTENTS: dict[str, Intent] = {
    "fill": Intent("Fill", "original", "mask", 0.75, 0.5, "Describe what should be in the mask, or the picture as it should be."),
    "add": Intent("Add", "fill", "mask", 1.0, 0.5, "Name what to add and what it is on, as in a caption of the whole picture."),
    "remove": Intent("Remove", "fill", "mask", 0.3, 0.5, "Describe what is left once it is gone: the ground, and what else is in view."),
    "background": Intent("Replace background", "noise", "whole", 1.0, 0.5, "Describe the new background; paint it white, and leave the subject black."),
    "extend": Intent("Extend", "fill", "mask", 0.9, 0.5, "Describe the whole picture as it should be once it is larger."),
}  # fmt: skip


def settings_of(intent: str, model: "ModelInfo") -> IntentSettings:
    """The intent's settings for a model."""
    meant = INTENTS[intent]
    side = max(model.defaults.width, model.defaults.height)
    return IntentSettings(
        content=meant.content,
        context=meant.context,
        padding=max(8, round(side * meant.seen / 8) * 8),
        strength=meant.strength_with_mask if model.variant == SEES_MASK else meant.strength,
        prompt_help=meant.prompt_help if model.capabilities.prompted else "",
    )

"""The registry of denoisers, and what each must offer."""

from typing import Any, Protocol

from torch import Tensor, nn

from studio.core.registry import Registry


class Backbone(Protocol):
    """A diffusers denoiser and the stock pipeline that samples it."""

    pads: bool  # whether the pipeline reads the padding of a text too (no mask)
    call: dict[str, Any]  # what the pipeline's call needs for sizes other than its own
    component: str  # the denoiser's name in the pipeline's folder

    def build(self, model: dict[str, Any], channels: int, side: int, text_width: int) -> nn.Module:
        """The network for latents [n, channels, side, side] and a text of that width."""

    def predict(self, model: nn.Module, x: Tensor, t: Tensor, text: Tensor, mask: Tensor) -> Tensor:
        """x [n, c, h, w], t [n], text [n, tokens, width], mask [n, tokens] -> [n, c, h, w]."""

    def hidden(self, name: str, parameter: Tensor) -> bool:
        """Whether Muon may take the parameter."""

    def pipeline(self, model: nn.Module, vae: Any, text_encoder: Any, tokenizer: Any, scheduler: Any) -> Any:
        """The stock text-to-image pipeline around the denoiser."""


backbones: Registry[Backbone] = Registry("backbone")

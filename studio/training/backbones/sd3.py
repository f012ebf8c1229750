"""Stable Diffusion 3's MMDiT, in a stock `StableDiffusion3Pipeline` with two CLIP text encoders.

Independent of how it is trained. In place of T5 is one without layers, whose output is zeros, as the pipeline itself puts zeros
where there is no T5: 256 rows, unless its caller says otherwise. They carry no position, so in joint attention any number of
them acts as one row whose weight is that number. Training uses one row, with weights from 1 to 256: a third of the tokens,
and samples do not depend on the number.
"""

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from diffusers import SD3Transformer2DModel, StableDiffusion3Pipeline
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModelWithProjection, T5Config, T5EncoderModel, T5TokenizerFast

from studio.training.backbones.registry import backbones

Text = tuple[Tensor, Tensor]  # [n, tokens, width] and, pooled, [n, projection]
T5_ROWS = 256


class TextEncoders(nn.Module):
    """The trained encoder, and one of a single layer, whose second to last layer is the words themselves."""

    def __init__(self, first: CLIPTextModelWithProjection):
        super().__init__()
        own = first.config
        small = {"hidden_size": own.hidden_size // 2, "intermediate_size": own.hidden_size, "num_hidden_layers": 1}
        self.first = first
        self.second = CLIPTextModelWithProjection(
            CLIPTextConfig(**{**own.to_dict(), **small}, attn_implementation="eager")
        )

    def forward(self, ids: Tensor) -> Text:
        outs = [encoder(ids, output_hidden_states=True) for encoder in (self.first, self.second)]
        tokens = torch.cat([out.hidden_states[-2] for out in outs], dim=-1)
        return tokens, torch.cat([out.text_embeds for out in outs], dim=-1)


def no_t5(width: int) -> T5EncoderModel:
    """A T5 without layers that gives zeros: `from_pretrained` of the pipeline needs one in the folder."""
    model = T5EncoderModel(T5Config(vocab_size=3, d_model=width, d_kv=width, d_ff=1, num_layers=0, num_heads=1))
    return model.requires_grad_(False).apply(lambda m: [nn.init.zeros_(p) for p in m.parameters()])


def no_t5_tokenizer() -> T5TokenizerFast:
    """Every word is unknown to it."""
    return T5TokenizerFast(vocab=[("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)], extra_ids=0)


class JointAttention:
    """Joint attention (Esser et al. 2024); `weights` [n, 1, 1, keys] are added to the scores.

    On processors in plain matrix products, whose backward is fast there; elsewhere fused.
    """

    def __call__(
        self, attn: Any, hidden_states: Tensor, encoder_hidden_states: Tensor, weights: Tensor | None = None, **_: Any
    ) -> tuple[Tensor, Tensor]:
        image, text = hidden_states, encoder_hidden_states  # [n, i, c], [n, t, c]
        q = _joined(
            attn, attn.norm_q, attn.norm_added_q, attn.to_q(image), attn.add_q_proj(text)
        )  # [n, heads, i + t, d]
        k = _joined(attn, attn.norm_k, attn.norm_added_k, attn.to_k(image), attn.add_k_proj(text))
        v = _joined(attn, None, None, attn.to_v(image), attn.add_v_proj(text))
        out = (
            (_plain if q.device.type == "cpu" else _fused)(q, k, v, weights).transpose(1, 2).flatten(2)
        )  # [n, i + t, c]
        image, text = out[:, : image.shape[1]], out[:, image.shape[1] :]
        return attn.to_out[0](image), text if attn.context_pre_only else attn.to_add_out(text)


def _plain(q: Tensor, k: Tensor, v: Tensor, weights: Tensor | None) -> Tensor:
    scores = (q * q.shape[-1] ** -0.5) @ k.mT
    if weights is not None:
        scores = scores + weights.to(scores.dtype)
    return scores.softmax(dim=-1) @ v


def _fused(q: Tensor, k: Tensor, v: Tensor, weights: Tensor | None) -> Tensor:
    q, k = q.to(v.dtype), k.to(v.dtype)  # under autocast, norms give fp32
    mask = None if weights is None else weights.to(v.dtype).expand(-1, q.shape[1], q.shape[2], -1)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)


def _joined(attn: Any, norm: Any, text_norm: Any, image: Tensor, text: Tensor) -> Tensor:
    parts = [x.unflatten(-1, (attn.heads, -1)).transpose(1, 2) for x in (image, text)]
    norms = (norm, text_norm)
    return torch.cat([x if f is None else f(x) for f, x in zip(norms, parts, strict=True)], dim=2)


class SD3:
    pads = True
    own_attention = True
    call: dict[str, Any] = {"max_sequence_length": 1}
    component = "transformer"

    def attention(self) -> JointAttention:
        return JointAttention()

    def load_text(self, folder: Path) -> TextEncoders:
        return TextEncoders(
            CLIPTextModelWithProjection.from_pretrained(
                folder / "text_encoder", attn_implementation="eager", dtype=torch.float32
            )
        )

    def encode(self, text: nn.Module, ids: Tensor, mask: Tensor) -> Text:
        return text(ids)

    def build(self, model: dict[str, Any], channels: int, side: int, text: nn.Module) -> nn.Module:
        sizes = {"num_attention_heads": 4, "attention_head_dim": 64, "num_layers": 6, "patch_size": 2, **model}
        width = sizes["num_attention_heads"] * sizes["attention_head_dim"]
        encoders = [text.first.config, text.second.config]
        network = SD3Transformer2DModel(
            sample_size=side,
            in_channels=channels,
            out_channels=channels,
            pos_embed_max_size=2 * side // sizes["patch_size"],
            caption_projection_dim=width,
            joint_attention_dim=sum(c.hidden_size for c in encoders),
            pooled_projection_dim=sum(c.projection_dim for c in encoders),
            qk_norm="rms_norm",
            **sizes,
        )
        for name, module in network.named_modules():  # adaLN-Zero (Peebles & Xie 2023): blocks begin as the identity
            if name.endswith(("norm1.linear", "norm1_context.linear", "norm_out.linear")) or name == "proj_out":
                nn.init.zeros_(module.weight)
                nn.init.zeros_(module.bias)
        return network

    def predict(self, model: nn.Module, x: Tensor, t: Tensor, text: Any, mask: Tensor) -> Tensor:
        tokens, pooled = text
        tokens = F.pad(tokens, (0, 0, 0, 1))  # [n, tokens + 1, width]: the row of zeros is the last key
        keys = (x.shape[2] // 2) * (x.shape[3] // 2) + tokens.shape[1]
        weights = torch.zeros(len(x), 1, 1, keys, device=x.device)
        weights[..., -1] = torch.linspace(0, 1, len(x), device=x.device).view(-1, 1, 1) * torch.tensor(T5_ROWS).log()
        return model(
            x,
            encoder_hidden_states=tokens,
            pooled_projections=pooled,
            timestep=t,
            joint_attention_kwargs={"weights": weights},
            return_dict=False,
        )[0]

    def hidden(self, name: str, parameter: Tensor) -> bool:
        return parameter.ndim == 2 and name.startswith("transformer_blocks.") and ".norm1" not in name

    def pipeline(self, model: nn.Module, vae: Any, text: Any, tokenizer: Any, scheduler: Any) -> Any:
        return StableDiffusion3Pipeline(
            transformer=model,
            scheduler=scheduler,
            vae=vae,
            text_encoder=text.first,
            tokenizer=tokenizer,
            text_encoder_2=text.second,
            tokenizer_2=tokenizer,
            text_encoder_3=no_t5(model.config.joint_attention_dim).to(model.device, model.dtype),
            tokenizer_3=no_t5_tokenizer(),
        )


backbones.add("sd3", SD3())

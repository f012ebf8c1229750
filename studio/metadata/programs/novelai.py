"""NovelAI (V1 to V4.5): a JSON object in PNG's "Comment", in a WebP's comment, or hidden in the alpha channel.

Keys as its site writes them; the name of the model is in "Source".
"""

from typing import Any

from studio.metadata.found import COMMENT, USER_COMMENT, File, Found, Texts, as_object, decimal, left, objects, text

STEALTH = "stealth"
_FIELDS = {
    "seed": "seed",
    "steps": "steps",
    "scale": "guidance_scale",
    "cfg_rescale": "guidance_rescale",
    "width": "width",
    "height": "height",
}
_KNOWN = frozenset(
    {*_FIELDS, "prompt", "uc", "sampler", "noise_schedule", "strength", "request_type", "n_samples", "version"}
    | {
        "v4_prompt",
        "v4_negative_prompt",
        "signed_hash",
        "legacy",
        "legacy_v3_extend",
        "legacy_uc",
        "hide_debug_overlay",
    }
    | {"uncond_scale", "controlnet_strength", "lora_unet_weights", "lora_clip_weights", "extra_noise_seed"}
    | {"stream", "skip_cfg_below_sigma", "deliberate_euler_ancestral_bug", "prefer_brownian", "explike_fine_detail"}
)
_OURS = ("noise_schedule", "v4_prompt", "uncond_scale", "request_type", "uc")


def read(texts: Texts) -> Found | None:
    for name in ("Comment", USER_COMMENT, COMMENT, STEALTH):
        whole = texts.object(name)
        comment = as_object(whole.get("Comment")) or whole
        if "sampler" in comment and "prompt" in comment and any(each in comment for each in _OURS):
            return _read(comment, text(whole.get("Source")) or texts.get("Source", ""))
    return None


def _read(comment: dict[str, Any], source: str) -> Found:
    found = Found("NovelAI")
    found.prompt, characters = _caption(comment.get("v4_prompt"), text(comment.get("prompt")))
    found.negative_prompt, against = _caption(comment.get("v4_negative_prompt"), text(comment.get("uc")))
    if characters or against:
        found.notes.append(
            "The prompts of single characters, which have places of their own there, are joined to the prompt."
        )
    for theirs, ours in _FIELDS.items():
        found.put(ours, comment.get(theirs))
    found.sampler, found.schedule = text(comment.get("sampler")), text(comment.get("noise_schedule"))
    found.model = File(source) if source else None
    if "Img2Img" in text(comment.get("request_type")):
        found.strength = decimal(comment.get("strength"))
    found.unused = left(comment, _KNOWN)
    return found


def _caption(value: Any, plain: str) -> tuple[str, bool]:
    """(the prompt, whether characters have prompts of their own): since version 4 they are apart from the rest."""
    caption = as_object(as_object(value).get("caption"))
    characters = [text(each.get("char_caption")) for each in objects(caption.get("char_captions"))]
    pieces = [text(caption.get("base_caption")) or plain, *characters]
    return ", ".join(each for each in pieces if each), any(characters)

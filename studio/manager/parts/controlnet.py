"""ControlNets: a component beside the model's own, from a diffusers folder or a single file in either naming."""

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from studio.core.errors import ModelError
from studio.core.parts import ControlNet
from studio.manager.disk.safe_files import read_json
from studio.manager.loading import Source, component_class, empty_weights, explained
from studio.manager.parts.base import Context, Support, register

# By the denoiser's class: the ControlNet's.
CLASSES = {
    "UNet2DConditionModel": "ControlNetModel",
    "SD3Transformer2DModel": "SD3ControlNetModel",
    "FluxTransformer2DModel": "FluxControlNetModel",
}
# By the same: that of those for several kinds of control, where it is another.
UNIONS = {"UNet2DConditionModel": "ControlNetUnionModel"}
# Of the denoiser's configuration what says nothing of its encoder: models that differ in it share a ControlNet.
OTHER_HALF = frozenset({"sample_size", "out_channels", "up_block_types"})
# Of a U-Net's configuration what its ControlNet has to have alike.
ALIKE = ("cross_attention_dim", "block_out_channels", "addition_embed_type")
ORIGINAL = "control_model."  # how the publishers' own files begin their tensors' names


@dataclass(frozen=True, eq=False)
class ControlNetFile(Source):
    """A ControlNet without its configuration: a copy of the denoiser's encoder half, so the denoiser's configuration says it."""

    def empty(self, dtype: Any) -> Any:
        cls = component_class(self.library, self.class_name)
        known = inspect.signature(cls.__init__).parameters
        with explained(f"The ControlNet {self.files[0].stem} does not fit this model"), empty_weights(dtype):
            return cls.from_config({name: value for name, value in self.config.items() if name in known})

    def load(self, dtype: Any) -> Any:
        from diffusers.loaders.single_file_utils import convert_controlnet_checkpoint
        from safetensors.torch import load_file

        tensors, module = load_file(self.files[0]), self.empty(dtype)
        with explained(f"The ControlNet {self.files[0].stem} does not fit this model"):
            if any(key.startswith(ORIGINAL) for key in tensors):
                tensors = convert_controlnet_checkpoint(tensors, dict(module.config))
            module.load_state_dict(tensors, assign=True)
        return module.to(dtype)


class ControlNetSupport(Support):
    """A part names a file, or the file in a folder, as `model`."""

    def components(self, part: ControlNet, context: Context) -> dict[str, Source]:
        file, own = context.file(part.model, "controlnet"), context.own.get(context.family.denoiser)
        class_name = CLASSES.get(own.class_name) if own else None
        if own is None or class_name is None:
            raise ModelError(f"{context.info.title} takes no ControlNets.")
        if (file.parent / "config.json").is_file():
            config = read_json(file.parent / "config.json")
            named = str(config.get("_class_name", class_name))
            if part.control_mode is not None:
                class_name = UNIONS.get(own.class_name, class_name)
            if named != class_name:
                title = context.info.title
                raise ModelError(
                    f"The ControlNet {file.parent.name} is a {named}, and {title} takes a {class_name} alone."
                )
            other = next((key for key in ALIKE if config.get(key) != own.config.get(key)), None)
            if other and own.class_name == "UNet2DConditionModel":
                raise ModelError(
                    f"The ControlNet {file.parent.name} does not fit {context.info.title}: its {other} is another."
                )
            return {"controlnet": Source("controlnet", "diffusers", named, file.parent, (file,), config)}
        if part.control_mode is not None:
            raise ModelError(
                f"The ControlNet {file.stem} is a union; put the config.json that it is published with beside it."
            )
        config = {name: value for name, value in own.config.items() if name not in OTHER_HALF}
        return {"controlnet": ControlNetFile("controlnet", "diffusers", class_name, own.folder, (file,), config)}

    def pipeline_arguments(self, parts: Sequence[ControlNet], modules: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """One as itself; pipelines make one of several themselves."""
        found = [module["controlnet"] for module in modules]
        if len({type(net) for net in found}) > 1:
            raise ModelError(
                "ControlNets for several kinds of control (union) and others do not go together in one picture."
            )
        return {"controlnet": found[0] if len(found) == 1 else found}


register("controlnet", ControlNetSupport())

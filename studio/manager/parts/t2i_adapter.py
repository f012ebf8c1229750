"""T2I-Adapters: a small network beside the model's own components, from a diffusers folder."""

from collections.abc import Mapping, Sequence
from typing import Any

from studio.core.errors import ModelError
from studio.core.parts import T2IAdapter
from studio.manager.disk.safe_files import read_json
from studio.manager.loading import Source
from studio.manager.parts.base import Context, Support, register


class T2IAdapterSupport(Support):
    """A part names the file in a folder as `model`."""

    def components(self, part: T2IAdapter, context: Context) -> dict[str, Source]:
        file = context.file(part.model, "t2i_adapter")
        if not (file.parent / "config.json").is_file():
            raise ModelError(
                f"The T2I-Adapter {file.stem} has no config.json beside it; fetch its folder as diffusers has it."
            )
        config = read_json(file.parent / "config.json")
        unet = context.own[context.family.denoiser].config
        levels = list(unet.get("block_out_channels") or ())  # SDXL's adapters have one more, for the middle
        if list(config.get("channels") or ())[: len(levels)] != levels:
            raise ModelError(
                f"The T2I-Adapter {file.parent.name} does not fit {context.info.title}: its layers are others."
            )
        return {"adapter": Source("adapter", "diffusers", "T2IAdapter", file.parent, (file,), config)}

    def pipeline_arguments(self, parts: Sequence[T2IAdapter], modules: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """One as itself; pipelines make one of several themselves."""
        found = [module["adapter"] for module in modules]
        return {"adapter": found[0] if len(found) == 1 else found}


register("t2i_adapter", T2IAdapterSupport())

"""Another autoencoder in place of the model's own, from a file in either naming, under the model's own configuration."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from studio.core.errors import ModelError
from studio.manager.disk.headers import read_header
from studio.manager.loading import Source, component_class, explained
from studio.manager.parts.base import Context, Support, register


@dataclass(frozen=True, eq=False)
class VAEFile(Source):
    """An autoencoder's file; `folder` is the one that its configuration comes from."""

    def load(self, dtype: Any) -> Any:
        from safetensors.torch import load_file

        tensors, module = load_file(self.files[0]), self.empty(dtype)
        with explained(f"The VAE {self.files[0].stem} does not fit this model"):
            if tensors.keys() == module.state_dict().keys():
                module.load_state_dict(tensors, assign=True)
                return module.to(dtype)
            options = {"config": str(self.folder.parent), "subfolder": self.folder.name, "local_files_only": True}
            cls = component_class(self.library, self.class_name)
            return cls.from_single_file(tensors, torch_dtype=dtype, **options)


class VAESupport(Support):
    """A part of kind "vae" names a file as `model`."""

    def components(self, part: Any, context: Context) -> dict[str, Source]:
        file, own = context.file(part.model, "vae"), context.own.get("vae")
        if own is None:
            raise ModelError(f"{context.info.title} has no VAE, so that the VAE {part.model} cannot take its place.")
        config = _with_width_of(file, own.config)
        return {"vae": VAEFile("vae", own.library, own.class_name, own.folder, (file,), config)}


def _with_width_of(file: Path, config: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration with the widths that the file's tensors have."""
    tensors = read_header(file).tensors
    first = next((tensor.shape[0] for key, tensor in tensors.items() if key.endswith("encoder.conv_in.weight")), None)
    widths = config.get("block_out_channels") or ()
    if not first or not widths:
        return dict(config)
    return {**config, "block_out_channels": [width * first // widths[0] for width in widths]}


register("vae", VAESupport())

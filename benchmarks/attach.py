"""Attaching and detaching a LoRA at Stable Diffusion 1.5's size: seconds, and whether the base is the same to the last bit.

    python benchmarks/attach.py [--rounds 3] [--rank 16] [--dtype bf16] [--threads 1]

U-Net and text encoder have random weights of the real shapes; the LoRA is in kohya's names on attention, feed-forward and
text encoder layers, once plain and once as DoRA. Target for a plain one: under a second for both together.
"""

import hashlib
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import common
import torch
from safetensors.torch import save_file

from studio.core.models import ModelInfo
from studio.core.parts import LoRA
from studio.manager.families import FAMILIES
from studio.manager.loading import component_class, empty_weights
from studio.manager.parts import SUPPORTS, Context

LAYERS = (
    "to_q",
    "to_k",
    "to_v",
    "to_out.0",
    "ff.net.0.proj",
    "ff.net.2",
    "q_proj",
    "k_proj",
    "v_proj",
    "out_proj",
    "fc1",
    "fc2",
)


class OneFile(Context):
    """Whatever a part names is the one file of this benchmark."""

    def file(self, model: str, kind: str) -> Path:
        return Path(model)


def module_of(configs: dict[str, Any], name: str, library: str, class_name: str, dtype: torch.dtype) -> Any:
    cls = component_class(library, class_name)
    with empty_weights(dtype):
        module = cls.from_config(configs[name]) if library == "diffusers" else cls(cls.config_class(**configs[name]))
    module = module.to_empty(device="cpu").to(dtype).requires_grad_(False)
    generator = torch.Generator().manual_seed(0)
    for parameter in module.parameters():
        parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float32).mul_(0.02))
    return module


def lora_file(file: Path, modules: dict[str, Any], rank: int, dora: bool) -> Path:
    tensors = {}
    for prefix, module in (("lora_unet_", modules["unet"]), ("lora_te_text_model_", modules["text_encoder"])):
        for name, layer in module.named_modules():
            if not name.endswith(LAYERS):
                continue
            stem = prefix + name.removeprefix("text_model.").replace(".", "_")
            tensors[f"{stem}.lora_down.weight"] = torch.randn(rank, layer.in_features, dtype=torch.float16)
            tensors[f"{stem}.lora_up.weight"] = torch.randn(layer.out_features, rank, dtype=torch.float16)
            tensors[f"{stem}.alpha"] = torch.tensor(rank / 2)
            if dora:
                tensors[f"{stem}.dora_scale"] = torch.rand(layer.out_features, 1)
    save_file(tensors, file)
    return file


def digest(modules: dict[str, Any]) -> str:
    found = hashlib.sha256()
    for module in modules.values():
        for name, tensor in sorted(module.state_dict().items()):
            found.update(name.encode() + tensor.contiguous().view(torch.uint8).numpy().data)
    return found.hexdigest()


def main() -> None:
    parser = common.arguments(__doc__.splitlines()[0], rounds=3)
    parser.add_argument("--rank", type=int, default=16)
    parser.set_defaults(dtype="bf16")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    common.announce()
    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[options.dtype]
    family = FAMILIES.get("sd1")
    configs = family.blueprint.configs if family.blueprint else {}
    modules = {
        "unet": module_of(configs, "unet", "diffusers", "UNet2DConditionModel", dtype),
        "text_encoder": module_of(configs, "text_encoder", "transformers", "CLIPTextModel", dtype),
    }
    own: Any = {"unet": SimpleNamespace(config=configs["unet"])}
    context = OneFile(ModelInfo(id="sd15", title="SD 1.5", kind="diffusers", family="sd1"), family, own, None)  # type: ignore[arg-type]
    before, support = digest(modules), SUPPORTS.get("lora")
    with tempfile.TemporaryDirectory() as folder:
        for flavour in ("plain", "dora"):
            file = lora_file(Path(folder) / f"{flavour}.safetensors", modules, options.rank, flavour == "dora")
            for number in range(options.rounds):
                began, busy = time.perf_counter(), time.process_time()
                with support.attach(LoRA(model=str(file), weight=0.8), context, modules):
                    attached = time.perf_counter()
                done = time.perf_counter()
                busy = time.process_time() - busy
                took = f"attached in {attached - began:.2f} s, detached in {done - attached:.2f} s"
                print(f"{flavour} {number}: {took}; {busy:.2f} s of processor time")
            same = "the same to the last bit" if digest(modules) == before else "CHANGED"
            print(f"{flavour}, {file.stat().st_size >> 20} MiB: the base is {same}")


if __name__ == "__main__":
    with torch.no_grad():
        main()

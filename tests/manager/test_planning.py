"""`models plan` and `models inspect`: full-size models planned from headers alone, in no time and no memory."""

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest

from studio.cli.models import main
from studio.core.errors import InvalidRequest
from studio.core.models import Override
from studio.manager import families
from studio.manager.disk.catalog import Catalog
from studio.manager.disk.describe import describe_path
from studio.manager.families import FAMILIES
from studio.manager.memory.planner import DoesNotFit
from studio.manager.memory.planning import Shape, forecast
from tests.models.sparse_headers import Shapes, write_sparse

GIB = 1 << 30
TEXT = "cond_stage_model.transformer.text_model.embeddings.position_embedding.weight"


def full_size_sd1(path: Path) -> Path:
    """A file of SD 1.5's weight: 860 M in the U-Net, 84 M in the VAE, 123 M in the text encoder; fp16, and sparse."""
    prefix = "model.diffusion_model."
    shapes: Shapes = {prefix + "input_blocks.0.0.weight": (320, 4, 3, 3)}
    shapes |= {prefix + "input_blocks.2.1.transformer_blocks.0.attn2.to_k.weight": (320, 768)}
    shapes |= {f"{prefix}middle_block.{i}.weight": (2560, 1280, 3, 3) for i in range(29)}
    shapes |= {"first_stage_model.decoder.conv_in.weight": (512, 4, 3, 3)}
    shapes |= {f"first_stage_model.decoder.{i}.weight": (512, 512, 3, 3) for i in range(35)}
    shapes |= {TEXT: (77, 768), "cond_stage_model.transformer.text_model.rest.weight": (123_000, 1000)}
    return write_sparse(path, shapes)


def test_everything_stays_where_the_budget_holds_it(tmp_path: Path) -> None:
    file = full_size_sd1(tmp_path / "sd.safetensors")
    planned = forecast(describe_path(tmp_path, file), file, 8 * GIB, Shape(512, 512), "fp16", "cuda")
    assert planned.whole
    assert not [move for move in planned.plan.moves if move.kind != "load"]
    assert 2 * GIB < planned.plan.peak < 4 * GIB


def test_the_text_encoder_and_the_denoiser_make_way_under_a_small_one(tmp_path: Path) -> None:
    file = full_size_sd1(tmp_path / "sd.safetensors")
    info = describe_path(tmp_path, file)
    planned = forecast(info, file, int(2.25 * GIB), Shape(512, 512), "fp16", "cuda")
    assert not planned.whole
    assert planned.plan.peak <= 2.25 * GIB
    assert ("evict", "text_encoder") in {(move.kind, move.key) for move in planned.plan.moves}
    assert forecast(info, file, int(1.2 * GIB), Shape(512, 512), "fp16", "cuda").plan.streamed == {"unet"}
    with pytest.raises(DoesNotFit, match="Raise the budget"):
        forecast(info, file, GIB // 2, Shape(512, 512), "fp16", "cuda")


@pytest.mark.parametrize(("size", "most"), [(512, 0.7), (1024, 2.8)])
def test_the_decoder_s_working_memory_follows_what_was_traced(size: int, most: float) -> None:
    """SD's autoencoder in fp16 was traced at 384 MiB for 512 x 512 and 1,536 MiB for 1024 x 1024."""
    from studio.manager.memory.estimate import Run, Weights

    configs = FAMILIES.get("sd1").blueprint.configs
    weights = {name: Weights(1000, 10, configs[name]) for name in ("unet", "vae", "text_encoder")}
    stages = {s.name: s for s in Run(FAMILIES.get("sd1"), weights, Shape(size, size), "fp16", "cuda").stages()}
    traced = {512: 384, 1024: 1536}[size] << 20
    assert traced < stages["decode"].activation < most * GIB + (512 << 20)
    assert (130 << 20) * (size // 512) ** 2 < stages["denoise"].activation
    assert size > 512 or stages["denoise"].activation < 3.5 * (130 << 20)


def test_the_command_prints_who_is_where_and_the_peak(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    full_size_sd1(tmp_path / "models/sd.safetensors")
    where = ["--only-models", str(tmp_path / "models"), "--outputs", str(tmp_path / "out")]
    assert main(["plan", "sd", "--budget", "8GiB", "--size", "512x512", "--dtype", "fp16", *where]) == 0
    shown = capsys.readouterr().out
    assert "denoise" in shown and "unet 1.59 GiB" in shown
    assert "of 8.00 GiB; all of it stays in memory" in shown
    assert main(["plan", "sd", "--budget", "3GiB", "--json", *where]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert [stage["stage"] for stage in shown["stages"]] == ["encode", "denoise", "decode"]
    assert shown["peak"] <= shown["budget"] == 3 * GIB


def test_a_file_outside_the_folders_can_be_inspected(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = full_size_sd1(tmp_path / "elsewhere/sd.safetensors")
    assert main(["inspect", str(file), "--json", "--outputs", str(tmp_path / "out")]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["kind"], shown["family"], shown["dtype"]) == ("checkpoint", "sd1", "fp16")
    (tmp_path / "elsewhere/page.safetensors").write_text("<!DOCTYPE html>")
    main(["inspect", str(tmp_path / "elsewhere/page.safetensors"), "--outputs", str(tmp_path / "out")])
    assert "a web page saved under a model's name" in capsys.readouterr().out


def test_a_pipeline_s_call_is_read_from_its_source_without_importing_it() -> None:
    assert families.generic_family("QwenImagePipeline") is not None
    for not_a_picture in ("WanPipeline", "StableVideoDiffusionPipeline", "NoSuchPipeline", "../../etc"):
        assert families.generic_family(not_a_picture) is None


def test_the_plan_of_a_model_with_another_vae_has_that_one_s_size_and_working_memory(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    models = tmp_path / "models"
    file = full_size_sd1(models / "sd.safetensors")
    shapes: Shapes = {"encoder.conv_in.weight": (256, 3, 3, 3), "decoder.conv_in.weight": (1024, 4, 3, 3)}
    shapes |= {f"decoder.{i}.weight": (1024, 1024, 3, 3) for i in range(20)}
    shapes |= {"decoder.conv_out.weight": (3, 256, 3, 3), "quant_conv.weight": (8, 8, 1, 1)}
    write_sparse(models / "vae/wide.safetensors", shapes)
    catalog = Catalog((models,), tmp_path / "out/.unnoise/catalog.db")
    where = ["--only-models", str(models), "--outputs", str(tmp_path / "out"), "--json", "--dtype", "fp16"]

    def decoding() -> dict[str, int]:
        assert main(["plan", "sd", "--budget", "8GiB", "--size", "512x512", *where]) == 0
        stage = json.loads(capsys.readouterr().out)["stages"][-1]
        return {"weights": stage["resident"]["vae"], "working": stage["working"]}

    own = decoding()
    catalog.overrides.write(file, Override(vae="vae/wide"))
    other = decoding()
    assert other["weights"] == 2 * sum(math.prod(shape) for shape in shapes.values())
    assert own["weights"] < other["weights"] and own["working"] < other["working"]
    (models / "vae/wide.safetensors").unlink()
    with pytest.raises(InvalidRequest, match="sd is set to run with the VAE vae/wide, which is not here"):
        decoding()


def test_a_run_with_a_controlnet_in_one_file_is_planned_without_torch(tmp_path: Path) -> None:
    """As the window plans it, in a process that must not load torch."""
    full_size_sd1(tmp_path / "sd.safetensors")
    shapes: Shapes = {"controlnet_cond_embedding.conv_in.weight": (16, 3, 3, 3)}
    shapes |= {"down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k.weight": (640, 768)}
    write_sparse(tmp_path / "controlnet/canny.safetensors", shapes)
    code = """
import sys
from pathlib import Path
from studio.core.options import find_model
from studio.core.parts import ControlNet
from studio.manager.disk.catalog import Catalog
from studio.manager.memory.planning import Shape, forecast
root = Path(sys.argv[1])
catalog = Catalog((root,), None)
info = find_model(catalog.models(), "sd")
control = ControlNet(model="controlnet/canny", image="0" * 64)
made = forecast(info, root / "sd.safetensors", 8 << 30, Shape(512, 512), "fp16", "cpu", catalog, (control,))
assert made.plan.resident["denoise"]["controlnet"] == 2 * (16 * 27 + 640 * 768)
assert not {"torch", "diffusers", "transformers"} & sys.modules.keys()
"""
    command = [sys.executable, "-c", code, str(tmp_path)]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr

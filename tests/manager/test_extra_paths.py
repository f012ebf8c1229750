"""Folders that ComfyUI's extra_model_paths.yaml names are scanned where a person named the file, and nowhere else."""

import json
import os
from pathlib import Path

import pytest

from studio.__main__ import main
from studio.core.models import ModelInfo
from studio.manager.disk import extra_paths
from studio.manager.disk.catalog import Catalog
from studio.manager.disk.tokenizers import vocabulary_places
from tests.models.sparse_headers import CASES, write_sparse

FILE = extra_paths.FILE


def put(file: Path, case: str = "SD 1.5") -> Path:
    return write_sparse(file, CASES[case][1])


def write(file: Path, text: str) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
    return file


def listed(*roots: Path) -> dict[str, ModelInfo]:
    return {info.id: info for info in Catalog(roots, None).models()}


@pytest.fixture
def a1111(tmp_path: Path) -> Path:
    """An install of AUTOMATIC1111's as it stands."""
    folder = tmp_path / "stable-diffusion-webui"
    put(folder / "models/Stable-diffusion/v1-5.safetensors")
    put(folder / "models/Lora/style.safetensors", "kohya LoRA")
    put(folder / "models/LyCORIS/hair.safetensors", "LoHa")
    put(folder / "models/VAE/vae.safetensors", "VAE")
    put(folder / "embeddings/cat.safetensors", "textual inversion")
    put(folder / "outputs/not asked for.safetensors")
    return folder


# ComfyUI's own example, with what people change in it.
PUBLISHED = """\
#all you have to do is change the base_path to where yours is installed
a111:
    base_path: {base}

    checkpoints: models/Stable-diffusion
    configs: models/Stable-diffusion
    vae: models/VAE
    loras: |
         models/Lora
         models/LyCORIS
    upscale_models: |
                  models/ESRGAN
                  models/RealESRGAN
                  models/SwinIR
    embeddings: embeddings
    hypernetworks: models/hypernetworks
    controlnet: models/ControlNet

#config for comfyui
#comfyui:
#     base_path: path/to/comfyui/

#other_ui:
#    base_path: path/to/ui
"""
FOUND = {
    "models/Stable-diffusion/v1-5": "checkpoint",
    "models/Lora/style": "lora",
    "models/LyCORIS/hair": "lora",
    "models/VAE/vae": "vae",
    "embeddings/cat": "embedding",
}


def test_an_install_of_comfyui_shares_the_folders_of_another_program(tmp_path: Path, a1111: Path) -> None:
    comfy = tmp_path / "ComfyUI"
    put(comfy / "models/checkpoints/own.safetensors", "SDXL")
    write(comfy / FILE, PUBLISHED.format(base=f"{a1111}/"))
    kinds = {name: info.kind for name, info in listed(comfy).items()}
    assert kinds == FOUND | {"models/checkpoints/own": "checkpoint"}


def test_the_file_itself_may_be_named_whatever_it_is_called(tmp_path: Path, a1111: Path) -> None:
    file = write(tmp_path / "extra_models_config.yml", PUBLISHED.format(base="stable-diffusion-webui"))
    assert {name: info.kind for name, info in listed(file).items()} == FOUND


def test_paths_are_found_as_comfyui_finds_them(tmp_path: Path, a1111: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SD_HOME", str(a1111))
    put(tmp_path / "beside/a.safetensors")
    put(tmp_path / "far/b.safetensors")
    text = f"""\
tilde: {{base_path: ~/stable-diffusion-webui, checkpoints: models/Stable-diffusion}}
variable: {{base_path: $SD_HOME/models, loras: [Lora, LyCORIS]}}
no_base: {{checkpoints: ../beside/, vae: "{tmp_path}/far"}}
outside: {{base_path: {a1111}, checkpoints: ../far}}
empty:
nothing: {{loras: , vae: ''}}
"""
    names = listed(write(tmp_path / "conf/paths.yaml", text))
    assert set(names) == {"models/Stable-diffusion/v1-5", "Lora/style", "LyCORIS/hair", "beside/a", "far/b"}
    assert all(info.problem is None or "The file lacks" in info.problem for info in names.values())


def test_what_is_default_goes_before_the_folder_itself(tmp_path: Path) -> None:
    put(tmp_path / "root/sd.safetensors", "SD 1.5")
    put(tmp_path / "shared/sd.safetensors", "SDXL")
    text = "{}: {{base_path: ../shared, is_default: {}, checkpoints: .}}"
    for word, family in (("false", "sd1"), ("true", "sdxl")):
        write(tmp_path / "root" / FILE, text.format("comfyui", word))
        names = listed(tmp_path / "root")
        assert names["sd"].family == family
        assert len(names) == 2


def test_a_folder_within_a_root_keeps_its_ids(tmp_path: Path) -> None:
    put(tmp_path / "models/checkpoints/sd.safetensors")
    before = set(listed(tmp_path / "models"))
    write(tmp_path / "models" / FILE, "own: {base_path: checkpoints, is_default: true, checkpoints: .}")
    assert set(listed(tmp_path / "models")) == before == {"checkpoints/sd"}


def test_a_change_of_the_file_is_seen_without_a_restart(tmp_path: Path, a1111: Path) -> None:
    file = write(tmp_path / "paths.yaml", "a: {base_path: stable-diffusion-webui, loras: models/Lora}")
    catalog = Catalog((file,), tmp_path / "index.db")
    assert [info.id for info in catalog.models()] == ["models/Lora/style"]
    write(file, "a: {base_path: stable-diffusion-webui, loras: models/LyCORIS}")
    assert [info.id for info in catalog.models()] == ["models/LyCORIS/hair"]


def test_one_that_came_with_a_download_is_not_applied(tmp_path: Path, a1111: Path) -> None:
    write(tmp_path / "models/some download" / FILE, PUBLISHED.format(base=a1111))
    assert listed(tmp_path / "models") == {}
    # The folders that a named one names may hold such files too.
    write(tmp_path / "other/models" / FILE, f"more: {{base_path: {a1111}, checkpoints: models/Stable-diffusion}}")
    assert listed(write(tmp_path / "paths.yaml", "a: {base_path: other, checkpoints: models}")) == {}


NOT_UNDERSTOOD = {
    "no YAML": ("a111:\n  base_path: [", "The file is not valid YAML, at line 2."),
    "code": ("a: !!python/object/apply:os.mkdir [canary]", "The file is not valid YAML, at line 1."),
    "a list": ("- models\n- more", "The file holds no sections with folders in them."),
    "a section that is a path": ("a111: /models", "Its section 'a111' holds no folders."),
    "a base that is not there": (PUBLISHED.format(base="path/to/webui/"), "In its section 'a111', 'base_path' names a folder that does not exist."),
    "deep": ("[" * 600, "The file is not valid YAML."),
    "laughs": ("a: &a [x,x]\n" + "".join(f"{chr(98 + n)}: &{chr(98 + n)} [*{chr(97 + n)},*{chr(97 + n)}]\n" for n in range(20)), "Its section 'a' holds no folders."),
    "an impossible date": ("a: {loras: 2020-99-99}", "The file is not valid YAML."),
    "no text": ("a: \udcff", "The file is not valid YAML."),
    "an escape in a name": ('"\\e[31ma": 3', "Its section '?[31ma' holds no folders."),
}  # fmt: skip


def test_what_is_not_understood_is_one_sentence_and_the_rest_is_there(tmp_path: Path) -> None:
    put(tmp_path / "models/sd.safetensors")
    for text, sentence in NOT_UNDERSTOOD.values():
        (tmp_path / "models" / FILE).write_bytes(os.fsencode(text))
        names = listed(tmp_path / "models")
        assert names["extra_model_paths"].problem == sentence
        assert set(names) == {"extra_model_paths", "sd"}
    assert not Path("canary").exists()


def test_entries_that_name_no_folder_are_passed_over(tmp_path: Path) -> None:
    put(tmp_path / "a/sd.safetensors")
    write(
        tmp_path / "paths.yaml",
        "a: {loras: 3, vae: [[a]], unet: , checkpoints: [a, nowhere]}\nall: {base_path: /, loras: .}",
    )
    assert set(listed(tmp_path / "paths.yaml")) == {"a/sd"}


def test_what_one_section_lacks_is_no_reason_to_pass_over_the_others(tmp_path: Path, a1111: Path) -> None:
    text = f"lost: {{base_path: nowhere, loras: x}}\na111: {{base_path: {a1111}, checkpoints: models/Stable-diffusion}}"
    names = listed(write(tmp_path / "paths.yaml", text))
    assert set(names) == {"paths", "models/Stable-diffusion/v1-5"}
    assert "section 'lost'" in (names["paths"].problem or "")


def test_a_file_that_is_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    os.mkfifo(tmp_path / "models" / FILE)
    assert "not a file" in (listed(tmp_path / "models")["extra_model_paths"].problem or "")


def test_tokenizers_are_looked_for_in_those_folders_too(tmp_path: Path) -> None:
    vocabulary = write(tmp_path / "shared/models/tokenizers/clip/vocab.json", "{}")
    file = write(tmp_path / "paths.yaml", "a: {base_path: shared, checkpoints: models}")
    assert vocabulary in vocabulary_places((file,))


def test_the_command_lists_what_a_file_names(
    tmp_path: Path, a1111: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "paths.yaml", PUBLISHED.format(base="stable-diffusion-webui"))
    monkeypatch.chdir(tmp_path)
    assert main(["models", "list", "--json", "--only-models", "paths.yaml", "--outputs", "out"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {row["id"]: row["kind"] for row in rows} == FOUND

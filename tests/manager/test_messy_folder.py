"""A folder as people have them after years, looked at from outside: every file is listed, each bad one with its true reason."""

import ctypes
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from studio.__main__ import main
from studio.core.models import ModelInfo
from studio.manager.disk.catalog import Catalog
from studio.manager.disk.index import Index
from studio.manager.disk.safe_files import readable
from tests.manager.messy import FILES, count_reads, good, make_messy, unmake, zipped_pickle
from tests.models import tiny_models
from tests.models.sparse_headers import CASES, unet, write_sparse

DAC_OVERRIDE, DAC_READ_SEARCH, DROP_BOUNDING = 1, 2, 24


def obey_modes() -> None:
    """Before the program starts: let a file's mode count for root, too, where tests run as root."""
    if os.geteuid() == 0 and sys.platform == "linux":
        for capability in (DAC_OVERRIDE, DAC_READ_SEARCH):
            ctypes.CDLL(None).prctl(DROP_BOUNDING, capability, 0, 0, 0)


def studio(*arguments: str, outputs: Path, models: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "studio", *arguments, "--only-models", str(models), "--outputs", str(outputs)]
    return subprocess.run(command, capture_output=True, text=True, timeout=600, preexec_fn=obey_modes, check=False)


def rows_of(done: subprocess.CompletedProcess[str]) -> dict[str, dict[str, Any]]:
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    return {row["id"]: row for row in map(json.loads, done.stdout.split("\n")[:-1])}


@pytest.fixture(scope="module")
def messy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, dict[str, str | None]]]:
    folder = tmp_path_factory.mktemp("messy") / "models"
    yield folder, make_messy(folder)
    unmake(folder)


@pytest.fixture(scope="module")
def listed(messy: tuple[Path, dict[str, str | None]]) -> dict[str, dict[str, Any]]:
    folder, _ = messy
    done = studio("models", "list", "--json", models=folder, outputs=folder.parent / "out")
    assert str(folder.parent) not in done.stdout + done.stderr
    assert not (Path.cwd() / "canary").exists()
    return rows_of(done)


def test_every_file_is_listed_once(
    messy: tuple[Path, dict[str, str | None]], listed: dict[str, dict[str, Any]]
) -> None:
    folder, reasons = messy
    assert len(listed) == len(reasons)
    assert len({row["title"] for row in listed.values()}) > 30
    assert len(Catalog((folder,), None).models()) >= len(reasons)  # root itself sees the forbidden one


def test_a_bad_file_says_why(listed: dict[str, dict[str, Any]]) -> None:
    for path, (_, reason) in FILES.items():
        row = listed[readable(str(Path(path).with_suffix("")))] if reason else {"problem": ""}
        assert (reason or "") in row["problem"] and len(row["problem"]) < 600
        assert row["problem"].isprintable()


def test_sound_files_are_sound_whatever_they_are_called(listed: dict[str, dict[str, Any]]) -> None:
    sound = [row for row in listed.values() if not row["problem"]]
    assert len(sound) == sum(reason is None for _, reason in FILES.values())
    for row in listed.values():
        assert "\n" not in row["id"] + row["title"]
        assert "\u202e" not in row["id"] + row["title"]
        assert len(row["id"]) < 300
    assert "names/\u05e9\u05dc\u05d5\u05dd" in listed
    assert "names/\U0001f469\u200d\U0001f3a8 \u65e5\u672c\u8a9e" in listed


def test_the_second_look_is_the_same_and_reads_no_header(
    messy: tuple[Path, dict[str, str | None]], listed: dict[str, dict[str, Any]]
) -> None:
    folder, _ = messy
    done = studio("models", "list", "--json", models=folder, outputs=folder.parent / "out")
    assert rows_of(done) == listed


def here(*arguments: str, messy: Path) -> int:
    """The same command in this process."""
    return main([*arguments, "--only-models", str(messy), "--outputs", str(messy.parent / "out")])


def test_inspect_takes_any_name(messy: tuple[Path, dict[str, str | None]], capsys: pytest.CaptureFixture[str]) -> None:
    folder, _ = messy
    for name in (
        "checkpoints/pipe.safetensors", "/dev/zero", "/", ".", "x" * 5000, "checkpoints/round.safetensors", "no such",
    ):  # fmt: skip
        place = str(folder / name) if "/" in name and name[0] != "/" else name
        status = here("models", "inspect", place, "--json", messy=folder)
        out, err = capsys.readouterr()
        assert json.loads(out)["problem"] if status == 0 else status == 2 and "Unknown model" in err


def test_what_is_no_model_is_refused_before_anything_loads(
    messy: tuple[Path, dict[str, str | None]], capsys: pytest.CaptureFixture[str]
) -> None:
    folder, _ = messy
    for model, reason in {
        "ESRGAN/4x": "of kind upscaler, which makes no pictures by itself",
        "Stable-diffusion/really a lora": "is a LoRA, not a model: choose a model, then add it under LoRA. The file can stay",
        "Stable-diffusion/pickle": "can run code",
        "Stable-diffusion/unet only": "lacks its VAE",
    }.items():
        assert here("generate", "a cat", "--model", model, messy=folder) == 2
        assert reason in capsys.readouterr().err


def test_a_read_only_folder_is_listed_and_a_pickle_in_it_stays_one(tmp_path: Path) -> None:
    zipped_pickle(tmp_path / "m/model.ckpt")
    good(tmp_path / "m/good.safetensors")
    (tmp_path / "m").chmod(0o555)
    try:
        assert len(rows_of(studio("models", "list", "--json", models=tmp_path / "m", outputs=tmp_path / "out"))) == 2
        done = studio("models", "convert", "model", "--trust", models=tmp_path / "m", outputs=tmp_path / "out")
        assert done.returncode == 1
        assert done.stderr.strip() == "model.ckpt cannot be converted where it lies: its folder may not be written to."
    finally:
        (tmp_path / "m").chmod(0o755)


# ---- diffusers folders ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_models.stable_diffusion(tmp_path_factory.mktemp("whole") / "sd")


def edit(folder: Path, file: str, **changes: object) -> None:
    values = json.loads((folder / file).read_text()) | changes
    (folder / file).write_text(json.dumps(values))


def piped(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


WEIGHTS = "unet/diffusion_pytorch_model.safetensors"
FOLDERS: dict[str, tuple[Callable[[Path], object], str]] = {
    "a part outside": (lambda f: edit(f, "model_index.json", **{"../../etc": ["diffusers", "UNet2DConditionModel"]}), "not a valid name"),
    "a module of Python's": (lambda f: edit(f, "model_index.json", vae=["os", "system"]), "comes from 'os', not from diffusers"),
    "an index that is a list": (lambda f: (f / "model_index.json").write_text("[1]"), "does not hold a JSON object"),
    "an index that is a pipe": (lambda f: piped(f / "model_index.json"), "is not a file"),
    "an index without end": (lambda f: ((f / "model_index.json").unlink(), (f / "model_index.json").symlink_to("/dev/zero")), "is not a file"),
    "a deep configuration": (lambda f: (f / "unet/config.json").write_text('{"a":' * 200 + "1" + "}" * 200), "which is implausible"),
    "a configuration of half a letter": (lambda f: (f / "unet/config.json").write_text('{"a":"\\ud800"}'), "not valid JSON"),
    "absurd sizes within": (lambda f: edit(f, "text_encoder/config.json", text_config={"hidden_size": 10**9}), "hidden_size = 1,000,000,000"),
    "absurd sizes as fractions": (lambda f: edit(f, "unet/config.json", cross_attention_dim=1e9), "1,000,000,000.0, which is implausible"),
    "an absurd vocabulary": (lambda f: edit(f, "text_encoder/config.json", vocab_size=10**10), "vocab_size"),
    "a list without end": (lambda f: edit(f, "unet/config.json", block_out_channels=[8] * 9999), "block_out_channels"),
    "a prediction of nobody's": (lambda f: edit(f, "scheduler/scheduler_config.json", prediction_type="vibes"), "'vibes', which is not known"),
    "weights that are a pipe": (lambda f: piped(f / WEIGHTS), "not a file"),
    "weights that link nowhere": (lambda f: ((f / WEIGHTS).unlink(), (f / WEIGHTS).symlink_to("../../blobs/gone")), "a link to a file that is not there"),
    "weights that are a page": (lambda f: (f / WEIGHTS).write_text("<html>"), "web page"),
    "shards elsewhere": (lambda f: (f / (WEIGHTS + ".index.json")).write_text('{"weight_map": {"a": "../../../etc/passwd"}}'), "does not list the files"),
    "shards that are a list": (lambda f: (f / (WEIGHTS + ".index.json")).write_text('{"weight_map": ["a"]}'), "does not list the files"),
    "a shard missing": (lambda f: (f / (WEIGHTS + ".index.json")).write_text('{"weight_map": {"a": "model-00002-of-00002.safetensors"}}'), "is incomplete: model-00002"),
    "compiled code": (lambda f: (f / "unet/helper.so").write_bytes(b"\x7fELF"), "Python code (helper.so)"),
}  # fmt: skip


def test_a_hostile_folder_is_shown_with_its_reason_at_once(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, (spoil, _) in enumerate(FOLDERS.values()):
        shutil.copytree(whole, tmp_path / f"m/{number}")
        spoil(tmp_path / f"m/{number}")
    reads = count_reads(monkeypatch)
    models = {info.id: info for info in Catalog((tmp_path / "m",), None).models()}
    assert sum(reads) < len(FOLDERS) << 20
    for number, (_, reason) in enumerate(FOLDERS.values()):
        info = models[str(number)]
        assert info.kind == "diffusers" and reason in (info.problem or ""), info
        assert str(tmp_path) not in (info.problem or "")


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_whatever_a_folder_s_configurations_hold_the_scan_goes_on(
    whole: Path, tmp_path: Path, data: st.DataObject
) -> None:
    """One value of one file is replaced at random, beside a denoiser alone, which looks for a folder that completes it."""
    folder = tmp_path / "m/sd"
    if not folder.exists():
        shutil.copytree(whole, folder)
        write_sparse(tmp_path / "m/unet.safetensors", unet(768))
    file = data.draw(st.sampled_from(sorted(folder.rglob("*.json"))))
    before = file.read_bytes()
    values = json.loads(before)
    values[data.draw(st.sampled_from(sorted(values)) | st.text(max_size=8))] = data.draw(VALUES)
    try:
        file.write_text(json.dumps(values))
        models = {info.id: info for info in Catalog((tmp_path / "m",), None).models()}
    finally:
        file.write_bytes(before)
    assert models.keys() == {"sd", "unet"}
    for info in models.values():
        assert ModelInfo.model_validate_json(info.model_dump_json()) == info
        assert "could not be described" not in (info.problem or "")


def test_a_folder_of_a_class_that_is_a_list_completes_nothing_and_hides_nothing(whole: Path, tmp_path: Path) -> None:
    shutil.copytree(whole, tmp_path / "m/sd")
    edit(tmp_path / "m/sd", "model_index.json", _class_name=["a.py", "B"])
    write_sparse(tmp_path / "m/unet.safetensors", unet(768))
    models = {info.id: info for info in Catalog((tmp_path / "m",), None).models()}
    assert "own code" in (models["sd"].problem or "")
    assert "lacks its VAE" in (models["unet"].problem or "")


# ---- the catalog over time ------------------------------------------------------------------------------------------


def test_a_folder_within_another_is_not_listed_twice(tmp_path: Path) -> None:
    write_sparse(tmp_path / "a/b/x.safetensors", unet(768))
    (tmp_path / "a/link").symlink_to(tmp_path / "a/b")
    assert [info.id for info in Catalog((tmp_path / "a", tmp_path / "a/b"), None).models()] == ["b/x"]


def test_a_models_folder_may_be_a_model_itself(whole: Path) -> None:
    catalog = Catalog((whole,), None)
    assert [(info.id, info.problem) for info in catalog.models()] == [("sd", None)]
    assert catalog.path("sd") == whole


def test_a_model_downloaded_straight_into_the_models_folder_hides_no_other(whole: Path, tmp_path: Path) -> None:
    shutil.copytree(whole, tmp_path / "models")
    write_sparse(tmp_path / "models/checkpoints/x.safetensors", unet(768))
    shutil.copytree(whole, tmp_path / "models/folders/sd")
    assert {info.id for info in Catalog((tmp_path / "models",), None).models()} == {
        "models",
        "checkpoints/x",
        "folders/sd",
    }


def test_folders_of_links_to_each_other_are_entered_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(30):
        (tmp_path / f"m/{number}").mkdir(parents=True)
        for other in range(30):
            (tmp_path / f"m/{number}/to{other}").symlink_to(tmp_path / f"m/{other}")
    write_sparse(tmp_path / "m/7/x.safetensors", unet(768))
    entered: list[object] = []
    scan = os.scandir
    monkeypatch.setattr(os, "scandir", lambda folder: (entered.append(folder), scan(folder))[1])
    assert [info.id for info in Catalog((tmp_path / "m",), None).models()] == ["7/x"]
    assert len(entered) < 80, "once for models, and once for the tokenizer that this one lacks"


def test_a_file_deleted_between_the_walk_and_the_reading_is_one_problem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from studio.manager.disk import catalog as module

    for name in ("a", "b"):
        write_sparse(tmp_path / f"m/{name}.safetensors", unet(768))
    real = module.describe_path

    def late(root: Path, path: Path, *arguments: Any) -> Any:
        if path.stem == "a":
            path.unlink()
        return real(root, path, *arguments)

    monkeypatch.setattr(module, "describe_path", late)
    catalog = Catalog((tmp_path / "m",), None)
    assert {info.id: info.problem for info in catalog.models()}["a"] == "The file is no longer there."
    assert [info.id for info in catalog.models()] == ["b"]


def test_what_other_programs_wrote_beside_a_file_is_shown_as_words(tmp_path: Path) -> None:
    write_sparse(tmp_path / "m/cat.safetensors", CASES["kohya LoRA"][1])
    catalog = Catalog((tmp_path / "m",), None)
    assert catalog.models()[0].description == ""
    civitai = {
        "name": "v2",
        "model": {"name": "A <b>cat</b>"},
        "trainedWords": ["cat", 3, "whiskers"],
        "description": "<p>long",
    }
    (tmp_path / "m/cat.civitai.info").write_text(json.dumps(civitai))
    assert catalog.models()[0].description == "A <b>cat</b> v2\nTrigger words: cat, whiskers"
    (tmp_path / "m/cat.civitai.info").write_text("[]")
    (tmp_path / "m/cat.json").write_text(
        json.dumps({"description": "My\ncat", "sd version": "SD1", "activation text": "cat"})
    )
    assert catalog.models()[0].description == "My cat\nTrigger words: cat"
    (tmp_path / "m/cat.unnoise.json").write_text('{"description": "Mine"}')
    assert catalog.models()[0].description == "Mine"


def test_a_damaged_index_is_made_anew(tmp_path: Path) -> None:
    write_sparse(tmp_path / "m/x.safetensors", unet(768))
    index = tmp_path / "catalog.db"
    assert len(Catalog((tmp_path / "m",), index).models()) == 1
    size = index.stat().st_size
    for begin in (0, 24, 100, size // 2):
        with index.open("r+b") as file:
            file.seek(begin)
            file.write(os.urandom(max(64, size // 2 - 64)))
        assert len(Catalog((tmp_path / "m",), index).models()) == 1
    assert len(Catalog((tmp_path / "m",), index).models()) == 1


def test_words_of_another_version_in_the_index_are_read_anew(tmp_path: Path) -> None:
    file = write_sparse(tmp_path / "m/x.safetensors", unet(768))
    catalog = Catalog((tmp_path / "m",), tmp_path / "catalog.db")
    catalog.models()
    signature, _ = catalog.index.snapshot()[str(file)]
    catalog.index.put_facts([(str(file), signature, {"id": "x", "colour": "mauve"})])
    assert [info.family for info in catalog.models()] == ["sd1"]


def test_a_file_that_comes_later_is_hashed_too(tmp_path: Path) -> None:
    lora = {f"lora_unet_mid_block_attentions_0_proj_in.lora_{way}.weight": (4, 4) for way in ("down", "up")}
    an_hour_ago = (time.time() - 3600,) * 2  # of a file that was just written it is waited whether more comes
    os.utime(write_sparse(tmp_path / "m/x.safetensors", lora), an_hour_ago)
    catalog = Catalog((tmp_path / "m",), tmp_path / "catalog.db")
    catalog.start_hashing().join()
    os.utime(write_sparse(tmp_path / "m/later.safetensors", lora), an_hour_ago)
    deadline = time.monotonic() + 300
    while not all(info.sha256 for info in catalog.models()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    catalog.close()


def test_a_file_that_is_still_being_written_gets_no_hash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from studio.manager.disk import index as module

    file = tmp_path / "x.safetensors"
    file.write_bytes(b"one")
    index = Index(None)

    def growing(path: Path) -> Iterator[bytes]:
        yield b"one"
        with path.open("ab") as more:
            more.write(b"two")

    with monkeypatch.context() as patch:
        patch.setattr(module, "_chunks", growing)
        index.hash(file)
    assert index.known_hash(file) is None

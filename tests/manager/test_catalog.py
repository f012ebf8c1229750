"""The catalog lists what people have: quickly, once, each under its own id, and bad files with their true reason."""

import json
import os
import pickle
import shutil
import struct
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import pytest

from studio.core.models import ModelInfo
from studio.manager.disk import catalog as catalog_module
from studio.manager.disk.catalog import Catalog
from tests.manager.messy import count_reads
from tests.models import tiny_models
from tests.models.sparse_headers import CASES, unet, write_sparse


def only(folder: Path) -> ModelInfo:
    (info,) = Catalog((folder,), None).models()
    return info


def header_file(path: Path, table: object, data: bytes = b"") -> Path:
    text = table if isinstance(table, bytes) else json.dumps(table).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path


def entry(begin: int, end: int, shape: tuple[int, ...] = (2,), dtype: str = "F32") -> dict[str, object]:
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [begin, end]}


def truncated(path: Path) -> None:
    file = write_sparse(path, unet(768))
    os.truncate(file, file.stat().st_size - 1000)


BAD: dict[str, tuple[Callable[[Path], object], str]] = {
    "zero bytes": (lambda p: p.write_bytes(b""), "The file is empty."),
    "three bytes": (lambda p: p.write_bytes(b"abc"), "only 3 bytes long"),
    "a web page": (lambda p: p.write_bytes(b"\n<!DOCTYPE html><html>log in</html>"), "a web page saved under a model's name"),
    "an LFS pointer": (lambda p: p.write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0"), "Git LFS pointer"),
    "a pickle": (lambda p: p.write_bytes(b"\x80\x02}q\x00."), "a pickle file, which can run code"),
    "a pickle of protocol 0": (lambda p: p.write_bytes(pickle.dumps({"w": OrderedDict()}, protocol=0)), "a pickle file, which can run code"),
    "a pickle of protocol 1": (lambda p: p.write_bytes(pickle.dumps({"w": [1]}, protocol=1)), "a pickle file, which can run code"),
    "a pickled class": (lambda p: p.write_bytes(pickle.dumps(OrderedDict(a=1), protocol=0)), "a pickle file, which can run code"),
    "a list that is pickled": (lambda p: p.write_bytes(pickle.dumps([1, 2], protocol=0)), "a pickle file, which can run code"),
    "PyTorch's number": (lambda p: p.write_bytes(pickle.dumps(0x1950A86A20F9469CFC6C, protocol=0)), "a pickle file, which can run code"),
    "a zipped pickle": (lambda p: p.write_bytes(b"PK\x03\x04" + b"\0" * 64), "a pickle file, which can run code"),
    "noise": (lambda p: p.write_bytes(bytes(range(200)) * 3), "not a safetensors file"),
    "truncated": (truncated, "incomplete: expected"),
    "a header longer than the file": (lambda p: p.write_bytes(struct.pack("<Q", 9000) + b"{" * 40), "incomplete: its header alone"),
    "a huge header": (lambda p: p.write_bytes(struct.pack("<Q", 1 << 40) + b"{}"), "claims 1,099,511,627,776 bytes"),
    "no JSON": (lambda p: header_file(p, b"{nonsense}"), "not valid JSON"),
    "nested past all reason": (lambda p: header_file(p, b'{"a":' + b"[" * 100_000), "not valid JSON"),
    "too many tensors": (lambda p: header_file(p, {str(i): 0 for i in range(50_001)}), "names 50,001 tensors"),
    "overlapping offsets": (lambda p: header_file(p, {"a": entry(0, 8), "b": entry(4, 12)}, b"\0" * 12), "overlaps"),
    "a gap": (lambda p: header_file(p, {"a": entry(0, 8), "b": entry(12, 20)}, b"\0" * 20), "leaves a gap"),
    "a lying shape": (lambda p: header_file(p, {"a": entry(0, 8, (1_000_000_000,))}, b"\0" * 8), "does not fill its bytes"),
    "negative offsets": (lambda p: header_file(p, {"a": entry(-8, 0)}, b""), "wrong at 'a'"),
    "an unknown dtype": (lambda p: header_file(p, {"a": entry(0, 8, (2,), "F7")}, b"\0" * 8), "dtype F7 is not known"),
    "bytes that no header accounts for": (lambda p: header_file(p, {"a": entry(0, 8)}, b"\0" * 90), "does not account for"),
    "an entry that is no entry": (lambda p: header_file(p, {"a": [1, 2]}), "wrong at 'a'"),
}  # fmt: skip


def test_a_bad_file_is_shown_with_its_true_reason_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for case, (make, _) in BAD.items():
        make(tmp_path / f"{case}.safetensors")
    reads = count_reads(monkeypatch)
    models = {info.id: info for info in Catalog((tmp_path,), None).models()}
    assert sum(reads) < 4 << 20 and models.keys() == BAD.keys()
    for case, (_, reason) in BAD.items():
        assert models[case].kind == "unknown"
        assert reason in (models[case].problem or ""), case
        assert str(tmp_path) not in (models[case].problem or "")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_models.stable_diffusion(tmp_path_factory.mktemp("whole") / "sd")


def edit(folder: Path, file: str, **changes: object) -> None:
    values = json.loads((folder / file).read_text()) | changes
    (folder / file).write_text(json.dumps(values))


BAD_FOLDERS: dict[str, tuple[Callable[[Path], object], str]] = {
    "code in it": (lambda f: (f / "unet/evil.py").write_text("import os"), "holds Python code (evil.py)"),
    "a pipeline with own code": (lambda f: edit(f, "model_index.json", _class_name=["pipe", "Evil"]), "own code"),
    "a foreign library": (lambda f: edit(f, "model_index.json", unet=["os.path", "Evil"]), "not from diffusers"),
    "absurd sizes": (lambda f: edit(f, "unet/config.json", block_out_channels=[10**9, 32]), "1,000,000,000, which is implausible"),
    "an unknown pipeline": (lambda f: edit(f, "model_index.json", _class_name="NoSuchPipeline"), "NoSuchPipeline"),
    "a video pipeline": (lambda f: edit(f, "model_index.json", _class_name="WanPipeline"), "WanPipeline makes video"),
    "a part missing": (lambda f: shutil.rmtree(f / "vae"), "vae/ is missing"),
    "weights missing": (lambda f: (f / "unet/diffusion_pytorch_model.safetensors").unlink(), "Its unet has no weights"),
    "weights truncated": (lambda f: os.truncate(f / "unet/diffusion_pytorch_model.safetensors", 5000), "incomplete"),
    "weights pickled": (
        lambda f: (f / "unet/diffusion_pytorch_model.safetensors").rename(f / "unet/diffusion_pytorch_model.bin"),
        "only pickle files",
    ),
    "no JSON": (lambda f: (f / "unet/config.json").write_text("{"), "unet/config.json is not valid JSON"),
    "a card not understood": (lambda f: (f / "unnoise.json").write_text('{"colour": 1}'), "not understood at 'colour'"),
    "a card of wrong defaults": (lambda f: (f / "unnoise.json").write_text('{"defaults": {"steps": "many"}}'), "not valid at 'steps'"),
    "a CFG out of bounds": (lambda f: (f / "unnoise.json").write_text('{"defaults": {"guidance_scale": 99}}'), "not valid at 'guidance_scale'"),
    "a size out of bounds": (lambda f: (f / "unnoise.json").write_text('{"defaults": {"width": 100000}}'), "not valid at 'width'"),
    "a CFG that is no number": (lambda f: (f / "unnoise.json").write_text('{"defaults": {"guidance_scale": NaN}}'), "not valid at 'guidance_scale'"),
    "a prediction of nobody's": (lambda f: (f / "unnoise.json").write_text('{"prediction": "vibes"}'), "not understood at 'prediction'"),
}  # fmt: skip


def test_a_bad_folder_is_shown_with_its_true_reason(whole: Path, tmp_path: Path) -> None:
    for case, (spoil, _) in BAD_FOLDERS.items():
        spoil(shutil.copytree(whole, tmp_path / case))
    models = {info.id: info for info in Catalog((tmp_path,), None).models()}
    assert models.keys() == BAD_FOLDERS.keys()
    for case, (_, reason) in BAD_FOLDERS.items():
        assert models[case].kind == "diffusers" and reason in (models[case].problem or ""), case


def test_of_many_files_the_next_scan_reads_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    layouts = list(CASES.values())
    for number in range(200):
        _, shapes, metadata, _ = layouts[number % len(layouts)]
        write_sparse(tmp_path / f"models/{number % 7}/{number}.safetensors", shapes, metadata=metadata)
    index = tmp_path / "catalog.db"
    first = Catalog((tmp_path / "models",), index).models()
    assert len(first) == 200

    def read(*_: object) -> None:
        raise AssertionError("an unchanged file was read again")

    monkeypatch.setattr(catalog_module, "describe_path", read)
    assert Catalog((tmp_path / "models",), index).models() == first


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    index = tmp_path / "catalog.db"
    write_sparse(tmp_path / "m/x.safetensors", unet(768))
    assert Catalog((tmp_path / "m",), index).models()[0].family == "sd1"
    write_sparse(tmp_path / "m/x.safetensors", unet(1024))
    assert Catalog((tmp_path / "m",), index).models()[0].family == "sd2"


def test_two_files_of_one_name_have_two_ids(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        write_sparse(tmp_path / folder / "same.safetensors", unet(768))
        write_sparse(tmp_path / folder / "same.sft", unet(1024))
    infos = Catalog((tmp_path / "one", tmp_path / "two"), None).models()
    assert len({info.id for info in infos}) == 4
    assert {info.title for info in infos} == {"same"}


def test_layouts_of_others_are_taken_as_they_stand(tmp_path: Path) -> None:
    for place, case in {"Stable-diffusion": "SD 1.5", "Lora": "kohya LoRA", "VAE": "VAE", "ESRGAN": "ESRGAN"}.items():
        write_sparse(tmp_path / "models" / place / f"{case}.safetensors", CASES[case][1])
    kinds = {info.id: info.kind for info in Catalog((tmp_path,), None).models()}
    assert kinds == {
        "models/Stable-diffusion/SD 1.5": "checkpoint",
        "models/Lora/kohya LoRA": "lora",
        "models/VAE/VAE": "vae",
        "models/ESRGAN/ESRGAN": "upscaler",
    }


def test_the_user_s_word_goes_before_the_header_s(tmp_path: Path) -> None:
    write_sparse(tmp_path / "m/x.safetensors", unet(1024))
    (tmp_path / "m/x.unnoise.json").write_text('{"prediction": "epsilon", "variant": "", "title": "Mine"}')
    (tmp_path / "m/x.preview.png").write_bytes(b"png")
    info = only(tmp_path / "m")
    assert (info.capabilities.prediction, info.variant, info.title, info.preview) == (
        "epsilon",
        "",
        "Mine",
        "x.preview.png",
    )


def test_what_a_card_hides_is_listed_as_hidden_and_what_is_shipped_for_something_else_not_at_all(
    tmp_path: Path,
) -> None:
    write_sparse(tmp_path / "probe.safetensors", unet(768))
    (tmp_path / "bad.safetensors").write_bytes(b"")
    assert [info.hidden for info in Catalog((tmp_path,), None).models()] == [False, False]
    for name in ("probe", "bad"):
        (tmp_path / f"{name}.unnoise.json").write_text('{"hidden": true}')
    assert [info.hidden for info in Catalog((tmp_path,), None).models()] == [True, True]
    (tmp_path / "probe.unnoise.json").write_text('{"hidden": true, "shipped": true}')
    assert [info.id for info in Catalog((tmp_path,), None).models()] == ["bad"]


def test_hidden_folders_loops_and_unreadable_places_are_passed_over(tmp_path: Path) -> None:
    write_sparse(tmp_path / "m/.cache/x.safetensors", unet(768))
    write_sparse(tmp_path / "m/a/x.safetensors", unet(768))
    (tmp_path / "m/a/loop").symlink_to(tmp_path / "m")
    assert [info.id for info in Catalog((tmp_path / "m", tmp_path / "missing"), None).models()] == ["a/x"]


def test_a_file_deleted_while_listed_has_no_path(tmp_path: Path) -> None:
    file = write_sparse(tmp_path / "m/x.safetensors", unet(768))
    catalog = Catalog((tmp_path / "m",), None)
    assert catalog.path(catalog.models()[0].id) == file
    file.unlink()
    assert catalog.models() == []
    assert catalog.path("x") is None


def test_an_index_that_is_no_database_is_done_without(tmp_path: Path) -> None:
    write_sparse(tmp_path / "m/x.safetensors", unet(768))
    index = tmp_path / "catalog.db"
    index.write_bytes(b"not a database" * 100)
    assert len(Catalog((tmp_path / "m",), index).models()) == 1


def test_hashes_come_in_the_background_and_are_kept(tmp_path: Path) -> None:
    file = header_file(tmp_path / "x.safetensors", {"a": entry(0, 8)}, b"\0" * 8)
    os.utime(file, (0, 0))  # of one that was just written it is waited whether more comes
    catalog = Catalog((tmp_path,), tmp_path / ".index/catalog.db")
    assert catalog.models()[0].sha256 is None
    catalog.start_hashing().join(timeout=300)
    import hashlib

    assert catalog.models()[0].sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
    catalog.close()

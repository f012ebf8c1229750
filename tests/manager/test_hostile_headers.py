"""Whatever bytes a file holds, reading its header ends soon, in a header or in one sentence, and builds nothing large."""

import json
import os
import random
import re
import struct
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from studio.core.errors import ModelError
from studio.core.models import ModelInfo
from studio.manager.disk import header_view
from studio.manager.disk.describe import describe
from studio.manager.disk.headers import MAX_HEADER, MAX_TENSORS, read_header
from studio.manager.disk.sniff import sniff
from tests.manager.messy import count_reads
from tests.models.sparse_headers import CASES, write_sparse

RELAXED = settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def packed(table: object, data: bytes = b"") -> bytes:
    text = table if isinstance(table, bytes) else json.dumps(table).encode()
    return struct.pack("<Q", len(text)) + text + data


def read(path: Path, data: bytes) -> ModelInfo:
    """The description of a file with these bytes."""
    path.write_bytes(data)
    info = describe(path, "m")
    assert ModelInfo.model_validate_json(info.model_dump_json()) == info
    assert info.problem is None or (info.problem.isprintable() and len(info.problem) < 400)
    assert "could not be described" not in (info.problem or ""), "no rule foresaw it"
    return info


@RELAXED
@given(st.binary(max_size=400))
def test_random_bytes(tmp_path: Path, data: bytes) -> None:
    read(tmp_path / "m.safetensors", data)
    read(tmp_path / "m.safetensors", b"GGUF\x03\0\0\0" + data)
    read(tmp_path / "m.safetensors", packed(b"{" + data))


NUMBERS = st.integers() | st.integers(0, 40) | st.floats() | st.booleans() | st.none()
SHAPES = st.lists(NUMBERS, max_size=6) | st.text(max_size=4) | NUMBERS
VALUES = st.recursive(NUMBERS | st.text(max_size=8), lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4), max_leaves=8)  # fmt: skip
ENTRIES = VALUES | st.fixed_dictionaries(
    {"dtype": st.sampled_from(["F32", "F16", "U8", "F4", "X"]) | VALUES, "shape": SHAPES, "data_offsets": SHAPES}
)
NAMES = st.text(max_size=12) | st.sampled_from([name for case in CASES.values() for name in case[1]])


@RELAXED
@given(st.dictionaries(NAMES | st.just("__metadata__"), ENTRIES, max_size=5), st.integers(0, 64))
def test_random_tables(tmp_path: Path, table: dict[str, object], length: int) -> None:
    read(tmp_path / "m.safetensors", packed(table, b"\0" * length))


@RELAXED
@given(st.dictionaries(NAMES, st.lists(st.integers(0, 3), max_size=5), max_size=6))
def test_true_tables_of_random_shapes_are_read_and_judged(tmp_path: Path, shapes: dict[str, list[int]]) -> None:
    shapes.pop("__metadata__", None)
    path = write_sparse(tmp_path / "m.safetensors", {name: tuple(shape) for name, shape in shapes.items()})
    header = read_header(path)
    assert {name: list(tensor.shape) for name, tensor in header.tensors.items()} == shapes
    found = sniff(header, "m.safetensors")
    assert found.kind in ModelInfo.model_fields["kind"].annotation.__args__  # type: ignore[union-attr]


@pytest.mark.parametrize("case", sorted(CASES)[::6])
def test_a_true_file_spoilt_anywhere_is_read_or_refused(case: str, tmp_path: Path) -> None:
    chance = random.Random(case)
    file = write_sparse(tmp_path / "true.safetensors", CASES[case][1])
    with file.open("rb") as opened:
        head = bytearray(opened.read(8))
        head += opened.read(int.from_bytes(head, "little"))
    for _ in range(8):
        spoilt = bytearray(head)
        for _ in range(chance.randint(1, 4)):
            spoilt[chance.randrange(len(spoilt))] = (
                chance.choice(b'\0\xff{}[]",:019aF') if chance.random() < 0.7 else 0x80
            )
        read(tmp_path / "m.safetensors", bytes(spoilt))


HEAVY = {
    "lists without end": b'{"a":' + b"[],[" * 8_000_000,
    "numbers without end": b'{"a":[' + b"1," * 16_000_000 + b"1]}",
    "words without end": b'{"a":[' + b'"ab",' * 6_000_000 + b'""]}',
    "words in metadata, and truly few": packed({"__metadata__": {"tags": "[{,}]," * 3_000_000}})[8:],
    "lists in lists": b'{"a":' + b"[" * 33_000_000,
    "tensors without end": b"{" + b",".join(b'"%d":0' % n for n in range(2_000_000)) + b"}",
    "names that a search never leaves": packed(
        {
            f"lora_unet_{'down_blocks_' * 38}.{n:05}.lora_down.x": {"dtype": "F4", "shape": [0], "data_offsets": [0, 0]}
            for n in range(5_000)
        }
    )[8:],
    "attentions that a search never leaves": packed(
        {
            f"{'transformer_blocks.1.attn.to_k' * 8}.{n:05}.lora_down.x": {
                "dtype": "F4",
                "shape": [0],
                "data_offsets": [0, 0],
            }
            for n in range(8_000)
        }
    )[8:],
    "names without end": packed(
        {f"{'down_' * 99}{n:05}": {"dtype": "F4", "shape": [0], "data_offsets": [0, 0]} for n in range(45_000)}
    )[8:],
    "a name of megabytes": packed({"x" * 30_000_000: {"dtype": "F7", "shape": [], "data_offsets": [0, 0]}})[8:],
}


FEW = ("numbers without end", "words in metadata, and truly few", "attentions that a search never leaves")


@pytest.mark.parametrize("case", [pytest.param(name, marks=() if name in FEW else pytest.mark.sweep) for name in HEAVY])
def test_a_heavy_header_is_judged_with_bounded_work_and_memory(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = HEAVY[case][: MAX_HEADER - 8]
    file = tmp_path / "m.safetensors"
    file.write_bytes(packed(text))
    reads, searches, search = count_reads(monkeypatch), list[str](), re.search
    monkeypatch.setattr(header_view.re, "search", lambda *given: (searches.append(given[0]), search(*given))[1])
    info = describe(file, "m")
    assert sum(reads) <= MAX_HEADER + 1024
    assert len(searches) < 100
    assert info.problem or case.endswith("that a search never leaves")
    assert len(info.problem or "") < 300
    tracemalloc.start()
    describe(file, "m")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 6 * MAX_HEADER


def test_holes_of_a_terabyte_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, start in {"zeros": b"", "header": struct.pack("<Q", MAX_HEADER) + b"{", "gguf": b"GGUF\x03\0\0\0" + struct.pack("<QQ", MAX_TENSORS, 9)}.items():  # fmt: skip
        file = tmp_path / f"{name}.safetensors"
        file.write_bytes(start)
        os.truncate(file, 1 << 40)
        with monkeypatch.context() as patch, pytest.raises(ModelError):
            reads = count_reads(patch)
            read_header(file)
        assert sum(reads) <= MAX_HEADER + 1024


def test_a_header_s_length_may_begin_like_a_pickle(tmp_path: Path) -> None:
    """640 bytes of header are written 80 02 00 ..., which is also how pickles of protocol 2 begin."""
    entry = {"dtype": "F16", "shape": [4, 768], "data_offsets": [0, 6144]}
    text = json.dumps({"emb_params": entry}).encode().ljust(640)
    info = read(tmp_path / "m.safetensors", packed(text, b"\0" * 6144))
    assert (info.kind, info.family, info.problem) == ("embedding", "sd1", None)


BEGINNINGS = {
    "\N{ZERO WIDTH NO-BREAK SPACE}<!DOCTYPE html><title>Sign in</title>".encode(): "web page",
    b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>": "web page",
    b'{"error":"Invalid username or password."}' + b" " * 40: "not a safetensors file",
    b"\0" * 5000: "nothing but zeros",
    b"\x89PNG\r\n\x1a\n" + b"\0" * 60: "not a safetensors file",
    b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19." + b"\0" * 60: "in the old format",
    packed({"a": {"dtype": ["F16"], "shape": [1], "data_offsets": [0, 2]}}, b"\0\0"): "dtype ['F16'] is not known",
    packed({"a": {"dtype": "F16", "shape": [10**30], "data_offsets": [0, 2]}}, b"\0\0"): "are not whole numbers",
    packed({"a\x1b[31m\u202e\n": 3}): "wrong at 'a?[31m??'.",
    packed(b'{"a\\ud800": 3}'): "not valid JSON",
    packed({"__metadata__": {"a": 1}}): "wrong at __metadata__",
    b"GGUF" + struct.pack("<IQQ", 3, 1, 0) + struct.pack("<Q", 1) + b"x" + struct.pack("<I16QIQ", 16, *[2**63] * 16, 14, 0): "larger than any disk",
    b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + struct.pack("<Q", 1) + b"x" + struct.pack("<IIQ", 9, 8, 2**60): "lists of more than",
}  # fmt: skip


@pytest.mark.parametrize("data", BEGINNINGS)
def test_what_else_is_saved_under_a_model_s_name(data: bytes, tmp_path: Path) -> None:
    assert BEGINNINGS[data] in (read(tmp_path / "m.safetensors", data).problem or "")

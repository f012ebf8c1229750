"""Traces are kept whole, under a limit, the oldest removed first; what is read of them is checked first."""

import json
import math
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from studio.core.errors import InvalidRequest, StorageError
from studio.core.traces import NoTrace, metadata_of
from studio.jobs.traces import TraceStore
from studio.manager.disk.traces import read_trace
from tests.core.test_branch import trace


def digest(number: int) -> str:
    return f"{number:064x}"


def of_size(size: int) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        path.write_bytes(b"x" * size)

    return write


def test_the_oldest_make_room(tmp_path: Path) -> None:
    store = TraceStore(tmp_path / "traces", 100)
    for number in range(5):
        store.put(digest(number), of_size(40))
        os.utime(store.path(digest(number)), (number, number))
    kept = [number for number in range(5) if (store.folder / f"{digest(number)}.safetensors").is_file()]
    assert kept == [3, 4]
    store.put(digest(9), of_size(101))
    with pytest.raises(NoTrace):
        store.path(digest(9))
    with pytest.raises(NoTrace):
        store.path("../../secret")
    assert len(list(store.folder.iterdir())) == 2


def test_what_could_not_be_written_leaves_nothing(tmp_path: Path) -> None:
    def full(path: Path) -> None:
        path.write_bytes(b"part")
        raise OSError(28, "No space left on device")

    store = TraceStore(tmp_path, 100)
    with pytest.raises(StorageError, match="disk is full"):
        store.put(digest(1), full)
    assert not list(tmp_path.iterdir())


def file_of(tensors: dict[str, tuple[str, list[int]]], metadata: Any) -> bytes:
    sizes, header, end = {"F32": 4, "F16": 2, "I32": 4}, {"__metadata__": metadata}, 0
    for name, (dtype, shape) in tensors.items():
        start, end = end, end + sizes[dtype] * math.prod(shape)
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + bytes(end)


def test_a_damaged_trace_is_refused_in_a_sentence(tmp_path: Path) -> None:
    curves = {name: ("F32", [9]) for name in ("timestep", "sigma", "scale", "call_timestep")}
    whole = {"raw": ("F32", [18, 4, 2, 2]), "guided": ("F32", [9, 4, 2, 2]), "x_t": ("F16", [9, 4, 2, 2])}
    whole |= curves | {"first_call": ("I32", [9])}
    metadata, path = metadata_of(trace()), tmp_path / "t.safetensors"
    path.write_bytes(good := file_of(whole, metadata))
    info, header = read_trace(path)
    assert info == trace() and header.size == len(good)
    for data, sentence in (
        (good[:-8], "incomplete"),
        (good[:20], "incomplete"),
        (struct.pack("<Q", 1 << 40) + good[8:], "implausible"),
        (file_of(whole | {"raw": ("F32", [17, 4, 2, 2])}, metadata), "its tensor raw"),
        (file_of(whole | {"sigma": ("F32", [8])}, metadata), "its tensor sigma"),
        (file_of({name: each for name, each in whole.items() if name != "guided"}, metadata), "its tensor guided"),
        (file_of(whole, metadata | {"version": "7"}), "version 7"),
        (file_of(whole, {"x": "y"}), "not a trace"),
        (b"", "empty"),
    ):
        path.write_bytes(data)
        with pytest.raises(InvalidRequest, match=sentence):
            read_trace(path)

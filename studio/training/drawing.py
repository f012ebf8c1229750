"""Work done by number ahead of when it is needed, in worker processes: drawing pictures keeps many cores busy.

What is made depends on its number alone, so it is the same with any number of workers. Does not load torch, so that a worker starts in
a second.
"""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import cache
from typing import Any, Generic, TypeVar

import numpy as np

from studio.core.errors import StudioError
from studio.training.config import DataConfig
from studio.training.datasets import datasets

BLOCK = 32  # pictures drawn by one call
T = TypeVar("T")


class Ahead(Generic[T]):
    """`make(0)`, `make(1)`, ...: made here where `workers` is 0, else that many processes keep two each ahead.

    `make` must be picklable. Numbers may be skipped; those before the last one asked for are forgotten.
    """

    def __init__(self, make: Callable[[int], T], workers: int):
        self._make, self._depth = make, 2 * workers
        context = multiprocessing.get_context("spawn")  # a fork of a process that uses CUDA cannot use anything
        self._pool = ProcessPoolExecutor(workers, context, initializer=_begin_worker) if workers else None
        self._waiting: dict[int, Future[T]] = {}

    def __call__(self, number: int, end: int | None = None) -> T:
        """`make(number)`; nothing from `end` on is made ahead. Raises StudioError where a worker died."""
        if self._pool is None:
            return self._make(number)
        last = number + self._depth + 1
        for k in range(number, last if end is None else max(number + 1, min(last, end))):
            if k not in self._waiting:
                self._waiting[k] = self._pool.submit(self._make, k)
        for k in [k for k in self._waiting if k < number]:
            self._waiting.pop(k).cancel()
        try:
            return self._waiting.pop(number).result()
        except BrokenProcessPool:
            raise StudioError("A process that draws pictures has ended; resume the run, with fewer workers.") from None

    def close(self) -> None:
        """End the workers; what they were making is dropped."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)


def _begin_worker() -> None:
    import cv2

    cv2.setNumThreads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C is for the trainer, which ends the workers
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A parent that was killed cannot end its workers."""
    if (parent := multiprocessing.parent_process()) is not None:
        parent.join()
        os._exit(1)


@cache
def dataset(data: DataConfig, split: str = "train") -> Any:
    """A data set by its recipe, one a process."""
    return datasets.get(data.name)(**data.options(), split=split)


@dataclass(frozen=True)
class Pictures:
    """Block k is pictures k * BLOCK ... with `captions` captions each (fewer where the data set has no retellings)."""

    data: DataConfig
    captions: int = 1
    split: str = "train"

    def __call__(self, number: int) -> tuple[np.ndarray, list[list[str]]]:
        """[BLOCK, h, w, 3] uint8 and the captions of each."""
        source = dataset(self.data, self.split)
        retell = getattr(source, "retellings", None) if self.captions > 1 else None
        rows = range(number * BLOCK, (number + 1) * BLOCK)
        examples = [source[i] for i in rows]
        more = [retell(i, self.captions - 1) if retell else [] for i in rows]
        return np.stack([e.image for e in examples]), [
            [e.caption, *others] for e, others in zip(examples, more, strict=True)
        ]


def first_pictures(data: DataConfig, count: int, workers: int, split: str = "train") -> tuple[np.ndarray, list[str]]:
    """The first `count` pictures of a data set and a caption of each."""
    blocks = -(-count // BLOCK)
    ahead = Ahead(Pictures(data, split=split), min(workers, blocks))
    try:
        made: Iterable[tuple[np.ndarray, list[list[str]]]] = [ahead(k, blocks) for k in range(blocks)]
    finally:
        ahead.close()
    pictures = np.concatenate([block for block, _ in made])[:count]
    return pictures, [texts[0] for _, captions in made for texts in captions][:count]

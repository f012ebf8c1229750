"""Makes a training process keep the memory that every step uses again.

glibc returns large blocks to the kernel and gets new ones, page by page, at each step: a step of the tiny autoencoder took
0.26 s that way, and 0.20 s with this. Other systems' allocators are left alone.
"""

import ctypes
import sys

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4  # <malloc.h>


def keep_memory() -> bool:
    """Keep large blocks in the heap and never trim it. False if the C library does not support that."""
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # another C library than glibc
        return False
    return all([mallopt(_MMAP_MAX, 0), mallopt(_TRIM_THRESHOLD, 2**31 - 1), mallopt(_TOP_PAD, 64 << 20)])

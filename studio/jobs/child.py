"""The start of a worker process: `python -m studio.jobs.child MODULE:FUNCTION`.

Redirects the standard streams, arranges that the process dies with its host, then calls the function with its end of the channel.
"""

import ctypes
import importlib
import os
import signal
import sys

from studio.jobs.channel import own_standard_streams

_PR_SET_PDEATHSIG = 1


def main(entry: str, host_pid: int) -> None:
    die_with(host_pid)
    channel = own_standard_streams()
    module, _, function = entry.partition(":")
    getattr(importlib.import_module(module), function)(channel)


def die_with(host_pid: int) -> None:
    """Have Linux kill this process when its host dies in any way; on other systems the channel's end ends it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C is for the host, which then ends its worker
    if sys.platform != "linux":
        return
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != host_pid:  # it died before we asked
        os._exit(1)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))

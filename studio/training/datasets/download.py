"""Downloads one of torchvision's data sets and writes its pictures as one array file: `download NAME 0|1 FILE.npz`.

A process of its own (`published` starts it); the only module of data sets that loads torch.
"""

import os
import socket
import sys
from pathlib import Path

import numpy as np


def main(name: str, train: bool, path: Path) -> None:
    from studio import compat

    compat.prepare()
    import torchvision

    socket.setdefaulttimeout(30)
    path.parent.mkdir(parents=True, exist_ok=True)
    data = getattr(torchvision.datasets, name)(str(path.parent), train=train, download=True)
    part = path.with_suffix(f".{os.getpid()}.part")
    with part.open("wb") as file:
        np.savez(file, images=np.asarray(data.data), labels=np.asarray(data.targets))
    part.replace(path)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2] == "1", Path(sys.argv[3]))

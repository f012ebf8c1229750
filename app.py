"""Opens the studio: flags -> Settings -> serve. The same as `python -m studio serve`."""

import sys

from studio.__main__ import main

if __name__ == "__main__":
    sys.exit(main(["serve", *sys.argv[1:]]))

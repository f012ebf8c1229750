"""An argument parser whose complaints are the studio's own errors: one sentence, no usage dump. Knows no command."""

import argparse
from typing import Any, NoReturn

from studio.core.errors import InvalidRequest


class Parser(argparse.ArgumentParser):
    """Raises InvalidRequest where argparse would print its usage and end the process."""

    def __init__(self, prog: str, description: str, **options: Any):
        super().__init__(prog=prog, description=description, allow_abbrev=False, **options)

    def error(self, message: str) -> NoReturn:
        raise InvalidRequest(f"{message[:1].upper()}{message[1:]}; see {self.prog} --help.")

"""The captions of a person's pictures: a .txt of the same name beside the picture, else its row in a .csv, else its folder.

Does not depend on the pictures. A line of a .txt is one caption; several are alternatives.
"""

import csv
import re
from collections.abc import Callable, Iterable
from pathlib import PurePosixPath

from studio.core.errors import InvalidRequest

NAME_COLUMNS = ("file_name", "filename", "file", "image", "path", "name")
TEXT_COLUMNS = ("caption", "text", "prompt", "description", "label", "class")
LONGEST = 2000  # characters of a caption
_REPEATED = re.compile(r"(\d{1,3})_(.+)")  # kohya's folders: "10_a red bicycle" is that class, ten times as often

Bad = list[tuple[str, str]]


class Captions:
    """Read from the text files among `names`; those that cannot be read are added to `bad`."""

    def __init__(self, names: Iterable[str], read: Callable[[str], bytes], bad: Bad):
        self._texts: dict[str, str] = {}  # path without suffix -> text
        self._rows: dict[str, str] = {}  # path -> caption
        for name in names:
            suffix = PurePosixPath(name).suffix.lower()
            if suffix not in (".txt", ".csv"):
                continue
            try:
                text = read(name).decode("utf-8-sig")
            except InvalidRequest as error:
                bad.append((name, str(error)))
            except UnicodeDecodeError:
                bad.append((name, "This text is not UTF-8."))
            else:
                if suffix == ".txt":
                    self._texts[str(PurePosixPath(name).with_suffix(""))] = text
                else:
                    self._rows |= _table(text, PurePosixPath(name).parent)

    def of(self, name: str) -> tuple[str, ...]:
        """The captions of the picture; none where nothing says what it shows."""
        text = self._texts.get(str(PurePosixPath(name).with_suffix("")), self._rows.get(name, class_of(name)[0]))
        return tuple(line.strip()[:LONGEST] for line in text.splitlines() if line.strip())


def class_of(name: str) -> tuple[str, int]:
    """The folder that a picture lies in, as words, and how often the picture counts."""
    folder = PurePosixPath(name).parent.name
    if match := _REPEATED.fullmatch(folder):
        return match[2].replace("_", " ").strip(), max(1, int(match[1]))
    return folder.replace("_", " ").strip(), 1


def _table(text: str, folder: PurePosixPath) -> dict[str, str]:
    """Paths of pictures to captions, by the titles of the columns, or the first two where there are none."""
    first = text.partition("\n")[0]
    delimiter = max(",;\t", key=first.count)
    try:
        rows = [row for row in csv.reader(text.splitlines(), delimiter=delimiter) if len(row) > 1]
    except csv.Error:
        return {}
    if not rows:
        return {}
    titles = [cell.strip().lower() for cell in rows[0]]
    at = next((titles.index(title) for title in NAME_COLUMNS if title in titles), None)
    words = next((titles.index(title) for title in TEXT_COLUMNS if title in titles), None)
    if at is None or words is None:
        at, words = 0, 1
    else:
        rows = rows[1:]
    return {str(folder / row[at].strip()): row[words] for row in rows if len(row) > max(at, words)}

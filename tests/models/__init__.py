"""Models for tests: tiny random ones on disk, single files, the headers of published files. No test is in here."""

from studio import compat

compat.prepare()  # before any module here imports torch's libraries

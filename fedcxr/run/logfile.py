"""The one log file of a run."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Iterator
from pathlib import Path

from fedcxr.terminal.failures import LineFormatter

FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


class _LogFile(logging.FileHandler):
    """A log file whose failures do not end a run: a full disk ends it where it must write a file."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 (logging's own name)
        if not isinstance(sys.exc_info()[1], OSError):
            super().handleError(record)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            super().close()


@contextlib.contextmanager
def log_to(path: Path) -> Iterator[None]:
    """Append everything that fedcxr, clients and server log to one file while the context lasts."""
    handler = _LogFile(path, encoding="utf-8")
    handler.setFormatter(LineFormatter(FORMAT))
    loggers = [logging.getLogger(name) for name in ("fedcxr", "clients", "server")]
    for logger in loggers:
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
        logger.propagate = False  # the console belongs to the progress display
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeHandler(handler)
            logger.propagate = True
        handler.close()

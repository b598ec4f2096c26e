"""The log files of a run: the coordinator's, and each hospital's own."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Iterator
from logging.handlers import RotatingFileHandler
from pathlib import Path

from fedcxr import files
from fedcxr.terminal.failures import LineFormatter

FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


class _LogFile(RotatingFileHandler):
    """A log file whose failures do not end a run: a full disk ends it where it must write a file."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 (logging's own name)
        if not isinstance(sys.exc_info()[1], OSError):
            super().handleError(record)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            super().close()


@contextlib.contextmanager
def log_to(path: Path, *, bound: int = 0) -> Iterator[None]:
    """Append everything that fedcxr, clients and server log to one file, and to it alone, for a while.

    In a simulation a hospital answers in the coordinator's process: what is logged meanwhile is the
    hospital's own, and goes into no log around it.

    Args:
        path: of the file; with a bound, one that is made here can be read by its owner only.
        bound: bytes of the file; a full one is kept as ``<name>.1``, in the place of the one before it.
            0: without a bound.

    Raises:
        UnwritableError: it cannot be opened.
    """
    try:
        if bound:
            path.touch(mode=0o600)
        # The name of a file, and so a line, need not be text.
        handler = _LogFile(path, maxBytes=bound, backupCount=1, encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise files.unwritable(path, error) from None
    handler.setFormatter(LineFormatter(FORMAT))
    loggers = [logging.getLogger(name) for name in ("fedcxr", "clients", "server")]
    around = [(logger.handlers, logger.propagate) for logger in loggers]
    for logger in loggers:
        logger.handlers = [handler]
        logger.setLevel(logging.INFO)
        logger.propagate = False  # the console belongs to the progress display
    try:
        yield
    finally:
        for logger, (handlers, propagate) in zip(loggers, around, strict=True):
            logger.handlers, logger.propagate = handlers, propagate
        handler.close()

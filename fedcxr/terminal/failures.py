"""What Python itself prints, by the same rules: exceptions that nobody caught, and logs without a file."""

from __future__ import annotations

import logging
import sys
import traceback
import warnings
from types import TracebackType

from fedcxr.terminal.text import lines_of, one_line, say


class LineFormatter(logging.Formatter):
    """A record's message is one line; only a traceback of ours follows on more."""

    def format(self, record: logging.LogRecord) -> str:
        record.message = record.getMessage()
        if self.usesTime():
            record.asctime = self.formatTime(record, self.datefmt)
        error = record.exc_info[1] if record.exc_info else None
        return "\n".join([one_line(self.formatMessage(record)), *(_told(error) if error else ())])


def guard() -> None:
    """Have this process show warnings, logs without a file, and exceptions that nobody catches so."""
    sys.excepthook = _show
    warnings.formatwarning = _warning
    if logging.lastResort is not None:
        logging.lastResort.setFormatter(LineFormatter())


def _warning(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
) -> str:
    del line
    return one_line(f"{filename}:{lineno}: {category.__name__}: {message}") + "\n"


def _show(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    del kind, trace  # both are the exception's own
    for line in _told(error):
        for each in line.split("\n"):
            say(each, err=True)


def _told(error: BaseException) -> list[str]:
    """A traceback: a frame has lines of ours, and the exception's own words are one line."""
    entries = traceback.format_exception(error)
    return [lines_of(e.rstrip("\n")) if e.startswith("  ") else one_line(e.strip("\n")) for e in entries]

"""A process that does what hospitals are asked, one message after the other; :mod:`server.grids.workers`.

It is started with the descriptors of its channel and of a pipe that stays open as long as its parent lives,
and the reference of the ClientApp.
"""

from __future__ import annotations

import importlib
import logging
import os
import socket
import sys
import threading

from flwr.app import Context, Message
from flwr.clientapp import ClientApp

from server.grids.channel import Channel

_MODELS = 1  # the round's base, which comes with every message


def main() -> None:
    """Answer until the parent closes the channel."""
    threading.Thread(target=_watch, args=(int(sys.argv[2]),), daemon=True).start()
    logging.getLogger().addHandler(logging.NullHandler())  # a hospital's words are for its own log
    channel = Channel(socket.socket(fileno=int(sys.argv[1])), kept=_MODELS)
    module, _, name = sys.argv[3].partition(":")
    app: ClientApp = getattr(importlib.import_module(module), name)
    channel.send(None)  # ready
    while True:
        try:
            message, context = channel.receive()
        except EOFError:
            return
        channel.send(_answer(app, message, context))
        del message


def _answer(app: ClientApp, message: Message, context: Context) -> Message | None:
    """The reply; None where the app raised."""
    try:
        return app(message, context)
    except Exception:
        return None


def _watch(life: int) -> None:
    """End with the parent: what a hospital wrote afterwards could meet a run that goes on already."""
    os.read(life, 1)
    os._exit(1)


if __name__ == "__main__":
    main()

"""Apps whose processes are killed, or whose server fails, where Ray must be able to import them by name."""

import os
import signal
from pathlib import Path
from typing import NoReturn

from crash_points import STEP, CrashPoint, Trap
from flwr.app import Context, Message
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp

from clients.app import app, hospital_app
from clients.hospital import Hospital
from fedcxr.errors import ContractRejectedError

PATIENT = "Mustermann"


class Failing(Hospital):
    """Fails in training, as a library that is not fedcxr's does, in words that name a patient."""

    def _train_from(self, *arguments: object) -> NoReturn:  # type: ignore[override]
        raise KeyError(f"/archive/{PATIENT}/1.dcm")


failing = hospital_app(Failing)


def register(message: Message, context: Context) -> Message:
    """As every hospital does."""
    return app(message, context)


hospital = ClientApp()
hospital.query("register")(register)


@hospital.train()
def train_or_die(message: Message, context: Context) -> Message:
    """Killed once a round in the first three, at every try in the fourth, where the third one fails.

    The three are killed one after the other: before training, in it, and when the update was signed but not
    sent.
    """
    index, round_number = int(str(context.node_config["partition-id"])), int(message.metadata.group_id)
    mark = Path(str(context.run_config["run"])) / f"died-{round_number}"
    if (index, round_number) == (1, 4):
        os.kill(os.getpid(), signal.SIGKILL)
    if (index, round_number) == (2, 4):
        return failing(message, context)
    if index + 1 != round_number or mark.exists():
        return app(message, context)
    mark.touch()
    if round_number == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    if round_number == 2:
        Trap(CrashPoint("mid-training", STEP, "after")).set()
    reply = app(message, context)
    os.kill(os.getpid(), signal.SIGKILL)
    return reply


killed_server = ServerApp()


@killed_server.main()
def die(grid: Grid, context: Context) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


failing_server = ServerApp()


@failing_server.main()
def fail(grid: Grid, context: Context) -> None:
    raise ContractRejectedError("WrongBase", (b"\x01" * 32, 7))

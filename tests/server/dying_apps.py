"""Apps whose processes are killed, or whose server fails, where Ray must be able to import them by name."""

import os
import signal
from pathlib import Path

from crash_points import STEP, CrashPoint, Trap
from flwr.app import Context, Message
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp

from clients.app import app
from fedcxr.errors import ContractRejectedError


def register(message: Message, context: Context) -> Message:
    """As every hospital does."""
    return app(message, context)


hospital = ClientApp()
hospital.query("register")(register)


@hospital.train()
def train_or_die(message: Message, context: Context) -> Message:
    """Killed in training: the first hospital once in round 2, the second at every try in round 3."""
    index, round_number = context.node_config["partition-id"], message.metadata.group_id
    died = Path(str(context.run_config["run"])) / "died"
    if (index, round_number) == (0, "2") and not died.exists():
        died.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    if (index, round_number) == (1, "3"):
        os.kill(os.getpid(), signal.SIGKILL)
    return app(message, context)


survivor = ClientApp()
survivor.query("register")(register)


@survivor.train()
def train_at_the_second_try(message: Message, context: Context) -> Message:
    """Killed once a round: before training, in it, and when the update was signed but not sent."""
    index, round_number = context.node_config["partition-id"], message.metadata.group_id
    mark = Path(str(context.run_config["run"])) / f"died-{round_number}"
    if f"{int(index) + 1}" != round_number or mark.exists():
        return app(message, context)
    mark.touch()
    if round_number == "1":
        os.kill(os.getpid(), signal.SIGKILL)
    if round_number == "2":
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

"""The Flower ClientApp of one hospital; the same under every grid.

Which hospital it is comes from the node: ``hospital`` in its node configuration is the directory that holds
``hospital.toml``. In a simulation the run's directory and the partition's number say the same.
"""

from __future__ import annotations

import logging
from pathlib import Path

from flwr.app import Context, Message
from flwr.clientapp import ClientApp

from clients.disk import HospitalDisk
from clients.hospital import Hospital
from fedcxr.errors import ConfigError, DataError, FedcxrError
from fedcxr.messages import FailureReply, Record, RegisterRequest, TrainRequest, ValidateRequest, kind_of
from fedcxr.store.run_directory import RunDirectory
from fedcxr.terminal import one_line

logger = logging.getLogger(__name__)


def hospital_app(kind: type[Hospital] = Hospital) -> ClientApp:
    """The app of a hospital that does what ``kind`` says."""
    made = ClientApp()

    @made.query("register")
    def register(message: Message, context: Context) -> Message:
        """Join the federation that the server describes."""
        return _answer(kind, message, context)

    @made.train()
    def train(message: Message, context: Context) -> Message:
        """Train in one round."""
        return _answer(kind, message, context)

    @made.query("validate")
    def validate(message: Message, context: Context) -> Message:
        """Judge another hospital's update."""
        return _answer(kind, message, context)

    return made


def _answer(kind: type[Hospital], message: Message, context: Context) -> Message:
    """Errors that fedcxr knows travel as a reply of their own; Flower would cut them to a line."""
    try:
        hospital = kind(HospitalDisk(_directory(context)))
        reply: Record
        if message.metadata.message_type == "train":
            reply = hospital.train(TrainRequest.from_records(message.content))
        elif kind_of(message.content) == ValidateRequest.kind:
            reply = hospital.validate(ValidateRequest.from_records(message.content))
        else:
            reply = hospital.register(RegisterRequest.from_records(message.content))
    except FedcxrError as error:
        logger.error("%s: %s", type(error).__name__, one_line(str(error)))
        # The data's errors name files, and with them patients: those stay here.
        said = (
            f"{error.help} The hospital's own log says where." if isinstance(error, DataError) else str(error)
        )
        reply = FailureReply(error=type(error).__name__, message=said)
    return Message(reply.to_records(), reply_to=message)


def _directory(context: Context) -> Path:
    if directory := context.node_config.get("hospital"):
        return Path(str(directory))
    run, index = context.run_config.get("run"), context.node_config.get("partition-id")
    if not run or index is None:
        raise ConfigError(
            "this node does not say which hospital it is: start it with "
            "--node-config 'hospital=\"DIRECTORY\"', the directory that holds hospital.toml."
        )
    return RunDirectory(Path(str(run))).hospital(int(index))


app = hospital_app()

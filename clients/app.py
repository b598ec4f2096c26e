"""The Flower ClientApp of one hospital; the same under every grid.

Which hospital it is comes from the node: ``hospital`` in its node configuration is the directory that holds
``hospital.toml``. In a simulation the run's directory and the partition's number say the same.
"""

from __future__ import annotations

import contextlib
import logging
from pathlib import Path

from flwr.app import Context, Message
from flwr.clientapp import ClientApp

from clients.disk import HospitalDisk
from clients.hospital import Hospital
from fedcxr.errors import ConfigError, FedcxrError
from fedcxr.messages import (
    FailureReply,
    Record,
    RegisterRequest,
    TrainRequest,
    UnmaskRequest,
    ValidateRequest,
    kind_of,
)
from fedcxr.run.logfile import log_to
from fedcxr.store.run_directory import RunDirectory

logger = logging.getLogger(__name__)
_LOG_BOUND = 1 << 20  # bytes; twice as many with the log before it


class HospitalApp(ClientApp):
    """The app of a hospital that does what ``kind`` says.

    It answers every message, and nothing escapes it: Flower would send the coordinator the text of whatever
    does. Of an error only the code leaves; its words are in ``hospital.log``.
    """

    def __init__(self, kind: type[Hospital]) -> None:
        super().__init__()
        self._kind = kind

    def __call__(self, message: Message, context: Context) -> Message:
        """Do what the coordinator asks."""
        with contextlib.ExitStack() as logs:
            try:
                directory = _directory(context)
                if directory.is_dir():  # else what is wrong is for the log of this process
                    logs.enter_context(log_to(directory / "hospital.log", bound=_LOG_BOUND))
                answer = self._answer(directory, message).to_records()
            except (Exception, SystemExit) as error:
                answer = _failure(error, message).to_records()
        return Message(answer, reply_to=message)

    def _answer(self, directory: Path, message: Message) -> Record:
        hospital = self._kind(HospitalDisk(directory))
        if message.metadata.message_type == "train":
            return hospital.train(TrainRequest.from_records(message.content))
        if kind_of(message.content) == ValidateRequest.kind:
            return hospital.validate(ValidateRequest.from_records(message.content))
        if kind_of(message.content) == UnmaskRequest.kind:
            return hospital.unmask(UnmaskRequest.from_records(message.content))
        return hospital.register(RegisterRequest.from_records(message.content))


def hospital_app(kind: type[Hospital] = Hospital) -> ClientApp:
    """The app of a hospital that does what ``kind`` says."""
    return HospitalApp(kind)


def _failure(error: BaseException, message: Message) -> FailureReply:
    """The code of an error, whose words go into the log."""
    asked, round_number = message.metadata.message_type, message.metadata.group_id
    known = isinstance(error, FedcxrError)
    said = f"{type(error).__name__}: {error}" if known else "an error that is not fedcxr's"
    logger.error(
        "asked to %.40r, round %.20r: %s", asked, round_number, said, exc_info=None if known else error
    )
    return FailureReply(code=error.exit_code if isinstance(error, FedcxrError) else FedcxrError.exit_code)


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

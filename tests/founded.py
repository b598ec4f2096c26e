"""A founded federation with an open round: its contract on a chain behind JSON-RPC, and hospitals' disks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from clients.disk import HospitalDisk
from clients.hospital import Hospital
from fedcxr import files
from fedcxr.chain.anvil.chain import AnvilChain
from fedcxr.chain.embedded.chain import EmbeddedChain
from fedcxr.chain.rpc_server import RpcServer
from fedcxr.config import Config
from fedcxr.ledger.contract import FederationLedger
from fedcxr.ledger.signing import Registration
from fedcxr.messages import RegisterReply, RegisterRequest, TrainRequest
from fedcxr.privacy.keys import EnvelopePublicKey
from fedcxr.run.founding import (
    auditor_identity,
    coordinator_identity,
    federation_id,
    open_ledger,
    prepare_genesis,
)
from fedcxr.run.preparation import open_or_create, prepare_simulation
from fedcxr.store.run_directory import RunDirectory
from fedcxr.update import fixed_point, model_file
from fedcxr.update.layout import Layout, Vector
from fedcxr.update.round_config import RoundConfig


@dataclass
class Founded:
    """Hospitals 0 and 1 are registered, and only hospital 0 is in the open round."""

    run: RunDirectory
    config: Config
    ledger: FederationLedger
    layout: Layout
    base: Vector
    register: RegisterRequest
    train: TrainRequest


@contextmanager
def found(config: Config, out: Path, on: EmbeddedChain | AnvilChain | None = None) -> Iterator[Founded]:
    """Found a federation at ``out``, and keep its chain, by default its own, open while the context lasts."""
    run = open_or_create(out, config)
    prepare_simulation(run, lambda what, done, total: None)
    layout = prepare_genesis(run)
    with (
        closing(on or EmbeddedChain(run.chain_path, chain_id=config.ledger.chain_id)) as chain,
        closing(RpcServer(chain, "127.0.0.1", 0)) as front,
    ):
        files.write(run.endpoint_path, front.url + "\n")
        ledger = open_ledger(run, layout, chain)
        assert isinstance(ledger, FederationLedger)
        auditor = auditor_identity(run)
        assert auditor is not None
        register = RegisterRequest(
            config=config.canonical_json(),
            layout=layout.to_json(),
            federation=federation_id(config),
            chain_id=config.ledger.chain_id,
            contract=ledger.address,
            coordinator_key=coordinator_identity(run).envelope_key.public.data,
            auditor_key=auditor.envelope_key.public.data,
            challenge=b"?" * 32,
        )
        joined = [admit(Hospital(HospitalDisk(run.hospital(i))), register, ledger) for i in (0, 1)]
        base = model_file.read(run.model(0), layout)
        round_config = RoundConfig(
            round=1,
            config=config.digest().hex(),
            layout=layout.digest.hex(),
            partition=run.partition_digest(),
            exponents=fixed_point.choose_exponents(layout, base, None),
        )
        view = ledger.open_round(
            1,
            base=model_file.vector_digest(base),
            config_digest=round_config.digest,
            participants=[joined[0].hospital],
            deadline_seconds=config.ledger.deadline,
        )
        train = TrainRequest(
            round=1,
            attempt=view.attempt,
            round_config=round_config.to_bytes(),
            weight=1,
            bulk=base.astype("<f4").tobytes(),
        )
        yield Founded(run, config, ledger, layout, base, register, train)


def admit(hospital: Hospital, request: RegisterRequest, ledger: FederationLedger) -> RegisterReply:
    """Register a hospital as the server does."""
    reply = hospital.register(request)
    key_digest = EnvelopePublicKey(reply.envelope_key).digest
    registration = Registration(request.federation, reply.hospital, reply.roles, reply.samples, key_digest)
    ledger.register(registration, reply.envelope_key, reply.signature)
    return reply


def moved(base: Vector) -> bytes:
    """Another model than ``base``, by one bit of one value."""
    other = base.copy()
    other[3] = np.nextafter(other[3], np.float32(np.inf))
    return other.astype("<f4").tobytes()

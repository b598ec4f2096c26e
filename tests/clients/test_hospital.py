"""A hospital takes nothing on the server's word: each lie has an error, and a crafted model a refusal."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from founded import Founded, moved

from clients.hospital import Hospital
from fedcxr.aggregation.weighted_sum import WeightedSum
from fedcxr.errors import ChainError, ConfigError, FederationError, LedgerError, StoreError
from fedcxr.ledger.signing import Refusal, Registration, Submission, recover
from fedcxr.ledger.views import FederationViews
from fedcxr.messages import RefusalReply, TrainRequest, UpdateReply
from fedcxr.privacy.envelope import PLAIN
from fedcxr.privacy.keys import EnvelopePrivateKey, EnvelopePublicKey
from fedcxr.privacy.protection import UpdateContext
from fedcxr.privacy.sealed import SealedReader
from fedcxr.store.identity import Identity
from fedcxr.update import merkle
from fedcxr.update.round_config import RoundConfig


def set_settings(hospital: Hospital, **changes: str) -> Hospital:
    """The hospital after its owner wrote other settings."""
    settings = hospital.disk.settings.model_copy(update=changes)
    (hospital.disk.root / "hospital.toml").write_text(settings.to_toml())
    return Hospital(type(hospital.disk)(hospital.disk.root))


def journal(hospital: Hospital) -> list[dict[str, object]]:
    (path,) = hospital.disk.root.glob("0x*/journal.jsonl")
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_registration_is_signed_by_the_address_that_it_names(founded: Founded, newcomer: Hospital) -> None:
    reply = newcomer.register(founded.register)
    struct = Registration(
        founded.register.federation,
        reply.hospital,
        reply.roles,
        reply.samples,
        EnvelopePublicKey(reply.envelope_key).digest,
    )
    assert recover(struct, reply.signature, founded.ledger.domain) == reply.hospital
    assert reply.samples > 0
    assert newcomer.register(founded.register).hospital == reply.hospital


def test_what_the_server_says_must_be_what_the_contract_holds(founded: Founded, newcomer: Hospital) -> None:
    stranger = EnvelopePrivateKey.generate("MLKEM768_X25519").public.data
    other = founded.config.with_changes({"training.learning_rate": 0.5})
    layout = json.loads(founded.register.layout)
    layout["tensors"] = layout["tensors"][:-1]
    for changes, what in (
        ({"federation": bytes(32)}, "federation"),
        ({"config": other.canonical_json()}, "configuration"),
        ({"layout": json.dumps(layout)}, "layout"),
        ({"coordinator_key": stranger}, "coordinator's key"),
        ({"auditor_key": stranger}, "auditor's key"),
        ({"auditor_key": b""}, "auditor's key"),
    ):
        with pytest.raises(FederationError, match=f"the server's {what} is"):
            newcomer.register(replace(founded.register, **changes))
    assert not list(newcomer.disk.root.glob("0x*")), "nothing is remembered of a lie"


def test_a_contract_that_was_founded_otherwise_than_the_configuration_says_is_refused(
    founded: Founded, newcomer: Hospital, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its digest of the configuration may be right, and what the contract does another thing."""
    true = founded.ledger.views.deployment_parameters
    other = replace(true, min_updates=true.min_updates + 1)
    monkeypatch.setattr(FederationViews, "deployment_parameters", property(lambda views: other))
    said = f"the server's min_updates is {true.min_updates}, but the contract was founded with"
    with pytest.raises(FederationError, match=f"^{newcomer.name}: {said} {true.min_updates + 1}"):
        newcomer.register(founded.register)


def test_a_contract_or_chain_that_is_none_is_refused(founded: Founded, newcomer: Hospital) -> None:
    with pytest.raises(LedgerError, match="no contract at"):
        newcomer.register(replace(founded.register, contract="0x" + "11" * 20))
    with pytest.raises(FederationError, match="is chain 61370, but the federation is on 1"):
        newcomer.register(replace(founded.register, chain_id=1))
    with pytest.raises(FederationError, match="offers no ledger"):
        newcomer.register(replace(founded.register, contract=""))


def test_the_hospitals_own_settings_come_first(founded: Founded, newcomer: Hospital) -> None:
    insisting = set_settings(newcomer, contract="0x" + "22" * 20)
    with pytest.raises(FederationError, match=r"insists on 0x2222"):
        insisting.register(founded.register)
    without = set_settings(newcomer, contract="", ledger="off")
    with pytest.raises(FederationError, match='ledger = "off", but there is one'):
        without.register(founded.register)


def test_an_endpoint_that_is_not_there_has_an_error_of_its_own(
    founded: Founded, newcomer: Hospital, tmp_path: Path
) -> None:
    with pytest.raises(ChainError):
        set_settings(newcomer, ledger="http://127.0.0.1:9").register(founded.register)
    with pytest.raises(FederationError, match=r"hospital.toml names .* as its ledger"):
        set_settings(newcomer, ledger=str(tmp_path / "nowhere")).register(founded.register)


@pytest.mark.parametrize(
    ("config", "error"),
    [
        ("{", FederationError),
        ("[" * 100_000, FederationError),
        ('{"name": "x", "surprise": 1}', ConfigError),
    ],
)
def test_a_configuration_that_is_none_is_refused(
    founded: Founded, newcomer: Hospital, config: str, error: type[Exception]
) -> None:
    with pytest.raises(error):
        newcomer.register(replace(founded.register, config=config))


def test_another_federation_under_the_same_keys_is_refused(founded: Founded, participant: Hospital) -> None:
    identity = Identity.load(participant.disk.root / "identity.json")
    membership = participant.disk.membership(identity.account.address)
    with pytest.raises(FederationError, match="has joined another federation"):
        participant.disk.join(identity.account.address, replace(membership, contract="0x" + "33" * 20))
    assert participant.disk.membership(identity.account.address) == membership


def test_an_update_opens_with_the_coordinators_key_and_carries_the_contracts_weight(
    founded: Founded, participant: Hospital
) -> None:
    reply = participant.train(replace(founded.train, weight=7))  # not what the contract computed
    assert isinstance(reply, UpdateReply)
    weight = founded.ledger.round(1).weights[reply.hospital]
    assert weight != 7
    context = UpdateContext(
        founded.register.federation.hex(),
        1,
        reply.hospital,
        founded.layout.digest.hex(),
        founded.layout.size,
        1,
    )
    key = Identity.load(founded.run.keys / "coordinator.json").envelope_key
    update = SealedReader(key, [PLAIN], shown=False).read(reply.bulk, context)
    assert not (update.view(np.int32) % weight).any()
    total = WeightedSum(founded.layout)
    total.add(update, weight)
    model = total.model(founded.base, RoundConfig.from_bytes(founded.train.round_config).exponents)
    assert np.isfinite(model).all()
    assert not np.array_equal(model, founded.base)


def test_a_submission_is_signed_and_in_the_journal(founded: Founded, participant: Hospital) -> None:
    reply = participant.train(founded.train)
    assert isinstance(reply, UpdateReply)
    struct = Submission(
        federation=founded.register.federation,
        round=1,
        attempt=founded.train.attempt,
        hospital=reply.hospital,
        base=merkle.root(founded.train.bulk),
        root=merkle.root(np.frombuffer(reply.bulk, np.uint8)),
        samples=reply.samples,
        size=len(reply.bulk),
        metrics=merkle.root(reply.metrics),
    )
    assert recover(struct, reply.signature, founded.ledger.domain) == reply.hospital
    entry = journal(participant)[-1]
    assert (entry["kind"], entry["signature"]) == ("submission", reply.signature.hex())
    assert (entry["root"], entry["round"]) == (reply.root.hex(), 1)


def test_nothing_leaves_that_the_journal_could_not_take(
    founded: Founded, participant: Hospital, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(StoreError, match=r"journal\.jsonl: cannot be written: No space"):
        participant.train(replace(founded.train, bulk=moved(founded.base)))


def test_a_crafted_model_is_refused_under_signature(founded: Founded, participant: Hospital) -> None:
    crafted = moved(founded.base)
    reply = participant.train(replace(founded.train, bulk=crafted))
    assert isinstance(reply, RefusalReply)
    assert reply.seen == merkle.root(crafted)
    refusal = Refusal(founded.register.federation, 1, reply.hospital, reply.seen)
    assert recover(refusal, reply.signature, founded.ledger.domain) == reply.hospital
    assert journal(participant)[-1]["kind"] == "refusal"


def other_exponents(request: TrainRequest) -> TrainRequest:
    config = RoundConfig.from_bytes(request.round_config)
    return replace(request, round_config=replace(config, exponents=(0, *config.exponents[1:])).to_bytes())


def other_round(request: TrainRequest) -> TrainRequest:
    config = RoundConfig.from_bytes(request.round_config)
    return replace(request, round=2, round_config=replace(config, round=2).to_bytes())


def other_federations(request: TrainRequest) -> TrainRequest:
    config = RoundConfig.from_bytes(request.round_config)
    return replace(request, round_config=replace(config, config="00" * 32).to_bytes())


@pytest.mark.parametrize(
    ("lie", "said"),
    [
        (lambda r: replace(r, attempt=r.attempt + 1), "is not open on the ledger"),
        (lambda r: replace(r, round=2), "is for another round or federation"),
        (other_federations, "is for another round or federation"),
        (other_round, "was never opened"),
        (other_exponents, "holds another round configuration"),
    ],
    ids=["attempt", "number", "federation", "not open", "exponents"],
)
def test_a_round_that_is_not_the_contracts_is_refused(
    founded: Founded, participant: Hospital, lie: object, said: str
) -> None:
    with pytest.raises((FederationError, LedgerError), match=said):
        participant.train(lie(founded.train))  # type: ignore[operator]


def test_a_hospital_outside_the_round_does_not_train(founded: Founded, bystander: Hospital) -> None:
    with pytest.raises(FederationError, match="not among its participants"):
        bystander.train(founded.train)


def test_a_hospital_that_has_not_joined_does_not_train(founded: Founded, newcomer: Hospital) -> None:
    with pytest.raises(FederationError, match="before it was registered"):
        newcomer.train(founded.train)

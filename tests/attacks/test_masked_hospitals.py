"""What never happens in masked rounds: the adversary owns the chain, or is a hospital, or kills one.

They are those of docs/secure-aggregation.md, "What never happens". Hospitals are the real ones, on real
directories and a real contract; see ``masked_party``.
"""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from masked_party import MaskedParty, header_of, opened_share, released, vector_of

from clients import unmasking
from clients.disk import HospitalDisk
from clients.hospital import Hospital
from clients.lookout import Lookout
from fedcxr import files
from fedcxr.errors import ContractRejectedError, FederationError, RuleError, StoreError, UnsettledError
from fedcxr.ledger.signing import sign
from fedcxr.messages import RefusalReply, UpdateReply
from fedcxr.privacy.secagg import mask
from fedcxr.privacy.secagg.attempt import MaskedAttempt
from fedcxr.privacy.secagg.header import HistoryEntry, MaskedHeader
from fedcxr.privacy.secagg.outgoing import OutgoingMask
from fedcxr.store.identity import Identity
from fedcxr.store.run_directory import RunDirectory
from fedcxr.update import merkle, model_file

ALL = range(5)
FOUR, OTHERS = (0, 1, 2, 3), (0, 1, 2, 4)


@pytest.fixture
def party(masked_party: MaskedParty) -> MaskedParty:
    """All five have sent their updates, in a branch of this test's own."""
    return masked_party


class Killed(BaseException):
    """The process is gone."""


@contextmanager
def killed_at(step: int) -> Iterator[list[str]]:
    """Kill the process before its n-th write if the step is even, or right after it; the writes so far."""
    written: list[str] = []
    write, append_line = files.write, files.append_line

    def dying(real: Callable[..., None]) -> Callable[..., None]:
        def writes(path: Path, *args: Any, **kwargs: Any) -> None:
            if len(written) == step // 2 and step % 2 == 0:
                raise Killed
            real(path, *args, **kwargs)
            written.append(path.name)
            if len(written) == step // 2 + 1 and step % 2:
                raise Killed

        return writes

    with patch.object(files, "write", dying(write)), patch.object(files, "append_line", dying(append_line)):
        yield written


def at(directory: Path, party: MaskedParty) -> Hospital:
    """The hospital in a directory, as it is shown a party's chain."""
    disk = HospitalDisk(directory)
    vars(disk)["settings"] = disk.settings.model_copy(update={"ledger": party.url})
    return Hospital(disk)


def without_heads(directory: Path) -> None:
    """Forget which chain was seen: what follows is then the record's alone to prevent."""
    for path in directory.glob("0x*/watched.json"):
        path.unlink()


def answer(directory: Path, party: MaskedParty, index: int = 0) -> bytes | None:
    """What a hospital that forgot its heads answers for a party's set; None where it refuses."""
    without_heads(directory)
    try:
        reply = at(directory, party).unmask(party.request(index))
    except FederationError:
        return None
    return reply.answer + reply.accepted + reply.signature


@contextmanager
def two_sets(sent: MaskedParty, place: Path) -> Iterator[tuple[MaskedParty, MaskedParty]]:
    """Two chains with one attempt and two sets."""
    with sent.branch(place / "one") as one, sent.branch(place / "two") as two:
        one.close(FOUR)
        two.close(OTHERS)
        yield one, two


def test_two_sets_are_never_answered(sent: MaskedParty, tmp_path: Path) -> None:
    with two_sets(sent, tmp_path) as (one, two):
        home = one.directory(0)
        first = one.unmask(0)
        with pytest.raises(FederationError, match="shown different ones"):
            at(home, two).unmask(two.request(0))
        without_heads(home)
        with pytest.raises(RuleError, match="answers for no other set"):
            at(home, two).unmask(two.request(0))
        again = answer(home, one)
        assert again == first.answer + first.accepted + first.signature, "asked again, it sends the same"


def test_two_sets_are_never_answered_after_a_kill_at_any_step(sent: MaskedParty, tmp_path: Path) -> None:
    with two_sets(sent, tmp_path) as (one, two):
        for step in range(100):
            home = shutil.copytree(one.directory(0), tmp_path / f"killed-{step}")
            with killed_at(step) as written:
                try:
                    at(home, one).unmask(one.request(0))
                    break
                except Killed:
                    pass
            known = "masked.json" in written
            other, again = answer(home, two), answer(home, one)
            assert (again is None, other is None) == (not known, known), written
        assert written.count("masked.json") == 1
        assert written.index("masked.json") < len(written) - 1 - written[::-1].index("journal.jsonl")


def test_two_sets_are_never_answered_by_two_processes_at_once(sent: MaskedParty, tmp_path: Path) -> None:
    """The first waits, with its record read, for as long as the second might need to read it, too."""
    other_has_read, real = threading.Event(), unmasking.read_header_leaves

    def slow(*args: Any) -> Any:
        if threading.current_thread().name == "one":
            other_has_read.wait(0.5)
        else:
            other_has_read.set()
        return real(*args)

    with two_sets(sent, tmp_path) as (one, two):
        said: dict[str, bytes | None] = {}

        def ask(name: str, party: MaskedParty) -> None:
            said[name] = answer(one.directory(0), party)

        with (
            patch.object(unmasking, "read_header_leaves", slow),
            patch.object(Lookout, "_check_heads", lambda *args: None),
        ):
            asked = (("one", one), ("two", two))
            threads = [threading.Thread(target=ask, name=name, args=(name, p)) for name, p in asked]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        assert len([reply for reply in said.values() if reply is not None]) == 1


def test_a_late_vector_stays_masked(party: MaskedParty) -> None:
    """The coordinator has it, all seeds that its neighbours opened toward it, and a colluder's share."""
    attempt = party.attempt()
    party.close(FOUR)
    given = [released(party.unmask(index), attempt) for index in FOUR]
    with pytest.raises(RuleError, match="not in the set"):
        party.unmask(4)
    assert all(4 in seeds and 4 not in shares for shares, seeds in given)
    assert opened_share(party, 3, 4, party.updates[4]) is not None  # one, and three give the seed
    y = vector_of(party.updates[4])
    mask.apply(y, [], [])
    for index, (_, seeds) in zip(FOUR, given, strict=True):
        sign = ([], [seeds[4]]) if index > 4 else ([seeds[4]], [])
        mask.apply(y, *sign)  # 4 is above all others: their masks were taken off its update
    assert is_noise(y)


def is_noise(vector: np.ndarray) -> bool:
    """Chi-square over bytes, p > 0.001 of 255 degrees of freedom."""
    counts = np.bincount(vector.view(np.uint8), minlength=256)
    expected = vector.nbytes / 256
    return float(((counts - expected) ** 2 / expected).sum()) < 330.5


@pytest.mark.parametrize("accepted", [FOUR, tuple(ALL)], ids=["one missing", "all"])
def test_an_answer_has_one_thing_for_each_neighbour(party: MaskedParty, accepted: tuple[int, ...]) -> None:
    attempt = party.attempt()
    party.close(accepted)
    for index in accepted:
        shares, seeds = released(party.unmask(index), attempt)
        assert shares.keys() == set(accepted) - {index}
        assert seeds.keys() == set(ALL) - set(accepted)


def test_no_mask_is_under_two_vectors(joined: MaskedParty, tmp_path: Path) -> None:
    """Killed at every step of the first trip, and trained to other values whenever it trains again."""
    with joined.branch(tmp_path / "party") as party:
        party.open(ALL)
        for step in range(100):
            home = shutil.copytree(party.directory(0), tmp_path / f"killed-{step}")
            before = len(list(home.rglob("*")))
            with killed_at(step) as written:
                try:
                    trained_otherwise(at(home, party), party, 0)
                    break
                except Killed:
                    pass
            assert len(list(home.rglob("*"))) >= before
            record = at(home, party).disk.masked_record(at(home, party).member.membership.federation)
            vectors = {record.sent[0].sent.message.root} if record.sent and record.sent[0].sent else set()
            for times in (1, 2):
                reply = trained_otherwise(at(home, party), party, times)
                vectors.add(reply.root)
            assert len(vectors) == 1, written
        order = [name for name in written if name in ("update.blob", "masked.json", "journal.jsonl")]
        assert order[-4:] == ["masked.json", "update.blob", "masked.json", "journal.jsonl"]


def trained_otherwise(hospital: Hospital, party: MaskedParty, times: int) -> UpdateReply:
    """Asked for its update, where training has other randomness than before."""
    with patch("clients.signed_update.derive_seed", lambda *of: times):
        reply = hospital.train(party.train_request())
    assert isinstance(reply, UpdateReply)
    return reply


def test_a_record_that_was_put_back_masks_no_second_vector(joined: MaskedParty, tmp_path: Path) -> None:
    with joined.branch(tmp_path / "party") as party:
        party.open(ALL)
        record = party.directory(0) / "masked.json"
        with killed_at(5) as written, pytest.raises(Killed):
            party.train(0)
        assert written[-1] == record.name
        begun = record.read_bytes()
        party.collect(ALL)
        record.write_bytes(begun)
        with pytest.raises(FederationError, match="put back"):
            party.train(0)
        record.unlink()
        with pytest.raises(StoreError, match="is not there"):
            party.train(0)


# ------------------------------------------------------------------------- further attempts of one round


def test_a_resent_vector_has_the_same_bytes(sent: MaskedParty, tmp_path: Path) -> None:
    with sent.branch(tmp_path / "party") as party:
        again = party.train(0)
        assert isinstance(again, UpdateReply)
        assert (again.bulk, again.signature) == (party.updates[0].bulk, party.updates[0].signature)
        blob = next(party.directory(0).glob("0x*/update.blob"))
        blob.write_bytes(blob.read_bytes()[:-1] + b"?")
        with pytest.raises(FederationError, match="is lost"):
            party.train(0)


def aborted_and_opened(party: MaskedParty, participants: tuple[int, ...]) -> None:
    party.abort()
    party.open(participants)
    party.collect(participants)


def test_the_kept_update_is_sent_again_under_other_masks(sent: MaskedParty, tmp_path: Path) -> None:
    with sent.branch(tmp_path / "party") as party:
        first, before = party.attempt(), dict(party.updates)
        with patch("clients.hospital.train", side_effect=AssertionError("nobody trains")):
            aborted_and_opened(party, tuple(ALL))
        second = party.attempt()
        for index in ALL:
            values = []
            for attempt, reply in ((first, before[index]), (second, party.updates[index])):
                vector = vector_of(reply)
                mask_of(party, attempt, index).take_off(vector)
                values.append(vector)
            assert np.array_equal(*values)
            assert not np.array_equal(vector_of(before[index]), vector_of(party.updates[index]))
            (entry,) = header_of(party.updates[index]).facts.history
            assert (entry.attempt, entry.context, entry.answered) == (1, first.context, bytes(32))


def mask_of(party: MaskedParty, attempt: MaskedAttempt, index: int) -> OutgoingMask:
    record = party.disk(index).masked_record(party.ledger.views.federation.hex())
    recorded, own = record.of(attempt.attempt), party.identity(index).envelope_key.mask_key
    assert recorded is not None
    assert own is not None
    return OutgoingMask(attempt, index, own, recorded.self_seed)


def refuse(party: MaskedParty, indices: Iterable[int], said: str) -> None:
    """See that each of these hospitals releases nothing for the set that its chain has."""
    for index in indices:
        with pytest.raises(RuleError, match=said):
            party.unmask(index)


def test_no_update_is_in_two_sums(sent: MaskedParty, tmp_path: Path) -> None:
    with sent.branch(tmp_path / "party") as party:
        party.close(tuple(ALL))
        for index in (0, 1, 2):
            party.unmask(index)  # the coordinator says that the others did not answer
        aborted_and_opened(party, FOUR)
        party.close(FOUR)
        refuse(party, FOUR, "has unmasked attempt 1 for another set")


def test_newcomers_do_not_lift_a_refusal(sent: MaskedParty, tmp_path: Path) -> None:
    """Hospital 4 answered nothing before, and refuses for what the headers of the others say."""
    with sent.branch(tmp_path / "party") as party:
        party.close(FOUR)
        for index in FOUR:
            party.unmask(index)
        aborted_and_opened(party, tuple(ALL))
        party.close(tuple(ALL))
        refuse(party, ALL, "for another set")


def test_no_update_is_in_two_sums_on_two_chains(sent: MaskedParty, tmp_path: Path) -> None:
    """Some are shown the first attempt as aborted while it was open, others as closed and answered."""
    with sent.branch(tmp_path / "one") as one, sent.branch(tmp_path / "two") as two:
        one.close(FOUR)
        home = one.directory(0)
        one.unmask(0)
        aborted_and_opened(two, tuple(ALL))
        two.updates[0] = moved_to(home, two)
        two.close(OTHERS)
        for index in OTHERS[1:]:
            with pytest.raises(RuleError, match="seat 0 has unmasked attempt 1 for another set"):
                two.unmask(index)


def moved_to(directory: Path, party: MaskedParty) -> UpdateReply:
    """The update that the hospital in a directory sends on another chain, with what it remembers."""
    without_heads(directory)
    reply = at(directory, party).train(party.train_request())
    assert isinstance(reply, UpdateReply)
    return reply


def test_an_attempt_that_was_closed_behind_is_answered_no_more(sent: MaskedParty, tmp_path: Path) -> None:
    with sent.branch(tmp_path / "one") as one, sent.branch(tmp_path / "two") as two:
        one.close(FOUR)
        home = one.directory(0)
        assert answer(home, one) is not None
        two.abort()
        two.open(ALL)
        moved_to(home, two)
        assert answer(home, one) is None


def test_only_consent_is_trained_anew(
    sent: MaskedParty, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """An attempt with another exponent, or with anything else in its configuration, is no further one."""
    with sent.branch(tmp_path / "party") as party:
        party.abort()
        party.open(ALL, exponent=1)
        assert isinstance(party.train(0, exponent=1), RefusalReply)
        party.abort()
        with patch.object(RunDirectory, "partition_digest", lambda run: "ab" * 32):
            party.open(ALL)
            assert isinstance(party.train(0), RefusalReply)
        assert "another model or configuration than the attempts before it" in caplog.text
        party.abort()
        party.open(ALL)
        assert isinstance(party.train(0), UpdateReply)


def log_of(party: MaskedParty, index: int) -> str:
    log = party.directory(index) / "hospital.log"
    return log.read_text() if log.exists() else ""


# ------------------------------------------------------------------------------- sets, keys and headers


def test_an_unsettled_set_is_not_answered(party: MaskedParty) -> None:
    party.submit(FOUR)
    with pytest.raises(UnsettledError, match="not settled"):
        party.unmask(0)
    party.ledger.close(party.number, bytes(32))
    request = party.request(0)
    party.unmask(0)
    party.abort()
    with pytest.raises(RuleError, match="has it aborted"):
        party.hospital(0).unmask(request)


def test_fewer_than_three_are_refused(joined: MaskedParty, sent: MaskedParty, tmp_path: Path) -> None:
    quorum = pytest.raises(ContractRejectedError, match="QuorumMissing")
    with joined.branch(tmp_path / "two") as two, quorum:
        two.open((0, 1))
    with sent.branch(tmp_path / "three") as three:
        three.close((0, 1, 2))  # of five, of whom one may collude, four are the fewest
        refuse(three, (0, 1, 2), "fewer than 4 is not unmasked")


def test_another_opening_has_other_masks(joined: MaskedParty, tmp_path: Path) -> None:
    with joined.branch(tmp_path / "one") as one, joined.branch(tmp_path / "two") as two:
        one.open(ALL)
        two.open(FOUR)
        assert one.attempt().context != two.attempt().context
        home = one.directory(0)
        assert isinstance(one.train(0), UpdateReply)
        without_heads(home)
        reply = at(home, two).train(two.train_request())
        assert isinstance(reply, RefusalReply), "one context an attempt"


def test_a_pair_that_differs_is_not_unmasked(party: MaskedParty) -> None:
    """Hospital 1 colludes: it signs a header with another commitment toward hospital 0."""

    def lie(header: MaskedHeader) -> MaskedHeader:
        first, *rest = header.commitments
        return replace(header, commitments=(first._replace(pair=bytes(32)), *rest))

    party.updates[1] = with_header(party, 1, lie)
    party.close(tuple(ALL))
    refuse(party, (0,), "seat 1 has committed to another seed")
    party.unmask(2)  # whose pair with it is good


def test_a_copied_share_is_not_opened(party: MaskedParty) -> None:
    """Hospital 1 copies the share of hospital 2's seed, sealed to hospital 0, into its own header."""
    copied = header_of(party.updates[2]).commitments[0]

    def copy(header: MaskedHeader) -> MaskedHeader:
        first, *rest = header.commitments
        stolen = first._replace(share=copied.share, sealed=copied.sealed)
        return replace(header, commitments=(stolen, *rest))

    party.updates[1] = with_header(party, 1, copy)
    party.close(tuple(ALL))
    shares, _ = released(party.unmask(0), party.attempt())
    assert shares.keys() == {2, 3, 4}


def with_header(
    party: MaskedParty, index: int, change: Callable[[MaskedHeader], MaskedHeader]
) -> UpdateReply:
    """The update of a hospital that colludes, with another header, under its signature."""
    reply, identity = party.updates[index], party.identity(index)
    header = header_of(reply)
    bulk = change(header).to_bytes() + reply.bulk[header.facts.leaves * merkle.LEAF_SIZE :]
    changed = replace(reply, bulk=bulk, root=merkle.root(bulk))
    views = party.ledger.views
    signature = sign(identity.account, changed.submission(views.federation), views.domain)
    return replace(changed, signature=signature)


def test_a_false_history_halts_and_frames_nobody(party: MaskedParty) -> None:
    """Hospital 1 says that it sent a vector under a context that no ledger has."""

    def lie(header: MaskedHeader) -> MaskedHeader:
        invented = (HistoryEntry(1, bytes([9] * 32)),)
        return replace(header, facts=replace(header.facts, history=invented))

    aborted_and_opened(party, tuple(ALL))
    party.updates[1] = with_header(party, 1, lie)
    party.close(tuple(ALL))
    refuse(party, (0, 2, 3, 4), "seat 1 was shown another attempt 1")


def test_a_header_that_nobody_signed_is_not_believed(party: MaskedParty) -> None:
    """The coordinator's chain has a root of its own making for hospital 1, with a header to its liking."""
    forged = with_header(party, 1, lambda header: replace(header, facts=replace(header.facts, history=())))
    blank = replace(
        forged, bulk=header_of(forged).to_bytes() + bytes(4 * party.layout.size), signature=forged.signature
    )
    root = merkle.root(blank.bulk)
    party.close(tuple(ALL))
    account = party.address(1)

    def lie(method: str, params: list[Any], answered: dict[str, Any]) -> dict[str, Any]:
        return with_word(answered, party.updates[1].root, root) if method == "eth_getLogs" else answered

    with party.lying(lie), pytest.raises(RuleError, match=r"seat 1 has not signed|shown"):
        party.unmask(0, {**party.updates, 1: blank})
    assert account in party.ledger.round(party.number).accepted


def with_word(answered: dict[str, Any], old: bytes, new: bytes) -> dict[str, Any]:
    """An answer of the chain with one word in place of another."""
    text = json.dumps(answered, default=str)
    assert len(old) == len(new)
    found: dict[str, Any] = json.loads(text.replace(old.hex(), new.hex()))
    return found


def test_a_key_that_nobody_signed_is_not_used(joined: MaskedParty, tmp_path: Path) -> None:
    """The coordinator's chain has a key of its own under hospital 1's account: it would know every mask."""
    with joined.branch(tmp_path / "party") as party:
        party.open(ALL)
        theirs = party.identity(1).envelope_key.public.data
        planted = Identity.fresh("X25519", masks=True).envelope_key.public.data

        def lie(method: str, params: list[Any], answered: dict[str, Any]) -> dict[str, Any]:
            return with_word(answered, theirs, planted) if method == "eth_getLogs" else answered

        with party.lying(lie):
            assert isinstance(party.train(0), RefusalReply)
        assert not (party.directory(0) / "masked.json").exists()


def test_low_order_keys_are_refused(joined: MaskedParty, tmp_path: Path) -> None:
    with joined.branch(tmp_path / "party") as party:
        party.register_with(5, mask_key=bytes(32))
        party.open((0, 1, 2, 3, 5))
        assert isinstance(party.train(0), RefusalReply)


def test_strangers_beyond_the_colluders_are_refused(joined: MaskedParty, tmp_path: Path) -> None:
    with joined.branch(tmp_path / "party") as party:
        known = [party.address(index) for index in range(4)]
        party.limit(0, known=tuple(known))
        party.limit(1, known=tuple(known[:3]))
        party.open(ALL)
        assert isinstance(party.train(0), UpdateReply)  # one stranger, and one may collude
        assert isinstance(party.train(1), RefusalReply)
        party.limit(2, known=(*known, Identity.fresh("X25519").account.address))
        assert isinstance(party.train(2), RefusalReply), "one of its list is hidden"


def test_one_base_is_masked_in_one_round(sent: MaskedParty, tmp_path: Path) -> None:
    """The coordinator finalizes with the base itself, and goes on without hospital 4."""
    with sent.branch(tmp_path / "party") as party:
        party.close(tuple(ALL))
        digest = model_file.vector_digest(party.base)
        party.ledger.finalize(party.number, aggregate_root=bytes([1] * 32), model_digest=digest, excluded={})
        party.open(FOUR)
        assert isinstance(party.train(0), RefusalReply)


def test_a_rotated_hospital_has_the_same_record(sent: MaskedParty, tmp_path: Path) -> None:
    with sent.branch(tmp_path / "party") as party:
        party.close(FOUR)
        party.unmask(0)
        before = (party.directory(0) / "masked.json").read_bytes()
        party.rotate(0, tmp_path / "order.json")
        assert (party.directory(0) / "masked.json").read_bytes() == before
        again = party.unmask(0)  # under the keys of the attempt's opening
        assert again.hospital != party.address(0)
        aborted_and_opened(party, tuple(ALL))
        (entry,) = header_of(party.updates[0]).facts.history
        assert any(entry.answered)
        party.close(tuple(ALL))
        refuse(party, (0, 3), "seat 0 has unmasked attempt 1 for another set")


def test_a_rewound_chain_gets_nothing_new(joined: MaskedParty, tmp_path: Path) -> None:
    """Put back to before the attempt, the chain opens the number with other participants."""
    with joined.branch(tmp_path / "one") as one, joined.branch(tmp_path / "two") as two:
        one.open(ALL)
        home = one.directory(0)
        assert isinstance(one.train(0), UpdateReply)
        two.open(OTHERS)
        with pytest.raises(FederationError, match="rewritten"):
            at(home, two).train(two.train_request())
        without_heads(home)
        assert isinstance(at(home, two).train(two.train_request()), RefusalReply)


def test_no_seed_is_in_a_log(sent: MaskedParty, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with sent.branch(tmp_path / "party") as party:
        party.close(FOUR)
        attempt = party.attempt()
        secrets = []
        for index in FOUR:
            reply = party.unmask(index)
            secrets += [secret for part in released(reply, attempt) for secret in part.values()]
            secrets.append(mask_of(party, attempt, index).self_seed)
            secrets.append(party.identity(index).envelope_key.data[-32:])
        written = "".join(party.journal(index) + log_of(party, index) for index in FOUR) + caplog.text
        watched = "".join(path.read_text() for path in party.root.glob("hospital-*/0x*/watched.json"))
        assert not any(secret.hex() in written + watched for secret in secrets)

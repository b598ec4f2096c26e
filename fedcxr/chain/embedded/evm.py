"""The embedded chain's machine: py-evm behind eth-tester's backend, over a database of ours.

Four things differ from eth-tester's own backend. The chain is rebuilt from the head in its database, so
that a history survives. Transactions are looked up through the chain's index, where eth-tester scans every
block. A revert carries its bytes, so that a custom error can be told by name. And a block has the time of its
transaction, where eth-tester's has that of the block before it.
"""

from __future__ import annotations

import json
import time
from typing import Any, cast

from eth.abc import BlockAPI, SignedTransactionAPI
from eth.chains.base import MiningChain
from eth.db.atomic import AtomicDB
from eth.exceptions import TransactionNotFound as EvmTransactionNotFound
from eth.typing import AccountDetails
from eth.vm.forks.prague import PragueVM
from eth.vm.spoof import SpoofTransaction
from eth_keys.datatypes import PrivateKey
from eth_tester.backends.pyevm.main import (
    PyEVMBackend,
    _execute_and_revert_transaction,
    get_default_genesis_params,
)
from eth_tester.backends.pyevm.serializers import serialize_transaction, serialize_transaction_receipt
from eth_tester.exceptions import TransactionFailed, TransactionNotFound
from eth_typing import Address, BlockNumber
from eth_utils.crypto import keccak
from eth_utils.currency import to_wei
from eth_utils.exceptions import ValidationError
from eth_utils.hexadecimal import encode_hex

from fedcxr import json_text
from fedcxr.chain.embedded.sqlite_db import SqliteDB
from fedcxr.errors import ChainError

GENESIS_KEY = b"fedcxr/genesis/1"
GAS_LIMIT = 60_000_000  # of a block: a round of 256 hospitals opens in one transaction
# Ether has no worth on an embedded chain; this account hands it out, so that anyone's gas is paid.
FAUCET = PrivateKey(keccak(b"fedcxr embedded chain faucet"))


class EmbeddedEvm(PyEVMBackend):
    """eth-tester's backend on a persistent chain."""

    chain: Any  # a MiningChain, which eth-tester reaches into without types

    def __init__(self, db: SqliteDB, chain_id: int) -> None:
        """Rebuild the chain that ``db`` holds, or begin one.

        Raises:
            ChainError: ``db`` holds another chain id, or something that is no chain.
        """
        self.account_keys = (FAUCET,)
        if not db.exists(GENESIS_KEY):
            self.chain = from_genesis(db, chain_id, int(time.time()))
            return
        try:
            held = int(json_text.parse(db[GENESIS_KEY])["chain_id"])
            self.chain = chain_class(chain_id)(AtomicDB(db))
        except Exception as error:  # a damaged file fails anywhere in rlp, trie or py-evm
            raise ChainError(f"the stored chain cannot be read: {type(error).__name__}: {error}") from None
        if held != chain_id:
            raise ChainError(f"the stored chain has id {held}, but the configuration says {chain_id}.")

    def reload(self) -> None:
        """Drop what is cached of rows that the database has rolled back."""
        self.chain = type(self.chain)(self.chain.chaindb.db)

    def get_transaction_by_hash(self, transaction_hash: bytes) -> Any:
        block, transaction, index = self._find(transaction_hash)
        return serialize_transaction(block, transaction, index, False)

    def get_transaction_receipt(self, transaction_hash: bytes) -> Any:
        block, transaction, index = self._find(transaction_hash)
        receipts = block.get_receipts(self.chain.chaindb)
        return serialize_transaction_receipt(block, receipts, transaction, index, False, self.chain.get_vm())

    def call(self, transaction: dict[str, Any], block_number: int | str = "latest") -> bytes:
        """Call a contract as eth-tester does, but raise a revert with its bytes."""
        inherited: Any = self  # eth-tester's own methods have no annotations
        filled = {"gas": inherited._max_available_gas(), **transaction}
        unsigned = inherited._get_normalized_and_unsigned_evm_transaction(filled, block_number)
        spoofed = SpoofTransaction(unsigned, from_=transaction["from"])
        computation = _execute_and_revert_transaction(self.chain, spoofed, block_number)
        if computation.is_error:
            arguments = computation.error.args
            data = arguments[0] if arguments and isinstance(arguments[0], bytes) else b""
            raise TransactionFailed(data)
        return bytes(computation.output)

    def send_raw_transaction(self, raw_transaction: bytes) -> Any:
        """Send as eth-tester does, but refuse a transaction for another chain, which py-evm would take."""
        signed_for = getattr(self.chain.get_transaction_builder().decode(raw_transaction), "chain_id", None)
        if signed_for not in (None, self.chain.chain_id):
            raise ValidationError(f"invalid chain id: signed for {signed_for}, here is {self.chain.chain_id}")
        self._catch_up()
        inherited: Any = super()
        return inherited.send_raw_transaction(raw_transaction)

    def send_transaction(self, transaction: dict[str, Any]) -> Any:
        self._catch_up()
        inherited: Any = super()
        return inherited.send_transaction(transaction)

    def _catch_up(self) -> None:
        """Set the time of the pending block to the present.

        py-evm dates a block when the one before it is mined: after an idle hour, chain time would be an hour
        late, and a deadline that has passed would not have.
        """
        header = self.chain.header
        if header.timestamp < (now := int(time.time())):
            self.chain.header = header.copy(timestamp=now)

    def _find(self, transaction_hash: bytes) -> tuple[BlockAPI, SignedTransactionAPI, int]:
        try:
            number, index = self.chain.chaindb.get_transaction_index(transaction_hash)
        except EvmTransactionNotFound:
            raise TransactionNotFound(f"no transaction {encode_hex(transaction_hash)}") from None
        block = self.chain.get_canonical_block_by_number(number)
        return block, block.transactions[index], index


def from_genesis(db: SqliteDB, chain_id: int, timestamp: int) -> MiningChain:
    """Begin a chain and record its parameters, which give the same first block again."""
    db[GENESIS_KEY] = json.dumps({"chain_id": chain_id, "timestamp": timestamp}).encode()
    params = get_default_genesis_params({"timestamp": timestamp, "gas_limit": GAS_LIMIT})
    account: AccountDetails = {"balance": to_wei(10**15, "ether"), "nonce": 0, "code": b"", "storage": {}}
    state = {Address(FAUCET.public_key.to_canonical_address()): account}
    return cast(MiningChain, chain_class(chain_id).from_genesis(AtomicDB(db), params, state))


def chain_class(identifier: int) -> type[MiningChain]:
    """A Prague chain with an id of our own and a constant gas limit."""

    class EmbeddedChain(MiningChain):
        chain_id = identifier
        vm_configuration = ((BlockNumber(0), PragueVM),)

        def create_header_from_parent(self, parent_header: Any, **header_params: Any) -> Any:
            params = {**header_params, "gas_limit": parent_header.gas_limit}
            return super().create_header_from_parent(parent_header, **params)

        def get_transaction_builder(self) -> Any:
            return self.get_vm().get_transaction_builder()

    return EmbeddedChain

"""Every custom error of the contract comes with its name, its arguments, and what to do."""

import pickle

from eth_abi.abi import encode
from web3 import Web3

from fedcxr.errors import ContractRejectedError
from fedcxr.ledger.artifact import known_interface
from fedcxr.ledger.error_help import ERROR_HELP, help_for
from fedcxr.ledger.transaction import decode_error


def test_every_error_of_the_contract_has_its_help() -> None:
    errors = {entry["name"] for entry in known_interface().entries("error")}
    assert sorted(errors - set(ERROR_HELP)) == [], "these lack their help in fedcxr/ledger/error_help.py"
    assert sorted(set(ERROR_HELP) - errors - {"Unknown"}) == [], "these are errors of no contract"


def test_help_says_something_in_whole_sentences() -> None:
    for name, text in ERROR_HELP.items():
        assert len(text) > 30, name
        assert text[0].isupper(), name
        assert text[-1] in ".?)", name


def test_an_error_is_told_by_name_with_arguments_and_help_through_pickling_too() -> None:
    data = Web3.keccak(text="WrongRound(uint64,uint64)")[:4] + encode(["uint64", "uint64"], [2, 5])
    error = decode_error(data)
    for told in (error, pickle.loads(pickle.dumps(error))):
        assert isinstance(told, ContractRejectedError)
        assert (told.name, told.arguments) == ("WrongRound", (2, 5))
        assert str(told) == "the contract rejected the call: WrongRound(2, 5)"
        assert told.help == ERROR_HELP["WrongRound"]


def test_an_error_that_nobody_knows_says_where_to_look() -> None:
    assert "contracts/src" in help_for("NeverHeardOf")
    error = decode_error(b"\x12\x34\x56\x78")
    assert error.name == "Unknown"
    assert "another contract" in error.help
    assert "contract's rules" in ContractRejectedError("Anything").help

"""Every error that fedcxr raises on purpose, and the exit code of each.

::

    FedcxrError                    1   something fedcxr knows went wrong
    ├── ConfigError               10   the configuration: the key, and what is allowed
    │   └── UntrustedRunError     11   what somebody's run names, and its reader has not agreed to use
    ├── DataError                 20   the data
    │   ├── TableError            21   a CSV: file, row, column
    │   ├── ImageError            22   an image file, and the row that names it
    │   ├── PartitionError        23   a partition that cannot be made, or does not fit its data
    │   └── CacheError            24   a decoded cache that does not belong to its source
    ├── ModelError                30   a model or its weights
    │   ├── LayoutError           31   tensors that do not fit the federation's layout
    │   └── NonFiniteError        32   NaN or Inf, with the tensor's name
    ├── EnvelopeError             40   an update that cannot be sealed or opened
    ├── LedgerError               50   the ledger
    │   ├── ChainError            51   the chain behind it: missing, damaged, unreachable
    │   ├── ContractRejectedError 52   the contract said no: its custom error and arguments
    │   └── ArtifactError         53   contract artifacts that do not belong to their sources
    ├── StoreError                60   the blob store
    │   ├── BlobMissingError      61   no blob under this root
    │   ├── BlobCorruptError      62   bytes whose root is not their name
    │   └── UnwritableError       63   a disk or store that takes no more: full, read-only, out of reach
    ├── FederationError           70   a round
    │   ├── ExperimentError       70   some runs of a table of experiments failed
    │   ├── BaseMismatchError     71   a hospital was given a model that the contract does not hold
    │   ├── QuorumError           72   too few updates were accepted
    │   ├── GridError             73   the grid cannot be started, or lost what it was asked to carry
    │   ├── LimitError            74   more than a hospital's own limits allow
    │   ├── RuleError             75   a round that is not as the federation's configuration says
    │   ├── RewrittenChainError   76   a chain that lacks a block which a hospital had seen
    │   └── UnsettledError        77   a set of updates that the chain may still take back
    ├── AuditFailedError          90   the audit found something
    └── AuditIncompleteError      91   it found nothing, but could not recompute the released model

Codes come in ranges of ten, a range a subject; 2 is a command line that cannot be parsed.
"""


class FedcxrError(Exception):
    """Base of all: what was wrong, where, and what to do, in one or two sentences.

    Arguments are lines: of an error that names many things, each has its own. ``help`` is the advice of its
    type, or the one that this error was raised with.
    """

    exit_code = 1
    help = "fedcxr met a condition that it knows; the message says which."

    def __init__(self, *message: object, advice: str = "") -> None:
        super().__init__(*message)
        if advice:
            self.help = advice

    def __str__(self) -> str:
        return "\n".join(map(str, self.args))


def error_of(code: int) -> type[FedcxrError] | None:
    """The type whose exit code it is, the one nearest to the root where several share it; None for none."""
    kinds: list[type[FedcxrError]] = [FedcxrError]
    for kind in kinds:
        if kind.exit_code == code:
            return kind
        kinds += kind.__subclasses__()
    return None


class ConfigError(FedcxrError):
    exit_code = 10
    help = "Correct what the message names: in the TOML file, in the overrides (--set), or among the options."


class UntrustedRunError(ConfigError):
    exit_code = 11
    help = (
        "Name it yourself (--rpc, --store), or pass --trust-run: what the run's config.toml names is then "
        "used, on this machine and with your keys and variables."
    )


class DataError(FedcxrError):
    exit_code = 20
    help = "Correct the data that the message names; nothing was changed."


class TableError(DataError):
    exit_code = 21
    help = "Correct the CSV that the message names, at the row and column if it names them."


class ImageError(DataError):
    exit_code = 22
    help = "Replace the image file, or take its row out of the CSV."


class PartitionError(DataError):
    exit_code = 23
    help = "Choose a partition that the data allows, or make the manifest again."


class CacheError(DataError):
    exit_code = 24
    help = "Run `fedcxr data prepare` again; it decodes what has changed."


class ModelError(FedcxrError):
    exit_code = 30
    help = "Choose a model that the registry has, or weights that fit it."


class LayoutError(ModelError):
    exit_code = 31
    help = "The architecture is pinned when the federation starts: use the same model everywhere."


class NonFiniteError(ModelError):
    exit_code = 32
    help = "Lower the learning rate, or look for broken images in this hospital's shard."


class EnvelopeError(FedcxrError):
    exit_code = 40
    help = (
        "Another key, round or hospital is meant, or it was changed on its way: check the key that was given."
    )


class LedgerError(FedcxrError):
    exit_code = 50
    help = "Check the run, the address and the chain that the command was given."


class ChainError(LedgerError):
    exit_code = 51
    help = "Check the chain that the message names: its file, its address, its chain id."


class ContractRejectedError(LedgerError):
    """The contract reverted with one of its custom errors.

    ``name`` is the Solidity error's name (``DeadlinePassed``), ``arguments`` its decoded arguments, ``help``
    what is known of this error.
    """

    exit_code = 52
    help = "The contract's rules forbid this; its error and arguments say which rule."

    def __init__(self, name: str, arguments: tuple[object, ...] = (), help_text: str = "") -> None:
        self.name = name
        self.arguments = arguments
        self.help = help_text or type(self).help
        shown = ", ".join(a.hex() if isinstance(a, bytes) else str(a) for a in arguments)
        super().__init__(f"the contract rejected the call: {name}({shown})")

    def __reduce__(self) -> tuple[type, tuple[str, tuple[object, ...], str]]:
        return type(self), (self.name, self.arguments, self.help)


class ArtifactError(LedgerError):
    exit_code = 53
    help = "Run `fedcxr contracts build` and commit the artifacts."


class StoreError(FedcxrError):
    exit_code = 60
    help = "Check the path that the message names, and its permissions."


class BlobMissingError(StoreError):
    exit_code = 61
    help = "The store lacks a blob that the ledger names; restore it from a copy."


class BlobCorruptError(StoreError):
    exit_code = 62
    help = "A blob is not what its name says; restore it from a copy."


class UnwritableError(StoreError):
    exit_code = 63
    help = "Make room there, or make it writable; the same command continues the run."


class FederationError(FedcxrError):
    exit_code = 70
    help = "The round could not be completed; what was finalized before it stands."


class ExperimentError(FederationError):
    help = "What is finished is kept; each failed run's folder and log say more."


class BaseMismatchError(FederationError):
    exit_code = 71
    help = "The server sent another model than the ledger holds; do not train on it."


class QuorumError(FederationError):
    exit_code = 72
    help = "See the rejected and failed hospitals in the run's log; mend them and continue the run."


class GridError(FederationError):
    exit_code = 73
    help = "Check the resources asked for against those of the machine, and the grid's own log."


class LimitError(FederationError):
    exit_code = 74
    help = "What was asked is beyond the limits in hospital.toml; only the hospital can change them."


class RuleError(FederationError):
    exit_code = 75
    help = "The configuration that every member holds does not have this; ask the coordinator."


class RewrittenChainError(FederationError):
    exit_code = 76
    help = "Trust this chain no more until it is clear who changed it; the hospital's journal has both heads."


class UnsettledError(FederationError):
    exit_code = 77
    help = "The chain has to grow over it; the coordinator asks again."


class AuditFailedError(FedcxrError):
    exit_code = 90
    help = "Each finding or problem says what is not as it must be."


class AuditIncompleteError(FedcxrError):
    exit_code = 91
    help = "The released model is not proven: provide what is listed as unchecked, and audit again."

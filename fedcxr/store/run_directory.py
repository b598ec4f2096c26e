"""The run directory: the paths of everything that a run leaves behind.

::

    RUN/
      config.toml          the configuration as resolved; its digest is on the ledger
      ledger.json          federation, contract and chain id: what an auditor starts from
      ledger.sqlite        the embedded chain, or
      ledger.journal       what an anvil is rebuilt from
      layout.json          the tensors that travel; its digest is on the ledger
      frozen.safetensors   those that no round trains, where there are any; layout.json has their digest
      partition.json       who holds which patients (simulation)
      partition.png        the same as a picture
      blobs/               every update and round configuration, under its Merkle root
      models/              round-0000.safetensors (where it started) and one for each finalized round
      metrics.jsonl        a line a round
      heads.json           the newest head of the chain that each hospital has signed
      unmasking.json       of a masked round: what hospitals have released, and where the seeds are
      summary.md           what came out, for people
      report/              every metric of the last model, its predictions, and pictures
      run.log              one log
      orders/              signed registrations that members have to vote on before they are taken
      keys/                private keys of the coordinator and, in a simulation, the auditor
      hospitals/           a simulated hospital's own disk each
      cache/               decoded images
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Self

from fedcxr import bounded, files, json_text, toml_text
from fedcxr.errors import ConfigError, StoreError, UntrustedRunError
from fedcxr.store.metrics_file import MetricsFile

if TYPE_CHECKING:  # torch and pydantic are seconds that a question to the ledger does not need
    from fedcxr.config import Config, Ledger
    from fedcxr.store.blobs import BlobStore
    from fedcxr.update.layout import Layout


@dataclass(frozen=True)
class LedgerFacts:
    """The facts that identify the federation's contract, in ``ledger.json``.

    Attributes:
        federation: hex id.
        chain_id: of the chain that holds the contract; 0 when the ledger is off.
        contract: checksummed address; empty when the ledger is off.
        genesis: hex hash of the chain's first block: one begun anew under the same id is another chain.
    """

    federation: str
    chain_id: int
    contract: str
    genesis: str = ""


STORE_PROTOCOLS = (
    *("file", "s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "oss", "ipfs"),
    *("sftp", "ssh", "smb", "hdfs", "webhdfs", "memory"),
)
"""The protocols of stores that a run may name; a reader who names one may take any that fsspec has."""


@dataclass(frozen=True)
class RunDirectory:
    """The paths and the small files of one run.

    Attributes:
        root: the directory.
        trusted: whether the program, the endpoint and the store that ``config.toml`` names may be used with
            the authority of whoever reads the run: its machine, its network, its keys and environment. Only
            who begins or continues a run, or acts as its coordinator, trusts it unasked.
    """

    root: Path
    trusted: bool = False

    @classmethod
    def create(cls, root: Path, config: Config) -> Self:
        """Make the directory and write the resolved configuration.

        Raises:
            ConfigError: something is left to a measurement, or the directory holds another run.
            UnwritableError: it cannot be written.
        """
        if not config.resolved:
            raise ConfigError("the configuration still says auto: resolve it before the run is made.")
        run = cls(root, trusted=True)
        if run.config_path.exists():
            if run.config != config:
                raise ConfigError(f"{root} holds another run: choose another folder (--out), or remove it.")
            return run
        try:
            for directory in (root, run.models, run.keys, run.hospitals, run.cache):
                files.make_folder(directory)
            run.keys.chmod(0o700)
            run.hospitals.chmod(0o700)
        except OSError as error:
            raise files.unwritable(root, error) from None
        files.write(run.config_path, config.to_toml())
        return run

    @classmethod
    def open(cls, root: Path, *, trusted: bool = False) -> Self:
        """Open a run that exists.

        Raises:
            StoreError: there is none.
        """
        run = cls(root, trusted)
        if not root.exists():
            raise StoreError(f"{root}: there is no such folder.")
        if not run.config_path.is_file():
            raise StoreError(
                f"{root} is not a run directory: it has no config.toml. If the run was killed in its first "
                "seconds, repeat the command that began it."
            )
        return run

    @property
    def founded(self) -> bool:
        """Whether the run's federation is founded; from then on its configuration is on the ledger."""
        return (self.root / "ledger.json").exists()

    def forget(self) -> None:
        """Remove the files that a configuration made, for a run whose federation is not founded yet."""
        if not self.root.is_dir():
            return
        made = ("config.toml", "partition.json", "partition.png", "layout.json", "frozen.safetensors")
        for path in (*(self.root / name for name in made), self.model(0)):
            path.unlink(missing_ok=True)

    @property
    def config_path(self) -> Path:
        return self.root / "config.toml"

    @property
    def config(self) -> Config:
        from fedcxr import config as configuration

        return configuration.load(self.config_path)

    @property
    def chain_path(self) -> Path:
        return self.root / "ledger.sqlite"

    @property
    def journal_path(self) -> Path:
        """The journal that an anvil's chain is rebuilt from."""
        return self.root / "ledger.journal"

    @property
    def layout_path(self) -> Path:
        return self.root / "layout.json"

    @property
    def frozen_path(self) -> Path:
        """The tensors that stay as the model was created, where only some are trained."""
        return self.root / "frozen.safetensors"

    @property
    def models(self) -> Path:
        return self.root / "models"

    @property
    def keys(self) -> Path:
        return self.root / "keys"

    @property
    def signed_requests(self) -> Path:
        """Signed registrations of hospitals that members have to vote on; made with the first."""
        return self.root / "orders"

    @property
    def hospitals(self) -> Path:
        return self.root / "hospitals"

    @property
    def cache(self) -> Path:
        return self.root / "cache"

    @property
    def partition_path(self) -> Path:
        return self.root / "partition.json"

    @property
    def metrics(self) -> MetricsFile:
        return MetricsFile(self.root / "metrics.jsonl")

    @property
    def summary_path(self) -> Path:
        return self.root / "summary.md"

    @property
    def log_path(self) -> Path:
        return self.root / "run.log"

    @property
    def endpoint_path(self) -> Path:
        """The file with the URL at which the chain answers while the run goes on."""
        return self.root / "ledger.url"

    @property
    def heads_path(self) -> Path:
        """The file with the newest head of the chain that each hospital has signed."""
        return self.root / "heads.json"

    @property
    def unmasking_path(self) -> Path:
        """The file with what hospitals have released in the masked round that was closed last."""
        return self.root / "unmasking.json"

    def hospital(self, index: int) -> Path:
        """The disk of simulated hospital ``index``, 0-based in the partition's order."""
        return self.hospitals / f"{index:04d}"

    def model(self, round_number: int) -> Path:
        """The model released by a round; round 0 is where the federation started."""
        return self.models / f"round-{round_number:04d}.safetensors"

    @property
    def last_round(self) -> int:
        """The last round on record, 0 before the first.

        A model file of a round that is not on record was never released: a coordinator died over it.
        """
        return self.metrics.last_round

    @property
    def last_model(self) -> Path:
        """The model of the last round on record; before the first, where the federation started.

        Raises:
            StoreError: there is none yet.
        """
        path = self.model(self.last_round)
        if not path.is_file():
            raise StoreError(f"{path}: no such model; has the run begun?")
        return path

    def partition_digest(self) -> str:
        """Hex SHA-256 of ``partition.json``; empty when there is none."""
        try:
            with bounded.opened(self.partition_path) as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
        except FileNotFoundError:
            return ""
        except OSError as error:
            raise StoreError(f"{self.partition_path}: cannot be read: {error}") from None

    @property
    def ledger_settings(self) -> Ledger:
        """How the run's chain is reached from here: the section ``[ledger]``, as far as the run is trusted.

        Raises:
            UntrustedRunError: it names an endpoint of another machine, or with variables.
        """
        from fedcxr.indexer.location import LOOPBACK

        settings = self.config.ledger
        if self.trusted:
            return settings
        if settings.url and not LOOPBACK.fullmatch(settings.url):
            raise UntrustedRunError(f"{self.root}: its chain is at {settings.url!r} (ledger.url).")
        return settings.model_copy(update={"anvil": ""})  # one of the reader's own does as well

    @property
    def store_url(self) -> str:
        """The URL of the store that the configuration names, by default ``RUN/blobs``.

        Raises:
            UntrustedRunError: it names one, and the run is not trusted, or its protocol not allowed.
        """
        try:  # the one key, for who needs no more: the whole configuration takes pydantic to read
            url = toml_text.parse(_read_text(self.config_path)).get("store", {})["url"]
        except (KeyError, AttributeError, ValueError):
            url = self.config.store.url
        return self.permitted_store(str(url)) if url else str(self.root / "blobs")

    def permitted_store(self, url: str) -> str:
        """The URL of a store that the run names, where it may be opened.

        Raises:
            UntrustedRunError: the run is not trusted, or its protocol not allowed.
        """
        if not self.trusted:
            raise UntrustedRunError(f"{self.root}: its updates are at {url!r} (store.url).")
        protocol, colons, _ = url.partition("://")
        if "::" in url or (colons and protocol not in STORE_PROTOCOLS):
            raise UntrustedRunError(
                f"{self.root}: its updates are at {url!r} (store.url). A run may name a folder, or "
                f"{', '.join(STORE_PROTOCOLS)}.",
                advice="Where you want it opened nevertheless, name it yourself (--store).",
            )
        return url

    def blob_store(self) -> BlobStore:
        """Open the store at :attr:`store_url`, or make it."""
        from fedcxr.store.blobs import BlobStore

        return BlobStore(self.store_url)

    def write_layout(self, layout: Layout) -> None:
        files.write(self.layout_path, layout.to_json())

    def read_layout(self) -> Layout:
        """Read the layout; raises StoreError when it is missing, LayoutError when it is damaged."""
        from fedcxr.update.layout import Layout

        return Layout.from_json(_read_text(self.layout_path))

    def write_facts(self, facts: LedgerFacts) -> None:
        files.write(self.root / "ledger.json", json.dumps(asdict(facts), indent=2) + "\n")

    def read_facts(self) -> LedgerFacts:
        """Read the facts of the ledger; raises StoreError when they are missing or damaged."""
        path = self.root / "ledger.json"
        try:
            facts = LedgerFacts(**json_text.parse(_read_text(path)))
        except (ValueError, TypeError) as error:
            raise StoreError(f"{path}: damaged: {error}") from None
        for field in fields(facts):
            value = getattr(facts, field.name)
            if type(value).__name__ != field.type:  # annotations are strings here
                raise StoreError(f"{path}: damaged: {field.name} is {value!r}, not a {field.type}.")
        return facts


def _read_text(path: Path) -> str:
    try:
        return bounded.read(path, json_text.LONGEST).decode()
    except (OSError, UnicodeDecodeError) as error:
        raise StoreError(f"{path}: cannot be read: {error}") from None

"""Where an audit finds a run's files: in its directory, or in the store alone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from fedcxr import bounded
from fedcxr import config as configuration
from fedcxr.audit.evidence import Evidence, ModelFiles
from fedcxr.audit.findings import AuditReport
from fedcxr.audit.metrics_line import read_lines
from fedcxr.audit.pruned import Removal
from fedcxr.audit.seen_heads import check_kept_heads
from fedcxr.audit.surplus import check_surplus
from fedcxr.config import Config
from fedcxr.errors import BlobMissingError, ConfigError, FedcxrError, LayoutError, StoreError
from fedcxr.ledger.views import FederationViews
from fedcxr.round_lines import FaultyLine, RoundLine
from fedcxr.store.blobs import BlobStore
from fedcxr.store.configuration import get_configuration
from fedcxr.store.pruned import NAME
from fedcxr.store.run_directory import RunDirectory
from fedcxr.update import frozen_file, merkle
from fedcxr.update.layout import LONGEST, MOST_VALUES, Layout


class Sources(Protocol):
    """What an audit asks for besides the ledger; what is not as it says becomes a finding."""

    def config(self, ledger: FederationViews, report: AuditReport) -> Config | None:
        """The configuration, if it is the ledger's; None where nothing here has it."""
        ...

    def store_url(self, config: Config | None, ledger: FederationViews, report: AuditReport) -> str: ...

    def layout(self, ledger: FederationViews, report: AuditReport) -> Layout | None: ...

    def models(self, last: int) -> ModelFiles: ...

    def lines(self, last: int, report: AuditReport) -> dict[int, RoundLine | FaultyLine] | None:
        """Of ``metrics.jsonl`` by round; None where there can be none."""
        ...

    def removal(self, ledger: FederationViews, report: AuditReport) -> Removal:
        """What the run's keeper says that he removed."""
        ...

    def conclude(self, evidence: Evidence, last: int) -> None:
        """Check what belongs to no round."""
        ...


@dataclass(frozen=True)
class RunSources:
    """A run directory.

    Attributes:
        run: the directory.
        url: of the store, where the reader knows better than the run.
    """

    run: RunDirectory
    url: str = ""

    def config(self, ledger: FederationViews, report: AuditReport) -> Config | None:
        expected = ledger.config_digest
        try:
            config = configuration.load(self.run.config_path)
        except FedcxrError as error:
            report.find("config.toml", expected.hex(), str(error))
            return None
        if config.digest() != expected:
            report.find("config.toml", expected.hex(), config.digest().hex())
            return None
        return config

    def store_url(self, config: Config | None, ledger: FederationViews, report: AuditReport) -> str:
        """Where the reader or the configuration says; else the default place."""
        del ledger, report
        if self.url or config is None or not config.store.url:
            return self.url or str(self.run.root / "blobs")
        return self.run.permitted_store(config.store.url)

    def layout(self, ledger: FederationViews, report: AuditReport) -> Layout | None:
        """The layout, if the file's very bytes are those that the ledger holds."""
        path, expected = self.run.layout_path, ledger.layout_digest
        try:
            data = bounded.read(path, LONGEST)
            if (found := merkle.root(data)) == expected:
                return Layout.from_json(data.decode())
            report.find(path.name, expected.hex(), found.hex())
        except (OSError, UnicodeDecodeError, LayoutError, StoreError) as error:
            report.find(path.name, expected.hex(), str(error))
        report.unchecked.append("sums and model files: layout.json is not the ledger's")
        return None

    def models(self, last: int) -> ModelFiles:
        return ModelFiles.of_run(self.run, last)

    def lines(self, last: int, report: AuditReport) -> dict[int, RoundLine | FaultyLine] | None:
        return read_lines(self.run.metrics.path, last, report)

    def removal(self, ledger: FederationViews, report: AuditReport) -> Removal:
        return Removal.of(self.run.root, ledger, report)

    def conclude(self, evidence: Evidence, last: int) -> None:
        self._check_partition(evidence)
        self._check_frozen(evidence)
        check_frozen_blob(evidence)
        self._check_configuration(evidence)
        self._check_models(evidence, last)
        check_kept_heads(self.run.heads_path, evidence.ledger, evidence.report)
        if evidence.scope.whole:
            check_surplus(self.run.root / "blobs", evidence.named, evidence.ledger, evidence.report)
        else:
            evidence.report.unchecked.append(
                "files in blobs/ that no round names: only a whole audit looks at them"
            )

    def _check_partition(self, evidence: Evidence) -> None:
        """``partition.json`` is what the rounds' configurations name."""
        try:
            found = self.run.partition_digest()
        except StoreError as error:
            found = str(error)
        for expected in sorted(evidence.partitions - {found}):
            name = self.run.partition_path.name
            evidence.report.find(name, expected or "no such file", found or "no such file")

    def _check_configuration(self, evidence: Evidence) -> None:
        """What the store has under the configuration's digest is the configuration."""
        digest = evidence.ledger.config_digest
        try:
            get_configuration(evidence.store, digest)
        except BlobMissingError:
            return  # an earlier fedcxr put none there
        except StoreError as error:
            name = digest.hex()
            evidence.report.find(f"blobs/{name[:2]}/{name}", "the configuration", str(error))
        evidence.named.add(digest)

    def _check_frozen(self, evidence: Evidence) -> None:
        """``frozen.safetensors`` has the tensors that no round trains, and no byte that they do not give."""
        layout, path = evidence.layout, self.run.frozen_path
        if layout is None or not layout.frozen:
            return
        try:
            found = frozen_file.root(path).hex()
            fault = frozen_file.fault(path, layout)
        except (LayoutError, OSError) as error:
            found, fault = str(error), ""
        if found != layout.frozen:
            evidence.report.find(path.name, layout.frozen, found)
        elif fault:
            evidence.report.find(path.name, "the bytes that its tensors give", fault)

    def _check_models(self, evidence: Evidence, last: int) -> None:
        """The released file must be there, and none that no round released."""
        run, report = self.run, evidence.report
        if last and not run.model(last).exists():
            report.find(run.model(last).name, "the released model", "no such file", last)
        known = {run.model(number).name for number in range(last + 1)}
        pending = run.model(last + 1).name
        for path in sorted(run.models.glob("*.safetensors")):
            if path.name == pending and evidence.ledger.round_in_progress == last + 1:
                report.unchecked.append(f"{path.name}: its round is not finalized")
            elif path.name not in known:
                report.find(path.name, "no such file: no round released it", f"{path.stat().st_size} bytes")


@dataclass(frozen=True)
class StoreSources:
    """A store and no run directory, as a third party has it.

    Attributes:
        url: of the store.
        genesis: file of the first model; None to look for it in the store.
        released: file that is said to be the released model; None when there is none to compare.
        configuration: file of the configuration; None to look for it in the store.
        pruned: ``pruned.json`` of the run, as its keeper hands it out; None where there is none.
        metrics: ``metrics.jsonl`` of the run, likewise: of masked rounds it names the seeds.
    """

    url: str
    genesis: Path | None = None
    released: Path | None = None
    configuration: Path | None = None
    pruned: Path | None = None
    metrics: Path | None = None

    def config(self, ledger: FederationViews, report: AuditReport) -> Config | None:
        """The configuration as the coordinator put it into the store, or of the file that the reader has.

        Raises:
            ConfigError: the reader's file cannot be read, or is another configuration than the ledger's.
        """
        expected = ledger.config_digest
        if self.configuration is not None:
            config = configuration.load(self.configuration)
            if (found := config.digest()) != expected:
                raise ConfigError(
                    f"--config {self.configuration}: {found.hex()}, and the ledger's is {expected.hex()}."
                )
            return config
        try:
            return get_configuration(BlobStore(self.url, make=False), expected)
        except StoreError as error:
            report.unchecked.append(
                f"what the configuration says of rounds, deadlines and weights: it is not at hand ({error})"
            )
            return None

    def store_url(self, config: Config | None, ledger: FederationViews, report: AuditReport) -> str:
        """Raises StoreError where the URL is of a folder that is not there."""
        del config
        store = BlobStore(self.url, make=False)
        if not store.is_there:
            raise StoreError(f"{self.url}: there is no such store (--store).")
        if store.size(ledger.layout_digest) is None:
            report.notes.append(
                f"{self.url} does not hold the federation's layout: is it the store of this federation?"
            )
        lines = "metrics.jsonl, " if self.metrics is None else ""
        report.unchecked.append(f"{lines}partition.json: an audit of a store has none")
        return self.url

    def layout(self, ledger: FederationViews, report: AuditReport) -> Layout | None:
        """The layout as the coordinator put it into the store."""
        expected = ledger.layout_digest
        try:
            return Layout.from_json(BlobStore(self.url, make=False).get(expected, LONGEST).tobytes().decode())
        except (StoreError, UnicodeDecodeError, LayoutError) as error:
            report.unchecked.append(f"sums: the store has no layout with the ledger's digest ({error})")
            return None

    def models(self, last: int) -> ModelFiles:
        paths = {} if self.genesis is None else {0: self.genesis}
        if self.released is not None:
            paths[last] = self.released
        return ModelFiles(paths, last)

    def lines(self, last: int, report: AuditReport) -> dict[int, RoundLine | FaultyLine] | None:
        """Raises StoreError where the reader's own file is none."""
        if self.metrics is None:
            return None
        if not self.metrics.is_file():
            raise StoreError(f"{self.metrics}: there is no such file (--metrics).")
        return read_lines(self.metrics, last, report)

    def removal(self, ledger: FederationViews, report: AuditReport) -> Removal:
        """Raises StoreError where the reader's own file is none."""
        if self.pruned is None:
            return Removal(Path())
        if self.pruned.name != NAME or not self.pruned.is_file():
            raise StoreError(f"{self.pruned}: there is no such file, or it is not named {NAME} (--pruned).")
        return Removal.of(self.pruned.parent, ledger, report)

    def conclude(self, evidence: Evidence, last: int) -> None:
        del last
        check_frozen_blob(evidence)
        whose = "it may serve other federations too"
        evidence.report.unchecked.append(f"files in the store that the ledger does not name: {whose}")
        if self.released is None:
            evidence.report.unchecked.append("the released model's file: none was given (--model)")
        elif not self.released.exists():
            evidence.report.find(self.released.name, "the released model", "no such file")


def check_frozen_blob(evidence: Evidence) -> None:
    """The store has the tensors that no round trains, so that outsiders hold the whole model."""
    if evidence.layout is None or not evidence.layout.frozen:
        return
    root = bytes.fromhex(evidence.layout.frozen)
    evidence.named.add(root)
    try:
        evidence.store.get(root, 4 * MOST_VALUES)
    except StoreError as error:
        evidence.report.find("tensors that no round trains", root.hex(), str(error))

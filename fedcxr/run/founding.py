"""The founding of a run: keys, first model and contract, made once and found again after a restart."""

from __future__ import annotations

import hashlib

import numpy as np

from fedcxr.chain.backends import Chain
from fedcxr.chain.web3_errors import translated
from fedcxr.config import Config
from fedcxr.ledger.bounds import configured_bounds
from fedcxr.ledger.contract import FederationLedger
from fedcxr.ledger.court import DisputeCourt
from fedcxr.ledger.deployment_parameters import DeploymentParameters, configured
from fedcxr.ledger.protocol import Ledger
from fedcxr.ledger.unrecorded import UnrecordedLedger
from fedcxr.models.initial import require_usual_draws
from fedcxr.store.configuration import put_configuration
from fedcxr.store.identity import Identity
from fedcxr.store.run_chain import check_genesis
from fedcxr.store.run_directory import LedgerFacts, RunDirectory
from fedcxr.training.first_model import FirstModel, read_pretrained, weights_data
from fedcxr.training.shared_tensors import write_frozen
from fedcxr.update import frozen_file, model_file
from fedcxr.update.layout import Layout


def federation_id(config: Config) -> bytes:
    """The federation's id, 32 bytes that follow from the configuration alone.

    Two runs of one experiment therefore release the same model file.
    """
    return hashlib.sha256(b"fedcxr/federation/1" + config.digest()).digest()


def coordinator_identity(run: RunDirectory) -> Identity:
    """The coordinator's keys; made with the run."""
    return Identity.load_or_create(run.keys / "coordinator.json", run.config.privacy.kem)


def auditor_identity(run: RunDirectory) -> Identity | None:
    """The auditor's keys, or None when updates are sealed to the coordinator alone; made with the run."""
    if not run.config.privacy.auditor:
        return None
    return Identity.load_or_create(run.keys / "auditor.json", run.config.privacy.kem)


def prepare_genesis(run: RunDirectory) -> Layout:
    """Write the model that the federation starts from, unless it is written already; return its layout.

    Raises:
        ConfigError, ModelError: it cannot be made here.
    """
    path = run.model(0)
    config = run.config
    if path.exists() and (run.root / "layout.json").exists():
        return run.read_layout()
    require_usual_draws()
    weights = read_pretrained(config.model)
    first = FirstModel.of(config, weights)
    layout, vector = first.layout, first.vector
    write_frozen(first.model, config, layout, run.frozen_path)
    # In the store too, under the digests that the ledger holds: a third party audits from the store alone.
    store = run.blob_store()
    put_configuration(store, config)
    store.put(layout.to_json().encode(), layout.digest)
    store.put(vector.astype("<f4", copy=False).view(np.uint8))
    if weights is not None and config.model.pretrained_digest:
        store.put(weights_data(weights), bytes.fromhex(config.model.pretrained_digest))
    if layout.frozen:
        store.put(frozen_file.values(run.frozen_path))
    run.write_layout(layout)
    model_file.write(path, vector, layout, federation=federation_id(config), round_number=0)
    return layout


def open_ledger(run: RunDirectory, layout: Layout, chain: Chain | None) -> Ledger:
    """The run's ledger: the contract on the chain, deployed when the run is new; off without a chain."""
    config = run.config
    identity = coordinator_identity(run)
    auditor = auditor_identity(run)
    genesis_digest = model_file.vector_digest(model_file.read(run.model(0), layout))
    federation = federation_id(config)
    if chain is None:
        run.write_facts(LedgerFacts(federation.hex(), 0, ""))
        return UnrecordedLedger(
            federation=federation,
            genesis_digest=genesis_digest,
            weighting=config.federation.weighting,
            min_updates=config.federation.min_hospitals,
            largest_share=config.federation.share_parts,
        )
    if run.founded:
        check_genesis(run, chain)
        translated(chain.w3.sender(identity.account).settle)
        return FederationLedger.attach(chain.w3, run.read_facts().contract, account=identity.account)
    chain.fund(identity.account.address)
    parameters = DeploymentParameters(
        federation=federation,
        layout_digest=layout.digest,
        genesis_digest=genesis_digest,
        coordinator_key=identity.envelope_key.public.data,
        auditor_key=auditor.envelope_key.public.data if auditor else b"",
        **configured(config, layout.size),
    )
    ledger = FederationLedger.deploy(chain.w3, identity.account, parameters, configured_bounds(config))
    if config.ledger.bond:
        DisputeCourt(chain.w3, ledger.views.court, identity.account).post_bond(config.ledger.bond)
    first_block = translated(chain.w3.genesis)
    run.write_facts(LedgerFacts(federation.hex(), config.ledger.chain_id, ledger.address, first_block))
    return ledger

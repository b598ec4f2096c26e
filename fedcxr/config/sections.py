"""The tables of a configuration, but for ``[model]``: every key, its default, and what is allowed."""

from __future__ import annotations

import math
import os
import re
from pathlib import Path
from typing import Annotated, Literal, NoReturn, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from fedcxr.errors import ConfigError

Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Positive = Annotated[float, Field(gt=0.0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]
Weight = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]
RoundPurpose = Literal["pretraining", "training", "calibration"]
MAX_HOSPITALS = 4096  # of a federation: the contract's bound, for every hospital weighs one at least
_REORGANISED = 3  # blocks that a chain of others may take back at any time
_MINED_WITHIN = 120  # seconds that an opening may wait for its block
UncertaintyName = Literal["ignore", "zeros", "ones", "smoothed", "smoothed_zeros"]


class Section(BaseModel):
    """A table of the TOML file: frozen, and closed to keys that it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        """Refuse a change with a ConfigError that says how a changed configuration is made."""
        raise ConfigError(
            f"{name} = {value!r}: a configuration is never changed in place; make another, as in "
            'config.with_changes({"federation.rounds": 9}) or load_config(path, {"federation.rounds": 9}).'
        )


def expand(key: str, text: str) -> str:
    """A value with its environment variables filled in; raises ConfigError where one is not set."""
    expanded = os.path.expandvars(text)
    if left := re.search(r"\$\{?(\w+)", expanded):
        raise ConfigError(f"{key} = {text!r}: the environment variable {left[1]} is not set.")
    return expanded


def _expand(key: str, path: str) -> Path:
    return Path(expand(key, path)).expanduser()


class Phantom(Section):
    """Synthetic chest X-rays, generated under :attr:`Data.root` when it does not hold them yet."""

    hospitals: Count = 4
    patients: Annotated[int, Field(ge=10)] = 320  # per hospital, train and valid together
    valid_fraction: Fraction = 0.25
    size: Annotated[int, Field(ge=32, le=1024)] = 128  # pixels a side


class Data(Section):
    """Where the images are, in the CheXpert layout, and how their labels are read.

    Paths may hold environment variables (``$FEDCXR_REAL_CXR``); they stay unexpanded in the resolved
    configuration, so that its digest does not depend on the machine.
    """

    root: str
    train_csv: str = "train.csv"  # relative to root
    valid_csv: str = "valid.csv"
    cache: str = ""  # directory of decoded images; empty: <run>/cache
    size: Annotated[int, Field(ge=32, le=1024)] = 64  # training resolution, pixels a side
    uncertain: UncertaintyName = "ones"  # treatment of -1, all labels
    uncertain_per_label: dict[str, UncertaintyName] = Field(default_factory=dict)
    blank: Literal["negative", "ignore"] = "negative"  # CheXpert's convention: not mentioned = negative
    labelled: Fraction = 1.0  # of patients in training: of the others the images alone are used
    phantom: Phantom | None = None

    @property
    def root_path(self) -> Path:
        """``root`` with variables and ``~`` expanded.

        Raises:
            ConfigError: a variable is not set.
        """
        return _expand("data.root", self.root)

    def cache_path(self, fallback: Path, split: str) -> Path:
        """Where a split's decoded images are: below ``cache``, expanded, or ``fallback`` where it is empty.

        Each size has a folder of its own, so that experiments at two sizes can share a cache.

        Raises:
            ConfigError: a variable is not set.
        """
        base = _expand("data.cache", self.cache) if self.cache else fallback
        return base / f"{self.size}px" / split


class Partition(Section):
    """How patients are dealt out to hospitals; by patient, never by row."""

    scheme: Literal["natural", "dirichlet", "quantity", "device", "iid"] = "natural"
    hospitals: Annotated[int, Field(ge=1, le=MAX_HOSPITALS)] = 4  # ignored by natural: the sites decide
    sites: str = "hospitals.csv"  # natural: CSV with columns patient and site, relative to data.root
    leave_out: tuple[str, ...] = ()  # natural: sites that are no hospital, unseen in train and in valid
    alpha: Positive = 0.5  # dirichlet, quantity: smaller is more skewed
    min_patients: Count = 2  # a hospital with fewer is an error, not an empty shard

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.leave_out and self.scheme != "natural":
            raise ValueError(
                f"scheme = {self.scheme!r} deals hospitals out, so that none is a site to leave_out; "
                "allowed there: 'natural'"
            )
        return self


class Training(Section):
    """One hospital's local training in one round: what it minimises, what of the model moves, and how."""

    local_epochs: Count = 1
    batch_size: Annotated[int, Field(ge=2)] = 32
    learning_rate: Positive = 1e-3
    min_learning_rate: Annotated[float, Field(ge=0.0)] = 1e-5  # the cosine's end, at a phase's last round
    pretrain_epochs: Annotated[int, Field(ge=0)] = 0  # in place of local_epochs there; 0: the same
    pretrain_learning_rate: Positive = 1e-3  # in place of learning_rate in the pretraining rounds
    warmup_rounds: Annotated[float, Field(ge=0.0)] = 0.5  # linear, in rounds, at the start of each phase
    weight_decay: Annotated[float, Field(ge=0.0)] = 1e-2
    clip_norm: Positive = 1.0
    label_loss: Literal["bce", "auc_margin"] = "bce"
    self_supervised: Literal["ntxent", "moco", "byol", "swav", "none"] = "ntxent"
    contrastive_weight: Weight = 0.1  # lambda of the self-supervised term in the joint objective
    joint: bool = True  # whether it goes on beside the labels after the pretraining rounds
    temperature: Positive = 0.1  # of ntxent, moco, swav and the supervised contrastive term
    positives: Literal["views", "study", "patient"] = "views"  # what counts as the same thing seen again
    queue: Annotated[int, Field(ge=0)] = 1024  # moco: keys; swav: projections; they stay at the hospital
    prototypes: Annotated[int, Field(ge=2)] = 64  # of swav
    supervised_weight: Weight = 0.0  # of the supervised contrastive term
    consistency_weight: Weight = 0.0  # of pseudo labels for the labels that are masked
    consistency_threshold: Annotated[float, Field(ge=0.5, lt=1.0)] = 0.8  # how sure the teacher must be
    consistency_rampup: Annotated[float, Field(ge=0.0)] = 1.0  # rounds until it has its full weight
    reconstruction_weight: Weight = 0.0  # for models that reconstruct their input
    teacher_momentum: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.99  # a step; teacher, moco and byol
    strategy: Literal["full", "probe", "gradual", "auto_rgn", "selective"] = "full"  # of fine-tuning
    hierarchy: Literal["conditional", "whole"] = "conditional"  # loss of model.labels = "conditional"
    train: tuple[str, ...] = ()  # selective: patterns of the tensors, or of the modules, that are trained
    augmentation: Annotated[float, Field(ge=0.0, le=2.0)] = 0.5  # strength; few epochs want it mild
    accumulate: Count = 1  # parts that a batch goes through the network in
    compile: bool = False  # torch.compile
    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["auto", "float32", "bfloat16"] = "auto"  # auto: measured once, then written here
    memory_format: Literal["auto", "channels_last", "contiguous"] = "auto"
    threads: Annotated[int, Field(ge=1, le=256)] = 1  # torch's threads per client; they change the bits

    @property
    def contrast(self) -> bool:
        """Whether there is a self-supervised term."""
        return self.self_supervised != "none" and self.contrastive_weight > 0

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.accumulate > self.batch_size // 2:
            raise ValueError(
                f"accumulate = {self.accumulate}: a part of a batch of {self.batch_size} would have fewer "
                f"than two images; allowed: 1 to {self.batch_size // 2}"
            )
        if self.self_supervised == "moco" and self.queue == 0:
            raise ValueError("self_supervised = 'moco' has its negatives in the queue: set queue above 0")
        if (self.strategy == "selective") != bool(self.train):
            raise ValueError("train names what strategy = 'selective' trains: set both, or neither")
        return self


class Federation(Section):
    """Rounds, and who must take part."""

    rounds: Count = 3  # of training
    pretrain_rounds: Annotated[int, Field(ge=0)] = 0  # the first of them, without labels
    calibrate: bool = False  # one more round at the end, in which only BatchNorm's statistics move
    weighting: Literal["samples", "uniform"] = "samples"  # the contract turns it into integer weights
    min_hospitals: Count = 1  # accepted updates that a round needs
    update_form: Literal["plain", "packed", "short"] = "plain"  # what an update's bytes are
    largest_share: Annotated[float, Field(gt=0.0, le=1.0)] | None = None  # of the weight, for one hospital
    # rows of labels that few hospitals have: withhold, nobody moves them; say, the summary names them;
    # None becomes withhold where a masked federation is prepared, and is say in one that was founded without
    rare_labels: Literal["withhold", "say"] | None = None
    join_timeout: Positive = 600.0  # seconds to wait for the hospitals' nodes to appear
    round_timeout: Positive = 86_400.0  # seconds a round waits for its hospitals
    ray_cpus: Annotated[float, Field(gt=0.0)] = 1.0  # of a Ray client actor
    ray_gpus: Annotated[float, Field(ge=0.0)] = 0.0

    @property
    def total_rounds(self) -> int:
        """Rounds on the ledger."""
        return self.rounds + self.calibrate

    def purpose(self, number: int) -> RoundPurpose | None:
        """What a round is for, by its number from 1; None where there is no such round."""
        if not 1 <= number <= self.total_rounds:
            return None
        if number > self.rounds:
            return "calibration"
        return "pretraining" if number <= self.pretrain_rounds else "training"

    @property
    def withholds(self) -> bool:
        """Whether nobody moves the rows of labels that too few hospitals have."""
        return self.rare_labels == "withhold"

    @property
    def share_parts(self) -> int:
        """:attr:`largest_share` in 1/10,000, as the contract has it; 0 where it is unset."""
        return 0 if self.largest_share is None else round(10_000 * self.largest_share)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.largest_share is None:
            return self
        if not math.isclose(self.share_parts, 10_000 * self.largest_share, abs_tol=1e-6):
            raise ValueError(f"largest_share = {self.largest_share}: at most four digits after the point")
        if self.share_parts == 0 or self.min_hospitals * self.share_parts < 10_000:
            fewest = "more" if self.share_parts == 0 else math.ceil(10_000 / self.share_parts)
            raise ValueError(
                f"largest_share = {self.largest_share}: with fewer than {fewest} hospitals one has more, and "
                f"min_hospitals = {self.min_hospitals} lets a round do with them"
            )
        return self


class Validation(Section):
    """Whether a committee of hospitals judges each update before it counts."""

    policy: Literal["none", "committee"] = "none"
    committee: Annotated[int, Field(ge=1, le=13)] = 4  # validators drawn a round, 3f+1; 2f+1 must approve
    fold: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.2  # of a hospital's patients, held back to judge on
    tolerance: Annotated[float, Field(ge=0.0)] = 0.1  # by how much the loss may rise, relative to the base's
    window: Annotated[int, Field(ge=60)] = 86_400  # seconds from closing in which validators may attest


class Privacy(Section):
    """The envelope around an update (RFC 9180)."""

    # sealed: the coordinator opens each update; masked: nobody does, and their sum alone is unmasked;
    # open: for public data, anyone can add the updates
    envelope: Literal["sealed", "masked", "open"] = "sealed"
    kem: Literal["MLKEM768_X25519", "X25519"] = "MLKEM768_X25519"
    auditor: bool = True  # seal to an auditor's key as well
    # masked: which share of the hospitals may collude with the coordinator
    colluders: Annotated[float, Field(ge=0.0, le=0.5)] = 0.34
    unmask_window: Positive = 86_400.0  # masked: seconds to wait for the hospitals' answers
    losses: bool = False  # masked: tell the hospitals' losses all the same

    @property
    def open_updates(self) -> bool:
        """Whether everybody can read the updates, so that the contract takes challenges of their sum."""
        return self.envelope == "open"

    @property
    def colluder_parts(self) -> int:
        """``colluders`` in 1/10,000, as everyone computes with it."""
        return round(10_000 * self.colluders)


class Ledger(Section):
    """Where the contract lives. ``off`` exists to measure what the ledger costs."""

    backend: Literal["embedded", "anvil", "rpc", "off"] = "embedded"
    url: str = ""  # of a chain that stands; may hold $VARIABLES, as a key of an API does not belong on record
    chain_id: Count = 61_370  # our own: a signature for it is worthless elsewhere
    anvil: str = ""  # the program; empty: on PATH, or as npm installs it
    block_time: Annotated[float, Field(ge=0.0, le=3600.0)] = 0.0  # seconds; 0: a block a transaction
    finality: Annotated[int, Field(ge=0, le=100_000)] = 0  # blocks over a transaction before it counts
    timeout: Positive = 30.0  # seconds for one request
    stuck_after: Positive = 120.0  # seconds before a transaction is replaced by one that pays more
    rpc_host: str = "127.0.0.1"  # where a chain of this process answers hospitals in other processes
    rpc_port: Annotated[int, Field(ge=0, le=65535)] = 0  # 0: any free one, written to <run>/ledger.url
    deadline: Annotated[int, Field(ge=60)] = 86_400  # seconds in which the contract takes updates
    recording: Literal["each", "root"] = "each"  # of submissions: each on the chain, or one root of all
    admission: Literal["coordinator", "vote"] = "coordinator"  # of members, once a round has been opened
    rewards: Annotated[int, Field(ge=0, lt=2**64)] = 1_000_000  # contribution credits a round
    bond: Annotated[int, Field(ge=0, lt=2**128)] = 0  # wei that the coordinator stands to lose in a dispute
    dispute_window: Annotated[int, Field(ge=0, lt=2**32)] = (
        604_800  # seconds in which a round can be challenged
    )

    @property
    def one_root(self) -> bool:
        """Whether the contract keeps one root of a round's submissions, and checks none of them itself."""
        return self.recording == "root"

    @property
    def head_depth(self) -> int:
        """Blocks over the one that a hospital signs as the chain's head.

        A chain that others keep may take its last blocks back, whatever ``finality`` says; what the sender
        repairs then is no reason for hospitals to refuse the chain.
        """
        return max(self.finality, _REORGANISED) if self.backend == "rpc" else self.finality

    @property
    def shortest_deadline(self) -> int:
        """Seconds that a round's deadline leaves at least when its opening is in a block.

        The coordinator counts it from its clock or from the last block, whichever is later. A queue, a clock
        that runs ahead and an interval between blocks take of it what passes until the opening is in a block.
        """
        slack = min(self.deadline // 2, max(self.deadline // 10, _MINED_WITHIN))
        return max(0, self.deadline - slack - math.ceil(self.block_time))

    @property
    def endpoint(self) -> str:
        """:attr:`url` with its variables filled in; raises ConfigError where one is not set."""
        return expand("ledger.url", self.url)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.backend == "rpc" and not self.url:
            raise ValueError("backend = 'rpc' wants ledger.url")
        if self.url and self.backend in ("embedded", "off"):
            raise ValueError(f"url is for backend 'rpc' or 'anvil', not '{self.backend}'")
        own_anvil = self.backend == "anvil" and not self.url
        if self.block_time and not own_anvil:
            raise ValueError("block_time is for an anvil that the run starts (backend = 'anvil', no url)")
        if self.finality and (self.backend == "embedded" or (own_anvil and not self.block_time)):
            raise ValueError(
                "finality waits for further blocks, and this chain makes none of its own accord: allowed: 0, "
                "or backend = 'rpc', or an anvil with a block_time"
            )
        return self


class Store(Section):
    """The blob store, and how many released models are kept beside it."""

    url: str = ""  # fsspec URL; empty: <run>/blobs
    keep_models: Annotated[int, Field(ge=0)] = 0  # the last k rounds' models, at least 2; 0: all


class Evaluation(Section):
    """Of the released model, after every round."""

    batch_size: Count = 128
    bootstrap: Annotated[int, Field(ge=0)] = 1000  # resamples of patients for the 95 % interval; 0: none
    target_sensitivity: Fraction = 0.0  # that thresholds are fitted to reach; 0: Youden's index

"""One frozen, validated configuration.

A run is a TOML file (``experiments/*.toml``) plus ``--set key.path=value``. An unknown key or a bad value
is a :class:`~fedcxr.errors.ConfigError` that names the key and what is allowed. What a start-up measurement
chooses (:attr:`Training.precision`) is written back before the run begins, so that the resolved
configuration, whose digest is on the ledger, says everything that decides the model's bits.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from fedcxr.errors import ConfigError

Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Positive = Annotated[float, Field(gt=0.0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]
Weight = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]
MAX_HOSPITALS = 256  # of one round: the contract's bound
UncertaintyName = Literal["ignore", "zeros", "ones", "smoothed", "smoothed_zeros"]


class Section(BaseModel):
    """A table of the TOML file: frozen, and closed to keys that it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


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
    alpha: Positive = 0.5  # dirichlet, quantity: smaller is more skewed
    min_patients: Count = 2  # a hospital with fewer is an error, not an empty shard


class Model(Section):
    """The network: a name of the registry ``fedcxr.models``, its parts, and where its weights start."""

    name: str = "semssxl"
    encoder: str = "legacy_xception"  # of plain and dual_stream: a name of timm's, or vit_input_enhanced
    attention: bool = True  # of each label, over scales and positions; of Xception in semssxl and dual_stream
    fusion: bool = True  # of the three scales, top-down; the same
    labels: Literal["flat", "conditional"] = "flat"  # conditional: a child's logit is of P(child | parent)
    streams: Literal["both", "transfer", "autoencoder"] = "both"  # of dual_stream
    stream_fusion: Literal["concat", "gated", "cross_attention", "bilinear"] = "concat"  # of dual_stream
    checkpointing: bool = False  # compute the encoder's activations again instead of keeping them
    pretrained: str = ""  # "": random from the seed; "timm": timm's hub; else a .safetensors file
    projection_dim: Count = 128
    norm: Literal["shared", "local", "frozen", "group"] = (
        "shared"  # normalisation statistics, see models.norm
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.encoder != "legacy_xception" and self.name in ("semssxl", "compact"):
            raise ValueError(
                f"encoder = {self.encoder!r} is for name = 'plain' or 'dual_stream': "
                f"{self.name!r} has one of its own"
            )
        if self.name != "dual_stream" and (self.streams, self.stream_fusion) != ("both", "concat"):
            raise ValueError("streams and stream_fusion are for name = 'dual_stream'")
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
    self_supervised: Literal["ntxent", "moco", "byol", "swav", "none"] = "ntxent"
    contrastive_weight: Weight = 0.1  # lambda of the self-supervised term in the joint objective
    joint: bool = True  # whether it goes on beside the labels after the pretraining rounds
    temperature: Positive = 0.1  # of ntxent, moco, swav and the supervised contrastive term
    positives: Literal["views", "study", "patient"] = "views"  # what counts as the same thing seen again
    queue: Annotated[int, Field(ge=0)] = 1024  # moco: keys; swav: projections; they stay at the hospital
    prototypes: Annotated[int, Field(ge=2)] = 64  # of swav
    supervised_weight: Weight = 0.0  # of the supervised contrastive term
    consistency_weight: Weight = 0.0  # of pseudo labels for the labels that are masked
    consistency_threshold: Annotated[float, Field(ge=0.5, le=1.0)] = 0.8  # how sure the teacher must be
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
    join_timeout: Positive = 600.0  # seconds to wait for the hospitals' nodes to appear
    round_timeout: Positive = 86_400.0  # seconds a round waits for its hospitals
    ray_cpus: Annotated[float, Field(gt=0.0)] = 1.0  # of a Ray client actor
    ray_gpus: Annotated[float, Field(ge=0.0)] = 0.0

    @property
    def total_rounds(self) -> int:
        """Rounds on the ledger."""
        return self.rounds + self.calibrate


class Validation(Section):
    """Whether a committee of hospitals judges each update before it counts."""

    policy: Literal["none", "committee"] = "none"
    committee: Annotated[int, Field(ge=1, le=13)] = 4  # validators drawn a round, 3f+1; 2f+1 must approve
    fold: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.2  # of a hospital's patients, held back to judge on
    tolerance: Annotated[float, Field(ge=0.0)] = 0.1  # by how much the loss may rise, relative to the base's
    window: Annotated[int, Field(ge=60)] = 86_400  # seconds from closing in which validators may attest


class Privacy(Section):
    """The envelope around an update (RFC 9180)."""

    envelope: Literal["sealed", "open"] = "sealed"  # open: for public data; anyone can add the updates
    kem: Literal["MLKEM768_X25519", "X25519"] = "MLKEM768_X25519"
    auditor: bool = True  # seal to an auditor's key as well


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


class Config(Section):
    """A run. See ``experiments/`` for examples; ``fedcxr simulate --help`` for how to set a key."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]+$")]
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    data: Data
    partition: Partition = Partition()
    model: Model = Model()
    training: Training = Training()
    federation: Federation = Federation()
    validation: Validation = Validation()
    privacy: Privacy = Privacy()
    ledger: Ledger = Ledger()
    store: Store = Store()
    evaluation: Evaluation = Evaluation()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        self._check_objective()
        if self.federation.calibrate and self.model.norm != "shared":
            raise ValueError("federation.calibrate wants model.norm = 'shared': others share no statistics")
        if self.validation.policy == "committee":
            if self.validation.committee % 3 != 1:
                raise ValueError("validation.committee must be 3f+1: 1, 4, 7, 10 or 13")
            if self.ledger.recording == "root":
                raise ValueError("validation.policy = 'committee' wants ledger.recording = 'each'")
            if self.ledger.backend == "off":
                raise ValueError("validation.policy = 'committee' wants a ledger")
        if self.store.keep_models == 1:
            raise ValueError(
                "store.keep_models = 1: a round's scale needs the last two; allowed: 0 (all), 2, 3, …"
            )
        return self

    def _check_objective(self) -> None:
        training, federation = self.training, self.federation
        if training.min_learning_rate > training.learning_rate:
            raise ValueError("training.min_learning_rate is above training.learning_rate")
        if federation.pretrain_rounds and training.min_learning_rate > training.pretrain_learning_rate:
            raise ValueError("training.min_learning_rate is above training.pretrain_learning_rate")
        if federation.pretrain_rounds >= federation.rounds:
            raise ValueError(
                f"federation.pretrain_rounds = {federation.pretrain_rounds} leaves none of "
                f"federation.rounds = {federation.rounds} to the labels"
            )
        if federation.pretrain_rounds and not (training.contrast or training.reconstruction_weight):
            raise ValueError(
                "federation.pretrain_rounds wants something to learn without labels: "
                "training.self_supervised with contrastive_weight above 0, or reconstruction_weight above 0"
            )
        if not (training.joint or federation.pretrain_rounds):
            raise ValueError(
                "training.joint = false leaves the self-supervised term to the pretraining rounds, and "
                "federation.pretrain_rounds = 0: set self_supervised = 'none' to do without it"
            )
        if training.compile and self.model.checkpointing:
            raise ValueError(
                "training.compile chooses itself what is computed again, and takes no model.checkpointing: "
                "set one of them to false"
            )
        if training.hierarchy == "whole" and self.model.labels == "flat":
            raise ValueError("training.hierarchy = 'whole' is for model.labels = 'conditional'")
        policies = {self.data.uncertain, *self.data.uncertain_per_label.values()}
        if training.consistency_weight and (
            self.data.labelled == 1.0 and "ignore" not in {*policies, self.data.blank}
        ):
            raise ValueError(
                "training.consistency_weight is for labels that the data leave open, and none is: set "
                "data.uncertain or data.blank to 'ignore', data.labelled below 1, or the weight to 0"
            )
        if federation.calibrate and training.strategy in ("probe", "selective"):
            raise ValueError(
                "federation.calibrate moves every layer's statistics, and training.strategy = "
                f"'{training.strategy}' sends only some: choose 'full', 'gradual' or 'auto_rgn'"
            )
        if self.model.norm == "local" and self.validation.policy == "committee":
            raise ValueError(
                "validation.policy = 'committee' judges a whole model, and with model.norm = 'local' none "
                "travels: choose another norm, or policy 'none'"
            )

    @property
    def resolved(self) -> bool:
        """Whether nothing is left to a start-up measurement."""
        training = self.training
        return "auto" not in (training.device, training.precision, training.memory_format)

    def canonical_json(self) -> str:
        """The configuration as canonical JSON: sorted keys, no white space."""
        return json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))

    def digest(self) -> bytes:
        """SHA-256 of :meth:`canonical_json`, 32 bytes: what the ledger holds."""
        return hashlib.sha256(self.canonical_json().encode()).digest()

    def to_toml(self) -> str:
        """The configuration as TOML that :func:`load` reads back to an equal one."""
        import tomli_w

        return tomli_w.dumps(self.model_dump(mode="json", exclude_none=True))

    def differences(self, other: Config) -> dict[str, tuple[object, object]]:
        """Keys whose values differ, dotted, each with this configuration's value and the other's."""
        mine, others = _flat(self.model_dump(mode="json")), _flat(other.model_dump(mode="json"))
        return {
            key: (mine.get(key), others.get(key))
            for key in sorted(mine.keys() | others.keys())
            if mine.get(key) != others.get(key)
        }

    def with_changes(self, changes: Mapping[str, object]) -> Config:
        """A copy with dotted keys replaced, validated again: ``{"training.precision": "bfloat16"}``."""
        tree = self.model_dump(mode="json", exclude_none=True)
        for key, value in changes.items():
            _place(tree, key, value)
        return validate(tree, where="changes")


def overridden(config: Config, overrides: Iterable[str]) -> Config:
    """A configuration with ``key.path=value`` overrides; raises ConfigError as :func:`load`."""
    tree = config.model_dump(mode="json", exclude_none=True)
    _override(tree, overrides)
    return validate(tree, where="overrides")


def load(path: Path, overrides: Iterable[str] = ()) -> Config:
    """Read a TOML file and apply ``key.path=value`` overrides.

    A file may begin with ``extends = "other.toml"``, beside it: it says then what differs from that one.

    Raises:
        ConfigError: no such file, bad TOML, files that extend each other, an unknown key, a bad value.
    """
    tree = _read(path, ())
    _override(tree, overrides)
    return validate(tree, where=str(path))


def _read(path: Path, extending: tuple[Path, ...]) -> dict[str, Any]:
    """A file's tree over that of the file which it extends; ``extending`` are those that led here."""
    if path.resolve() in extending:
        raise ConfigError(f"{path}: extends itself, by way of {extending[-1]}.")
    try:
        tree = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        by = f" {extending[-1]} extends it." if extending else ""
        raise ConfigError(f"{path}: no such configuration file.{by}") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not TOML: {error}") from None
    base = tree.pop("extends", None)
    if base is None:
        return tree
    if not isinstance(base, str):
        raise ConfigError(f"{path}: extends = {base!r}: the name of a TOML file is wanted.")
    return _over(_read(path.parent / base, (*extending, path.resolve())), tree)


def _over(base: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """``base`` with what ``changes`` says, section by section."""
    for key, value in changes.items():
        both = isinstance(value, Mapping) and isinstance(base.get(key), dict)
        base[key] = _over(base[key], value) if both else value
    return base


def validate(tree: Mapping[str, object], where: str) -> Config:
    """A :class:`Config` from nested mappings.

    Raises:
        ConfigError: lists each wrong key with what is allowed there; ``where`` names the source.
    """
    try:
        return Config.model_validate(tree)
    except ValidationError as error:
        lines = [_explain(e["loc"], e["type"], e["msg"], e.get("input")) for e in error.errors()]
        raise ConfigError(f"{where}: " + "; ".join(lines)) from None


def _explain(loc: tuple[int | str, ...], kind: str, message: str, value: object) -> str:
    key = ".".join(str(part) for part in loc) or "configuration"
    if kind == "extra_forbidden":
        return f"{key}: unknown key (allowed: {', '.join(_known_keys(loc[:-1]))})"
    if kind == "missing":
        return f"{key}: required"
    return f"{key} = {value!r}: {message}" if not isinstance(value, dict | BaseModel) else f"{key}: {message}"


def _known_keys(loc: tuple[int | str, ...]) -> list[str]:
    section: Any = Config
    for part in loc:
        annotation = section.model_fields[str(part)].annotation
        members = getattr(annotation, "__args__", (annotation,))
        section = next(m for m in members if isinstance(m, type) and issubclass(m, BaseModel))
    return sorted(section.model_fields)


def _flat(tree: Mapping[str, object], prefix: str = "") -> dict[str, object]:
    flat: dict[str, object] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat


def _override(tree: dict[str, Any], overrides: Iterable[str]) -> None:
    for override in overrides:
        key, sign, text = override.partition("=")
        if not sign or not key.strip():
            raise ConfigError(f"--set {override!r}: write key.path=value, as in training.batch_size=16.")
        _place(tree, key.strip(), _value(text.strip()))


def _place(tree: dict[str, Any], key: str, value: object) -> None:
    *parents, last = key.split(".")
    for parent in parents:
        tree = tree.setdefault(parent, {})
        if not isinstance(tree, dict):
            raise ConfigError(f"{key}: {parent} is a value, not a section.")
    tree[last] = value


def _value(text: str) -> object:
    """A TOML value; what is not TOML is a string, so that ``--set model.name=semssxl`` needs no quotes."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text

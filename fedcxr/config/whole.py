"""A whole configuration: what its tables must be to each other, its digest, and its copies."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import PurePath
from typing import Annotated, Any, Self

from pydantic import BaseModel, Field, ValidationError, model_validator

from fedcxr.config.differential_privacy import DifferentialPrivacy
from fedcxr.config.model import Model
from fedcxr.config.sections import (
    Data,
    Evaluation,
    Federation,
    Ledger,
    Partition,
    Privacy,
    Section,
    Store,
    Training,
    Validation,
)
from fedcxr.errors import ConfigError
from fedcxr.spelling import nearest

#: Keys that came after federations had been founded, each with the value under which a run is as it was
#: before. The canonical form leaves them out there, so that an earlier run's digest stays the ledger's.
LATER_KEYS: Mapping[str, object] = {
    "model.pretrained_digest": "",
    "partition.leave_out": [],
    "federation.largest_share": None,
    "federation.rare_labels": None,
    "federation.update_form": "plain",
    "privacy.colluders": 0.34,
    "privacy.unmask_window": 86_400.0,
    "privacy.losses": False,
    "differential_privacy.epsilon": None,
    "differential_privacy.delta": None,
    "differential_privacy.clip": 1.0,
    "differential_privacy.noise_multiplier": None,
}


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
    differential_privacy: DifferentialPrivacy = DifferentialPrivacy()
    ledger: Ledger = Ledger()
    store: Store = Store()
    evaluation: Evaluation = Evaluation()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        self._check_objective()
        self._check_terms()
        if self.federation.calibrate and not self.model.normalisation.averages_statistics:
            raise ValueError("federation.calibrate wants model.norm = 'shared': others share no statistics")
        if self.validation.policy == "committee":
            if self.validation.committee % 3 != 1:
                raise ValueError("validation.committee must be 3f+1: 1, 4, 7, 10 or 13")
            if self.ledger.one_root:
                raise ValueError("validation.policy = 'committee' wants ledger.recording = 'each'")
            if self.ledger.backend == "off":
                raise ValueError("validation.policy = 'committee' wants a ledger")
        if self.federation.update_form != "plain" and self.privacy.open_updates:
            raise ValueError(
                f"federation.update_form = '{self.federation.update_form}' wants privacy.envelope = "
                "'sealed': the contract's court adds open updates byte by byte, and so knows 'plain' alone"
            )
        if self.privacy.envelope == "masked":
            self._check_masked()
        self.differential_privacy.check(
            data=self.data,
            model=self.model,
            training=self.training,
            federation=self.federation,
            privacy=self.privacy,
            validation=self.validation,
        )
        if self.federation.withholds:
            wants = "federation.rare_labels = 'withhold' wants"
            if self.ledger.backend == "off":
                raise ValueError(f"{wants} a ledger: who takes part in a round stands on it")
            if self.federation.min_hospitals < 3:
                raise ValueError(f"{wants} federation.min_hospitals of 3 or more: fewer hide nobody's rows")
        if self.store.keep_models == 1:
            raise ValueError(
                "store.keep_models = 1: a round's scale needs the last two; allowed: 0 (all), 2, 3, …"
            )
        return self

    def _check_masked(self) -> None:
        wants = "privacy.envelope = 'masked' wants"
        if self.validation.policy != "none":
            raise ValueError(f"{wants} validation.policy = 'none': a committee judges single updates")
        if self.ledger.backend == "off":
            raise ValueError(f"{wants} a ledger: the mask keys and the set of updates stand on it")
        if self.federation.min_hospitals < 3:
            raise ValueError(
                f"{wants} federation.min_hospitals of 3 or more: in a sum of two each sees the other"
            )
        if self.federation.update_form != "plain":
            raise ValueError(f"{wants} federation.update_form = 'plain': a masked update cannot be packed")
        if self.privacy.auditor:
            raise ValueError(
                f"{wants} privacy.auditor = false: no key opens a masked update, and an audit needs none"
            )

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
        if self.validation.policy == "committee" and not self.model.normalisation.one_model:
            raise ValueError(
                f"validation.policy = 'committee' judges a whole model, and with model.norm = "
                f"'{self.model.norm}' none travels: choose another norm, or policy 'none'"
            )

    def _check_terms(self) -> None:
        training = self.training
        if training.reconstruction_weight and not self.model.reconstructs:
            raise ValueError(
                "training.reconstruction_weight is for models that reconstruct their input: set it to 0, or "
                "choose model.name = 'dual_stream' with streams = 'both' or 'autoencoder'"
            )
        if training.positives != "views" and not training.contrast:
            raise ValueError(
                f"training.positives = {training.positives!r} is for a self-supervised term: there is none"
            )
        if training.label_loss == "auc_margin":
            self._check_auc_margin()

    def _check_auc_margin(self) -> None:
        if self.model.labels == "conditional":
            raise ValueError(
                "training.label_loss = 'auc_margin' ranks by each label's own probability: it is for "
                "model.labels = 'flat'"
            )
        if self.validation.policy == "committee":
            raise ValueError(
                "validation.policy = 'committee' judges by cross-entropy, which training.label_loss = "
                "'auc_margin' does not lower: choose 'bce', or policy 'none'"
            )

    @property
    def resolved(self) -> bool:
        """Whether nothing is left to a start-up measurement."""
        training = self.training
        return "auto" not in (training.device, training.precision, training.memory_format)

    def canonical_json(self) -> str:
        """The configuration as canonical JSON: sorted keys, no white space, :data:`LATER_KEYS` where used."""
        tree = self.model_dump(mode="json")
        for key, unused in LATER_KEYS.items():
            section, name = key.split(".")
            if tree[section][name] == unused:
                del tree[section][name]
            if not tree[section]:  # a table that came later
                del tree[section]
        return json.dumps(tree, sort_keys=True, separators=(",", ":"))

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
            place(tree, key, value)
        return validate(tree, where="changes")


def validate(tree: Mapping[str, object], where: str) -> Config:
    """A :class:`Config` from nested mappings.

    Raises:
        ConfigError: lists each wrong key with what is allowed there; ``where`` names the source.
    """
    try:
        return Config.model_validate(tree)
    except ValidationError as error:
        lines = [_explain(e["loc"], e["type"], e["msg"], e.get("input")) for e in error.errors()]
        apart = " " if len(lines) == 1 else "\n  "
        raise ConfigError("".join((f"{where}:", *(f"{apart}{line}" for line in lines)))) from None


def _explain(loc: tuple[int | str, ...], kind: str, message: str, value: object) -> str:
    key = ".".join(str(part) for part in loc) or "configuration"
    if kind == "extra_forbidden":
        return f"{key}: unknown key (allowed: {', '.join(_known_keys(loc[:-1]))}){_nearest_key(loc)}"
    if kind == "missing":
        return f"{key}: required"
    message = message.removeprefix("Value error, ").replace("a valid tuple", 'a list, such as ["…"]')
    return f"{key} = {value!r}: {message}" if not isinstance(value, dict | BaseModel) else f"{key}: {message}"


def _nearest_key(loc: tuple[int | str, ...]) -> str:
    """The sentence that names the key which an unknown one was meant to be, in its section or in another."""
    *parents, last = (str(part) for part in loc)
    own = {name: ".".join((*parents, name)) for name in _known_keys(loc[:-1])}
    sections = {name: field.annotation for name, field in Config.model_fields.items()}
    others = {
        name: f"{section}.{name}"
        for section, kind in sections.items()
        if isinstance(kind, type) and issubclass(kind, BaseModel)
        for name in kind.model_fields
    }
    keys = others if last in others else own  # a key that exists is in the wrong section
    if not (found := nearest(last, keys)):
        keys, found = others, nearest(last, others)
    return f". Did you mean {keys[found]}?" if found else ""


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


def place(tree: dict[str, Any], key: str, value: object) -> None:
    """Set a dotted key, paths as text; raises ConfigError where a part of the key is a value already."""
    *parents, last = key.split(".")
    for parent in parents:
        tree = tree.setdefault(parent, {})
        if not isinstance(tree, dict):
            raise ConfigError(f"{key}: {parent} is a value, not a section.")
    tree[last] = str(value) if isinstance(value, PurePath) else value

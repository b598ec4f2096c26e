"""A hospital's own settings, which no server can change: ``hospital.toml`` on its disk."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, ValidationError, model_validator

from fedcxr import toml_text
from fedcxr.config import Section
from fedcxr.errors import ConfigError


class HospitalData(Section):
    """Where this hospital's images are, in the CheXpert layout.

    With ``partition`` and ``shard`` the hospital holds only its shard of the CSV, as in a simulation.
    """

    root: str
    csv: str = "train.csv"  # relative to root
    cache: str = ""  # decoded images; empty: beside hospital.toml
    partition: str = ""  # manifest of `fedcxr data partition`; empty: every row is this hospital's
    shard: str = ""  # the hospital's name in the manifest; empty: `name`


AskedFor = Literal["pretraining", "training", "calibration", "judging"]
"""What a coordinator asks of a hospital, each under a phase's name."""


class HospitalLimits(Section):
    """What this hospital takes no part in, whoever asks; without a value there is no limit."""

    rounds: Annotated[int, Field(ge=1)] | None = None  # no round after this one
    learning_rate: Annotated[float, Field(gt=0.0, allow_inf_nan=False)] | None = None  # no higher one
    batch_size: Annotated[int, Field(ge=1)] | None = None  # no smaller batches
    images: Annotated[int, Field(ge=1)] | None = None  # no training on fewer images of its own
    phases: tuple[AskedFor, ...] | None = None  # no other than these
    share: Annotated[float, Field(gt=0.0, le=1.0)] | None = None  # of the weight; no more for another one
    deadline: Annotated[int, Field(ge=1)] | None = None  # no fewer seconds from a round's opening
    # accounts that the hospital got from people: in a masked round no more others than may collude
    known: tuple[str, ...] | None = None
    known_least: Annotated[int, Field(ge=1)] | None = None  # of them, beside this one, in attempt and set

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.known_least is not None and len(self.known or ()) < self.known_least:
            listed = f"{len(self.known)} are" if self.known is not None else "none is"
            raise ValueError(f"known_least = {self.known_least}, and {listed} in known")
        return self

    def takes_part_in(self, phase: AskedFor) -> bool:
        return self.phases is None or phase in self.phases


class HospitalPrivacy(Section):
    """What may be spent on this hospital's patients, in all federations together."""

    record: str  # file of what was spent, one for all federations over these patients; beside hospital.toml
    epsilon: Annotated[float, Field(gt=0.0, allow_inf_nan=False)]
    delta: Annotated[float, Field(gt=0.0, lt=1.0)] | None = None  # unset: one in the hospital's patients


class HospitalSettings(Section):
    """The settings of one hospital.

    Attributes:
        name: shown in reports; also what its random generators derive from.
        ledger: URL of the chain's JSON-RPC endpoint, a file that holds it, or ``off``.
        contract: address that the hospital insists on; empty: the first that it is registered with.
        limits: what it takes no part in.
        privacy: what may be spent on its patients; None where it joins no federation that would.
    """

    name: str
    ledger: str
    contract: str = ""
    data: HospitalData
    limits: HospitalLimits = HospitalLimits()
    privacy: HospitalPrivacy | None = None

    @classmethod
    def load(cls, path: Path) -> HospitalSettings:
        """Read ``hospital.toml``.

        Raises:
            ConfigError: missing, not TOML, an unknown key, a bad value.
        """
        try:
            return cls.model_validate(toml_text.parse(path.read_bytes()))
        except FileNotFoundError:
            raise ConfigError(f"{path}: no hospital settings here.") from None
        except OSError as error:
            raise ConfigError(f"{path}: cannot be read: {error.strerror}.") from None
        except ValidationError as error:
            found = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
            raise ConfigError(f"{path}: {found}") from None
        except ValueError as error:
            raise ConfigError(f"{path}: not TOML: {error}") from None

    def to_toml(self) -> str:
        import tomli_w

        unused = {"limits"} if self.limits == HospitalLimits() else None
        return tomli_w.dumps(self.model_dump(mode="json", exclude=unused, exclude_none=True))

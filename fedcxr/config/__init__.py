"""One frozen, validated configuration.

A run is a TOML file (``experiments/*.toml``) plus ``--set key.path=value``. An unknown key or a bad value
is a :class:`~fedcxr.errors.ConfigError` that names the key and what is allowed. What a start-up measurement
chooses (:attr:`Training.precision`) is written back before the run begins, so that the resolved
configuration, whose digest is on the ledger, says everything that decides the model's bits.
"""

from fedcxr.config.differential_privacy import DifferentialPrivacy
from fedcxr.config.model import Model
from fedcxr.config.normalisation import NORMALISATIONS, Normalisation, NormName
from fedcxr.config.reading import load, overridden
from fedcxr.config.sections import (
    MAX_HOSPITALS,
    Data,
    Evaluation,
    Federation,
    Ledger,
    Partition,
    Phantom,
    Privacy,
    RoundPurpose,
    Section,
    Store,
    Training,
    UncertaintyName,
    Validation,
    expand,
)
from fedcxr.config.whole import Config, validate

__all__ = [
    "MAX_HOSPITALS",
    "NORMALISATIONS",
    "Config",
    "Data",
    "DifferentialPrivacy",
    "Evaluation",
    "Federation",
    "Ledger",
    "Model",
    "NormName",
    "Normalisation",
    "Partition",
    "Phantom",
    "Privacy",
    "RoundPurpose",
    "Section",
    "Store",
    "Training",
    "UncertaintyName",
    "Validation",
    "expand",
    "load",
    "overridden",
    "validate",
]

"""Federated chest X-ray classification with a ledger that proves what was aggregated.

The names below are for notebooks and scripts (docs/python.md). Each is imported when it is first asked for,
so that ``import fedcxr`` itself costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fedcxr.api.assessment import evaluate
    from fedcxr.api.audit import Audit, Verification, verify_export
    from fedcxr.api.configuration import load_config
    from fedcxr.api.phantom import generate_phantom
    from fedcxr.api.prediction import Predictions
    from fedcxr.api.run import Run, open_run, simulate
    from fedcxr.config import Config
    from fedcxr.errors import FedcxrError
    from fedcxr.evaluation.competition.assessment import Assessment

__version__ = "0.1.0"
__all__ = [
    "Assessment",
    "Audit",
    "Config",
    "FedcxrError",
    "Predictions",
    "Run",
    "Verification",
    "evaluate",
    "generate_phantom",
    "load_config",
    "open_run",
    "simulate",
    "verify_export",
]

_PLACES = {
    "Assessment": ("fedcxr.evaluation.competition.assessment", "Assessment"),
    "Audit": ("fedcxr.api.audit", "Audit"),
    "Config": ("fedcxr.config", "Config"),
    "FedcxrError": ("fedcxr.errors", "FedcxrError"),
    "Predictions": ("fedcxr.api.prediction", "Predictions"),
    "Run": ("fedcxr.api.run", "Run"),
    "Verification": ("fedcxr.api.audit", "Verification"),
    "evaluate": ("fedcxr.api.assessment", "evaluate"),
    "generate_phantom": ("fedcxr.api.phantom", "generate_phantom"),
    "load_config": ("fedcxr.api.configuration", "load_config"),
    "open_run": ("fedcxr.api.run", "open_run"),
    "simulate": ("fedcxr.api.run", "simulate"),
    "verify_export": ("fedcxr.api.audit", "verify_export"),
}


def __getattr__(name: str) -> object:
    """Import a name when it is first asked for (PEP 562)."""
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _PLACES[name]
    value = getattr(import_module(module), attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

"""Compile ``contracts/src`` through py-solc-x; contributors only.

The compiler is the npm package ``solc`` behind the shim ``contracts/solc``. Metadata is off, so that the
bytecode does not depend on where the sources lie.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any

from fedcxr.errors import ArtifactError
from fedcxr.ledger.artifact import COURT, NAME, REGISTRY, Artifact, distinct

SETTINGS: dict[str, Any] = {
    "viaIR": True,
    "optimizer": {"enabled": True, "runs": 800},  # not 1,000: the code must stay below the bound of EIP-170
    "evmVersion": "cancun",  # OpenZeppelin's EIP712 wants it
    "metadata": {"bytecodeHash": "none", "appendCBOR": False},
}
_OUTPUT = ["abi", "evm.bytecode.object", "evm.deployedBytecode"]
_IMPORT = re.compile(r'^import\s[^"]*"([^"]+)";', re.MULTILINE)


def compile_contract(contracts: Path) -> Artifact:
    """Compile the contract.

    Args:
        contracts: the directory that holds ``src``, ``solc`` and, after ``npm ci``, ``node_modules``.

    Raises:
        ArtifactError: the compiler is missing, or does not like the sources.
    """
    import solcx

    shim = contracts / "solc"
    if not (contracts / "node_modules" / "solc").is_dir():
        raise ArtifactError(f"{contracts}: no compiler here; run `npm ci --prefix {contracts}` (Node 18+).")
    sources = read_sources(contracts)
    request = {
        "language": "Solidity",
        "sources": {name: {"content": text} for name, text in sources.items()},
        "settings": {
            **SETTINGS,
            "outputSelection": {"*": {NAME: _OUTPUT, REGISTRY: _OUTPUT, COURT: ["abi"]}},
        },
    }
    try:
        output = solcx.compile_standard(request, solc_binary=shim)
        version = solcx.wrapper.get_solc_version(shim)
    except (solcx.exceptions.SolcError, OSError) as error:
        raise ArtifactError(f"{contracts}: the compiler failed: {error}") from None
    compiled = output["contracts"][f"src/{NAME}.sol"][NAME]
    registry = output["contracts"][f"src/{REGISTRY}.sol"][REGISTRY]
    deployed = compiled["evm"]["deployedBytecode"]
    places = (place for group in deployed.get("immutableReferences", {}).values() for place in group)
    return Artifact(
        abi=distinct((*compiled["abi"], *registry["abi"])),
        court_abi=output["contracts"][f"src/{COURT}.sol"][COURT]["abi"],
        bytecode="0x" + compiled["evm"]["bytecode"]["object"],
        deployed_bytecode="0x" + deployed["object"],
        registry_bytecode="0x" + registry["evm"]["bytecode"]["object"],
        registry_deployed="0x" + registry["evm"]["deployedBytecode"]["object"],
        immutables=sorted([place["start"], place["length"]] for place in places),
        compiler=str(version),
        settings=SETTINGS,
        sources=source_digests(sources),
    )


def read_sources(contracts: Path, *, libraries: bool = True) -> dict[str, str]:
    """The contract's source and everything that it imports, by the names that the compiler uses.

    Args:
        contracts: as for :func:`compile_contract`.
        libraries: follow imports out of ``src``, too.

    Raises:
        ArtifactError: a source is missing.
    """
    pending = [f"src/{NAME}.sol"]
    sources: dict[str, str] = {}
    while pending:
        name = pending.pop()
        if name in sources:
            continue
        path = contracts / name if name.startswith("src/") else contracts / "node_modules" / name
        try:
            sources[name] = path.read_text(encoding="utf-8")
        except OSError as error:
            raise ArtifactError(f"{path}: {error.strerror}.") from None
        for imported in _IMPORT.findall(sources[name]):
            resolved = _resolve(name, imported)
            if libraries or resolved.startswith("src/"):
                pending.append(resolved)
    return dict(sorted(sources.items()))


def artifact_path(contracts: Path) -> Path:
    """Where a checkout keeps the artifact of its sources.

    Raises:
        ArtifactError: the directory does not lie in a checkout.
    """
    directory = contracts.resolve().parent / "fedcxr" / "ledger" / "artifacts"
    if not (contracts / "src").is_dir() or not directory.is_dir():
        raise ArtifactError(
            f"{contracts}: no sources here with an artifact beside them;"
            " run this in a checkout, or give --contracts."
        )
    return directory / f"{NAME}.json"


def check_sources(artifact: Artifact, contracts: Path) -> int:
    """Compare the sources with those that the artifact was made of; how many were compared.

    The project's own sources are always compared, the libraries' when they are installed.

    Raises:
        ArtifactError: a source was changed, added or taken away, or the settings are others.
    """
    installed = (contracts / "node_modules").is_dir()
    found = source_digests(read_sources(contracts, libraries=installed))
    expected = {k: v for k, v in artifact.sources.items() if installed or k.startswith("src/")}
    differing = sorted(k for k in found.keys() | expected.keys() if found.get(k) != expected.get(k))
    if differing:
        raise ArtifactError(f"the artifact was made of other sources: {', '.join(differing)}.")
    if artifact.settings != SETTINGS:
        raise ArtifactError(f"the artifact was made with other settings: {artifact.settings}.")
    return len(found)


def source_digests(sources: dict[str, str]) -> dict[str, str]:
    """SHA-256 in hex of each source."""
    return {name: hashlib.sha256(text.encode()).hexdigest() for name, text in sources.items()}


def _resolve(importer: str, imported: str) -> str:
    if not imported.startswith("."):
        return imported
    parts = importer.split("/")[:-1]
    for part in imported.split("/"):
        if part == "..":
            parts.pop()
        elif part != ".":
            parts.append(part)
    return "/".join(parts)

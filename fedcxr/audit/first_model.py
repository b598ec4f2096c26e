"""The model that the federation starts from, made again from its configuration, seed and pretrained weights.

A first model that somebody planted can be made to leak what hospitals train on, or hold what none of them
taught it. The pretrained weights are in the store, under the digest in the configuration, whose own digest is
on the ledger. Nothing is fetched, and no file is opened that a configuration names.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from fedcxr.audit.evidence import Evidence
from fedcxr.audit.findings import FIRST_MODEL
from fedcxr.audit.memory import AuditMemory
from fedcxr.audit.model_maker import Making, ModelMaker
from fedcxr.audit.model_order import MadeModel, Order
from fedcxr.config import Config
from fedcxr.errors import ConfigError, FedcxrError, LayoutError, StoreError
from fedcxr.update import merkle
from fedcxr.update.layout import MOST_VALUES, Vector
from fedcxr.update.rounding import farthest, within_rounding

_LONGEST_WEIGHTS = 4 * MOST_VALUES + (1 << 24)  # bytes of pretrained weights with their header


@dataclass
class FirstModelCheck:
    """The check of the first model: begun with the rounds' and concluded after them.

    Attributes:
        evidence: what the audit goes by.
        config: the federation's; None where nobody has it.
        pretrained: the reader's file of the weights that it starts from; None to look for them in the store.
        memory: of earlier audits.
        maker: that makes the model.
    """

    evidence: Evidence
    config: Config | None
    pretrained: Path | None
    memory: AuditMemory
    maker: ModelMaker
    _making: Making | None = None
    _there: Vector | None = None

    def begin(self) -> Vector | None:
        """Begin to make the model again, unless an earlier audit has done that.

        The contract has three digests, of the configuration, of the layout and of the model: the same three
        are the same model in every audit. Where it came out bit for bit, that is remembered.

        Returns:
            The model with the ledger's digest, from where it is kept or from here; None when nothing has it.
        """
        self._there = self.evidence.genesis()
        if self.config is not None and (named := self.config.model.pretrained_digest):
            self.evidence.named.add(bytes.fromhex(named))
        if self.config is not None and self._there is not None and self.memory.has_made(self._start):
            return self._there
        try:
            self._making = self.maker.make(self._order())
        except (FedcxrError, OSError, RuntimeError) as error:
            self._leave(error)
        if self._there is None and (made := self._made()) is not None:
            return self._instead(made)
        return self._there

    def conclude(self) -> None:
        """Hold the ledger's model to what was made."""
        there, report = self._there, self.evidence.report
        if there is None or (made := self._made()) is None:
            return
        assert self.evidence.layout is not None
        if made.layout.tensors != self.evidence.layout.tensors:
            report.find("layout", "the tensors of the configuration's model", "others", 0)
            return
        same = self._hold("first model", farthest(made.vector, there), made)
        try:
            same &= self._hold("tensors that no round trains", self._frozen_distance(made), made)
        except StoreError as error:
            report.unchecked.append(f"{FIRST_MODEL}the tensors that no round trains: {error}")
            return
        if same:
            self.memory.keep_made(self._start)

    @cached_property
    def _start(self) -> bytes:
        ledger = self.evidence.ledger
        return hashlib.sha256(ledger.config_digest + ledger.layout_digest + ledger.genesis_digest).digest()

    def _leave(self, error: Exception) -> None:
        self.evidence.report.unchecked.append(f"{FIRST_MODEL}it was not made again: {error}")

    def _made(self) -> MadeModel | None:
        """What was made; None, once it is said why, where nothing was."""
        if self._making is None:
            return None
        making, self._making = self._making, None
        try:
            return making.result()
        except (FedcxrError, OSError, RuntimeError) as error:
            self._leave(error)
            return None

    def _instead(self, made: MadeModel) -> Vector | None:
        """What was made in place of a model that is not at hand, where it has the ledger's digest."""
        found = merkle.root(made.vector.astype("<f4", copy=False))
        if found != self.evidence.ledger.genesis_digest:
            said = f"it is not at hand, and what is made here is {found.hex()}"
            self.evidence.report.unchecked.append(FIRST_MODEL + said)
            return None
        self._there, self._making = made.vector, _Made(made)
        return made.vector

    def _hold(self, what: str, far: float, made: MadeModel) -> bool:
        """Report on weights of which a value is so far from what is made here; whether they are the same."""
        assert self.config is not None
        report, model = self.evidence.report, self.config.model
        if far == 0.0:
            return True
        if within_rounding(far):
            report.notes.append(f"{what}: as made again here, but for rounding (a value is off by {far:.3g})")
        elif model.pretrained and not model.pretrained_digest:
            whose = "which pretrained weights are meant, the configuration says by no digest"
            report.unchecked.append(f"{FIRST_MODEL}it is not what is made here; {whose}")
        elif not made.usual:
            report.unchecked.append(f"{FIRST_MODEL}torch here draws other numbers from a seed than fedcxr's")
        else:
            found = f"another; a value is off by {far:.3g}"
            report.find(what, "what the configuration and its seed give", found, 0)
        return False

    def _order(self) -> Order:
        """What is to be made.

        Raises:
            ConfigError, LayoutError: the configuration or the layout is not at hand.
            StoreError: so it is with the pretrained weights.
        """
        if self.config is None:
            raise ConfigError("the configuration is not at hand: --config FILE gives it")
        if self.evidence.layout is None:
            raise LayoutError("the layout is not at hand")
        order = Order(self.config, frozen=self.evidence.layout.frozen)
        if not self.config.model.pretrained:
            return order
        if self.pretrained is not None:
            return replace(order, file=self.pretrained)
        if not (named := self.config.model.pretrained_digest):
            raise StoreError("its pretrained weights are not at hand: --pretrained FILE gives them")
        weights = self.evidence.store.get(bytes.fromhex(named), _LONGEST_WEIGHTS)
        return replace(order, weights=weights.tobytes())

    def _frozen_distance(self, made: MadeModel) -> float:
        """How far the tensors that no round trains are from those made here.

        Raises:
            StoreError: the store does not have them.
        """
        layout = self.evidence.layout
        assert layout is not None
        if made.layout.frozen == layout.frozen:
            return 0.0
        if not layout.frozen or not made.layout.frozen:
            return float("inf")
        data = self.evidence.store.get(bytes.fromhex(layout.frozen), 4 * MOST_VALUES)
        if data.nbytes % 4:
            return float("inf")
        return farthest(made.frozen, np.frombuffer(data, "<f4").astype(np.float32, copy=False))


@dataclass(frozen=True)
class _Made:
    made: MadeModel

    def result(self) -> MadeModel:
        return self.made

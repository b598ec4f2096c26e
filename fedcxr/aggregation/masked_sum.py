"""The sum of masked updates: nothing is known of one of them, and of their sum once its masks are off."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fedcxr.aggregation.weighted_sum import WeightedSum, check_weights
from fedcxr.errors import LayoutError
from fedcxr.privacy.secagg import mask
from fedcxr.update import fixed_point
from fedcxr.update.fixed_point import Ring

_PIECE = 1 << 18  # words that are looked at together
_FAR = 100  # at most one of so many values of an honest sum is beyond half of what it can be


class MaskedSum(WeightedSum):
    """Σ y over hospitals, from which :meth:`unmask` takes the masks; then it is Σ w·q."""

    def screen(self, update: Ring, weight: int) -> None:
        self.layout.check(update)
        check_weights(weight)

    def unmask(self, added: Sequence[bytes], taken_off: Sequence[bytes]) -> None:
        """Take the masks of these seeds off the sum, **in place**; it must then be one of honest updates.

        Args:
            added: seeds of masks that the updates have in them.
            taken_off: seeds of masks that were taken off them.

        Raises:
            LayoutError: what is left is no sum of updates.
        """
        mask.apply(self._total, taken_off, added)
        self._check_sum()

    def _check_sum(self) -> None:
        """See that every value is one that honest updates of these weights can sum to, and few are large."""
        most, beyond, far = self.weight * fixed_point.LIMIT, 0, 0
        values = self._total.view(np.int32)
        for start in range(0, values.size, _PIECE):
            size = np.abs(values[start : start + _PIECE].astype(np.int64))
            beyond += int(np.count_nonzero(size > most))
            far += int(np.count_nonzero(size > most // 2))
        if beyond or far > values.size // _FAR:
            raise LayoutError(
                f"a sum that is none: {max(beyond, far)} of {values.size} values are larger than those of "
                "honest updates. Somebody masked otherwise than it committed to, or sent noise."
            )

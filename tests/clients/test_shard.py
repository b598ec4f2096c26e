"""What a hospital reads from its own disk."""

import numpy as np
from founded import Founded

from clients.hospital import Hospital
from clients.shard import load_shard


def test_a_patient_without_labels_keeps_its_images(founded: Founded, participant: Hospital) -> None:
    every = load_shard(participant.disk, founded.config).training
    some = load_shard(participant.disk, founded.config.with_changes({"data.labelled": 0.3})).training
    assert len(some) == len(every)
    np.testing.assert_array_equal(some.rows, every.rows)
    kept = some.mask.any(axis=1)
    assert 0 < kept.sum() < len(every)
    np.testing.assert_array_equal(some.mask[kept], every.mask[kept])
    assert every.patients is not None
    assert set(every.patients[kept]).isdisjoint(every.patients[~kept])
    np.testing.assert_array_equal(some.labelled.rows, every.rows[kept])

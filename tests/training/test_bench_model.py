"""What a model's parts cost, measured on the small."""

from fedcxr.bench.model import VARIANTS, bench_model
from fedcxr.config import validate


def test_every_variant_is_timed_and_its_memory_taken() -> None:
    tree = {
        "name": "bench",
        "data": {"root": ".", "size": 32},
        "training": {
            "batch_size": 4,
            "device": "cpu",
            "precision": "float32",
            "memory_format": "channels_last",
        },
    }
    said: list[str] = []
    found = bench_model(validate(tree, where="test"), said.append, turns=1)
    assert found.parameters.keys() == VARIANTS.keys()
    assert found.parameters["plain"] < found.parameters["attention"] < found.parameters["both"]
    assert min(found.attention_over_plain, found.fusion_over_plain, found.both_over_plain) > 0
    assert found.peak_bytes is not None
    assert found.checkpointed_peak_bytes is not None
    assert found.checkpointed_over_not is not None
    assert said

"""Prediction: what it gives, that batches do not matter, and what it leaves of the model."""

import numpy as np
import pytest
import torch
from discs import EDEMA, disc_config, disc_shards, disc_valid

from fedcxr.data.transforms import normalise, to_float
from fedcxr.errors import ConfigError, DataError, NonFiniteError
from fedcxr.evaluation.inference import predict
from fedcxr.models.registry import create_model
from fedcxr.training.trainer import train


def test_gives_the_sigmoid_of_the_logits_in_the_order_of_the_rows() -> None:
    config, valid = disc_config(), disc_valid(20)
    model = create_model(config.model, seed=0)
    rows = np.array([7, 3, 3, 19])
    found = predict(model, valid.images, rows, config)
    assert (found.shape, found.dtype) == ((4, 14), np.float32)
    with torch.no_grad():
        expected = torch.sigmoid(model(normalise(to_float(valid.images[rows]))).logits)
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-6)
    assert (found[1] == found[2]).all()


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_same_call_gives_the_same_bits_and_batches_hardly_matter(precision: str) -> None:
    config, valid = disc_config({"training.precision": precision}), disc_valid(21)
    model, rows = create_model(config.model, seed=0), np.arange(21)
    found = predict(model, valid.images, rows, config)
    assert (found == predict(model, valid.images, rows, config)).all()
    small = predict(model, valid.images, rows, config.with_changes({"evaluation.batch_size": 4}))
    np.testing.assert_allclose(small, found, atol=1e-6 if precision == "float32" else 1e-2)


@pytest.mark.parametrize("training", [True, False])
def test_the_model_is_left_as_it_was_and_can_still_be_trained(training: bool) -> None:
    config, valid = disc_config(), disc_valid(10)
    model = create_model(config.model, seed=0).train(training)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    threads = torch.get_num_threads()
    predict(model, valid.images, np.arange(10), config)
    assert model.training is training
    assert torch.get_num_threads() == threads
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert all(tensor.is_contiguous() for tensor in model.state_dict().values())
    shard = disc_shards({"north": 16})["north"]
    train(model, shard, config=config, round_index=1, hospital="north")  # inference tensors would fail here


def test_a_trained_model_is_told_from_an_untrained_one() -> None:
    config, valid = disc_config({"federation.rounds": 1, "training.local_epochs": 4}), disc_valid(80)
    model = create_model(config.model, seed=0)
    train(model, disc_shards({"north": 256})["north"], config=config, round_index=1, hospital="north")
    score = valid.evaluate(valid.predict(model, config), config).labels[EDEMA]
    assert score.value is not None
    assert score.value > 0.9


def test_progress_counts_images() -> None:
    config, valid = disc_config({"evaluation.batch_size": 8}), disc_valid(20)
    seen: list[tuple[int, int]] = []
    model = create_model(config.model, seed=0)
    valid.predict(model, config, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(8, 20), (16, 20), (20, 20)]


def test_no_rows_give_no_probabilities() -> None:
    config, valid = disc_config(), disc_valid(4)
    model = create_model(config.model, seed=0)
    assert predict(model, valid.images, np.arange(0), config).shape == (0, 14)


def test_what_cannot_be_predicted_is_named() -> None:
    config, valid = disc_config(), disc_valid(6)
    model = create_model(config.model, seed=0)
    with pytest.raises(DataError, match="rows 2 to 6 are asked of 6 images"):
        predict(model, valid.images, np.array([2, 6]), config)
    with pytest.raises(ConfigError, match="is not resolved"):
        predict(model, valid.images, np.arange(6), config.with_changes({"training.precision": "auto"}))
    with torch.no_grad():
        model.classifier.weight[3, 0] = torch.nan
    with pytest.raises(NonFiniteError, match="logits for image 4"):
        predict(model, valid.images, np.array([4, 5]), config)

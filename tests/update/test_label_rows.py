"""A label's own values: found by their names, and by the gradients of every model."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch

from fedcxr.config import Model
from fedcxr.data.labels import LABELS as NAMES
from fedcxr.models.network import LABEL_COUNT
from fedcxr.models.registry import create_model
from fedcxr.update.forms.kinds import form_named
from fedcxr.update.label_rows import clear_rows, label_rows, moved_labels
from fedcxr.update.layout import Layout, TensorSpec
from fedcxr.update.round_config import LABELS

MODELS = {
    "compact": Model(name="compact", projection_dim=16),
    "semssxl": Model(name="semssxl"),
    "semssxl without attention": Model(name="semssxl", attention=False),
    "xception": Model(name="semssxl", attention=False, fusion=False),
    "two streams": Model(name="dual_stream"),
    "an autoencoder": Model(name="dual_stream", streams="autoencoder"),
    "plain": Model(name="plain", encoder="resnet18"),
}
SMALL = Layout(
    (
        TensorSpec("classifier.bias", (14,), statistic=False, nonnegative=False),
        TensorSpec("classifier.weight", (14, 3), statistic=False, nonnegative=False),
        TensorSpec("encoder.classifier.weight", (14, 3), statistic=False, nonnegative=False),
    )
)


def test_the_labels_are_those_of_the_data_and_of_the_models() -> None:
    assert len(NAMES) == LABEL_COUNT == LABELS


def test_rows_are_one_labels_places_in_the_vector() -> None:
    assert list(label_rows(SMALL, [13, 1])) == [slice(1, 2), slice(13, 14), slice(17, 20), slice(53, 56)]
    vector = np.arange(1.0, SMALL.size + 1, dtype=np.float32)
    clear_rows(vector, SMALL, [13])
    assert np.flatnonzero(vector == 0).tolist() == [13, 53, 54, 55]
    vector[54] = 7
    assert moved_labels(vector, SMALL, [0, 13]) == (0, 13)
    assert moved_labels(vector, SMALL, []) == ()
    clear_rows(vector, SMALL, [13])
    assert moved_labels(vector, SMALL, [13]) == ()


@pytest.mark.parametrize("name", MODELS)
def test_only_a_labels_own_logit_moves_its_rows(name: str) -> None:
    """What one logit alone moves is in the rows of its label, whatever the tensor, and nothing else is."""
    torch.manual_seed(1)
    model = create_model(MODELS[name], seed=1).eval()
    layout = Layout.of(model)
    parameters = dict(model.named_parameters())
    images = torch.randn(1, 1, 32, 32, generator=torch.Generator().manual_seed(1))
    moved = []
    for label in range(LABELS):
        model.zero_grad()
        model(images).logits[:, label].square().sum().backward()
        gradient = np.zeros(layout.size, np.float32)
        for spec, place in zip(layout.tensors, layout.slices, strict=True):
            parameter = parameters.get(spec.name)
            if parameter is not None and parameter.grad is not None:
                gradient[place] = parameter.grad.reshape(-1).numpy()
        moved.append(gradient != 0)
    own = np.zeros((LABELS, layout.size), np.bool_)
    for label in range(LABELS):
        for place in label_rows(layout, [label]):
            own[label, place] = True
    for label, other in product(range(LABELS), repeat=2):
        if label != other:
            assert not (own[label] & moved[other]).any(), f"{NAMES[other]} moves rows of {NAMES[label]}"
    by = np.sum(moved, axis=0)  # how many labels' logits
    for spec, place in zip(layout.tensors, layout.slices, strict=True):
        if by[place].any() and not own[:, place].any():
            assert by[place].max() > 1, f"{spec.name} is labels' own, and its name does not tell"


@pytest.mark.parametrize("form", ["plain", "packed", "short"])
def test_a_row_that_is_cleared_is_zero_in_every_form(form: str) -> None:
    delta = np.random.default_rng(1).normal(0, 0.01, SMALL.size).astype(np.float32)
    clear_rows(delta, SMALL, [4])
    words, _ = form_named(form).encode(delta, SMALL, (9, 9, 9), 7, 3)
    assert moved_labels(words, SMALL, range(LABELS)) == tuple(label for label in range(LABELS) if label != 4)

"""The label tree, and what conditional logits mean."""

import torch

from fedcxr.config import Model
from fedcxr.data.labels import LABELS
from fedcxr.models.hierarchy import CHILDREN, PARENTS, log_probabilities
from fedcxr.models.registry import create_model


def test_the_tree_is_chexperts() -> None:
    tree = {LABELS[child]: LABELS[PARENTS[child]] for child in CHILDREN}
    opacities = ("Edema", "Consolidation", "Pneumonia", "Lung Lesion", "Atelectasis")
    assert tree == {"Cardiomegaly": "Enlarged Cardiomediastinum", **dict.fromkeys(opacities, "Lung Opacity")}
    assert all(PARENTS[PARENTS[child]] == -1 for child in CHILDREN)


def test_probabilities_are_products_down_the_tree() -> None:
    logits = 3 * torch.randn(9, 14, generator=torch.Generator().manual_seed(0))
    found = log_probabilities(logits).exp()
    for image in range(9):
        for label, parent in enumerate(PARENTS):
            expected = float(logits[image, label].sigmoid())
            if parent >= 0:
                expected *= float(logits[image, parent].sigmoid())
            torch.testing.assert_close(float(found[image, label]), expected, rtol=1e-5, atol=1e-7)


def test_a_child_is_never_likelier_than_its_parent() -> None:
    logits = 40 * torch.randn(200, 14, generator=torch.Generator().manual_seed(1))
    conditional = create_model(Model(name="compact", labels="conditional"), seed=0).probabilities(logits)
    assert ((conditional >= 0) & (conditional <= 1)).all()
    for child in CHILDREN:
        assert (conditional[:, child] <= conditional[:, PARENTS[child]]).all()


def test_flat_labels_are_each_their_own() -> None:
    logits = torch.randn(5, 14, generator=torch.Generator().manual_seed(2))
    flat = create_model(Model(name="compact"), seed=0).probabilities(logits)
    torch.testing.assert_close(flat, logits.sigmoid())

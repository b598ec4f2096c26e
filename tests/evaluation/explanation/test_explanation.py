"""Grad-CAM against its closed form, and what is said of a model that knows its lesion."""

import copy

import numpy as np
import pytest
import torch
from discs import EDEMA, SIZE, disc_config, disc_images, disc_shards
from numpy.typing import NDArray
from torch import Tensor

from fedcxr.data.labels import LABELS
from fedcxr.data.transforms import normalise, to_float
from fedcxr.errors import ModelError
from fedcxr.evaluation.explanation.deletion import STEPS, follow
from fedcxr.evaluation.explanation.localisation import localise
from fedcxr.evaluation.explanation.ranking import stand_ins
from fedcxr.evaluation.explanation.saliency import Method, saliency
from fedcxr.evaluation.explanation.scores import Cases, explain
from fedcxr.evaluation.validation_set import bootstrap_seed
from fedcxr.models.attention import enlarge
from fedcxr.models.hierarchy import PARENTS
from fedcxr.models.network import Attended, Network
from fedcxr.models.registry import create_model
from fedcxr.training.trainer import train

CONFIG = disc_config({"federation.rounds": 1, "training.local_epochs": 6})


def discs(count: int, seed: int) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Images that all have a disc, and where it is."""
    generator = np.random.default_rng(seed)
    images = generator.integers(40, 140, (count, SIZE, SIZE), dtype=np.uint8)
    y, x = np.mgrid[:SIZE, :SIZE]
    row, column = generator.uniform(8, 24, (2, count, 1, 1))
    masks = (y - row) ** 2 + (x - column) ** 2 < 30
    images[masks] += 90
    return images, masks


@pytest.fixture(scope="module")
def trained() -> Network:
    model = create_model(CONFIG.model, seed=0)
    train(model, disc_shards({"north": 256})["north"], config=CONFIG, round_index=1, hospital="north")
    return model


def test_grad_cam_of_a_pooled_linear_network_is_its_class_map() -> None:
    """With global average pooling and one linear layer, Grad-CAM is CAM (Selvaraju 2017, section 3.1)."""
    model = create_model(CONFIG.model, seed=0)
    images, _ = disc_images(4, seed=0)
    traced = model.trace(normalise(to_float(images)))
    torch.testing.assert_close(traced.features.mean(dim=(2, 3)), traced.embedding)
    own = model.classifier.weight[EDEMA][None, :, None, None]
    expected = torch.relu((own * traced.features).sum(dim=1)).detach().numpy()
    found = saliency(model, images, [EDEMA] * 4, CONFIG)[Method.GRAD_CAM]
    assert (found.shape, found.dtype) == (images.shape, np.float32)
    step = SIZE // expected.shape[1]
    cells = found.reshape(4, expected.shape[1], step, expected.shape[2], step).max(axis=(2, 4))
    highest = expected.reshape(4, -1).argmax(axis=1)
    some = expected.max(axis=(1, 2)) > 0
    assert some.any()
    assert (cells.reshape(4, -1).argmax(axis=1)[some] == highest[some]).all()


def test_with_conditional_labels_a_parents_part_is_explained_too() -> None:
    """What is deleted afterwards lowers the product, so the product is what the map must be of."""
    config = CONFIG.with_changes({"model.labels": "conditional"})
    model = create_model(config.model, seed=0)
    images, _ = disc_images(6, seed=0)
    before = saliency(model, images, [EDEMA] * 6, config)[Method.GRAD_CAM]
    with torch.no_grad():
        model.classifier.weight[PARENTS[EDEMA]] += 3 * torch.randn(
            128, generator=torch.Generator().manual_seed(0)
        )
    after = saliency(model, images, [EDEMA] * 6, config)[Method.GRAD_CAM]
    assert np.abs(after - before).max() > 0.05
    flat = create_model(CONFIG.model, seed=0)
    own = saliency(flat, images, [EDEMA] * 6, CONFIG)[Method.GRAD_CAM]
    with torch.no_grad():
        flat.classifier.weight[PARENTS[EDEMA]] += 3
    np.testing.assert_array_equal(saliency(flat, images, [EDEMA] * 6, CONFIG)[Method.GRAD_CAM], own)


def test_grad_cam_of_a_child_is_that_of_both_logits_each_by_its_doubt() -> None:
    """The gradient of log P(child) = log σ(child) + log σ(parent), in closed form."""
    config = CONFIG.with_changes({"model.labels": "conditional"})
    model = create_model(config.model, seed=0)
    with torch.no_grad():  # so that doubts differ
        model.classifier.weight.mul_(20)
    images, _ = disc_images(4, seed=0)
    traced = model.eval().trace(normalise(to_float(images)))
    doubt = 1 - torch.sigmoid(traced.output.logits)
    weights = sum(doubt[:, [label]] * model.classifier.weight[label] for label in (EDEMA, PARENTS[EDEMA]))
    expected = torch.relu((weights[..., None, None] * traced.features).sum(dim=1, keepdim=True)).detach()
    large = enlarge(expected, images.shape[1:])[:, 0]
    unit = large / large.amax(dim=(1, 2), keepdim=True).clamp_min(1e-30)
    assert unit.any()
    found = saliency(model, images, [EDEMA] * 4, config)[Method.GRAD_CAM]
    np.testing.assert_allclose(found, unit.numpy(), atol=1e-4)


def test_an_image_alone_has_the_map_that_it_has_among_others_and_the_model_is_left_alone() -> None:
    model = create_model(CONFIG.model, seed=0).train()
    images, _ = disc_images(5, seed=0)
    together = saliency(model, images, [0, 1, 2, 3, EDEMA], CONFIG)[Method.GRAD_CAM]
    alone = saliency(model, images[4:], [EDEMA], CONFIG)[Method.GRAD_CAM]
    np.testing.assert_allclose(alone[0], together[4], atol=1e-5)
    assert model.training
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_models_own_attention_is_taken_where_it_has_one() -> None:
    class Attentive(Network):
        def attend(self, images: Tensor) -> Attended:
            maps = torch.rand(len(images), 14, *images.shape[2:], generator=torch.Generator().manual_seed(0))
            return Attended(maps / maps.sum(dim=(2, 3), keepdim=True), torch.ones(len(images), 14, 1))

    model = create_model(CONFIG.model, seed=0)
    images, _ = disc_images(3, seed=0)
    assert list(saliency(model, images, [0, 1, 2], CONFIG)) == [Method.GRAD_CAM]
    model.__class__ = Attentive
    found = saliency(model, images, [5, 0, 2], CONFIG)
    attended = model.attend(normalise(to_float(images)))
    assert attended is not None
    expected = attended.maps[[0, 1, 2], [5, 0, 2]].numpy()
    np.testing.assert_allclose(
        found[Method.ATTENTION], expected / expected.max(axis=(1, 2), keepdims=True), rtol=1e-5
    )


def test_semssxl_shows_its_own_attention_beside_grad_cam() -> None:
    config = disc_config({"model.name": "semssxl", "data.size": 64})
    images = np.random.default_rng(0).integers(0, 256, (2, 64, 64), dtype=np.uint8)
    found = saliency(create_model(config.model, seed=0), images, [EDEMA, 0], config)
    assert set(found) == {Method.GRAD_CAM, Method.ATTENTION}
    assert (found[Method.ATTENTION].shape, found[Method.ATTENTION].dtype) == ((2, 64, 64), np.float32)
    np.testing.assert_allclose(found[Method.ATTENTION].max(axis=(1, 2)), 1.0)


def test_a_network_without_a_map_is_named() -> None:
    model = create_model(CONFIG.model, seed=0)
    with pytest.raises(ModelError, match="has no map of 2 x 2 positions for images of 16 px"):
        saliency(model, np.zeros((1, 16, 16), dtype=np.uint8), [0], CONFIG)


def test_the_true_place_is_what_a_trained_model_uses(trained: Network) -> None:
    images, masks = discs(30, seed=2)
    labels = np.full(30, EDEMA)
    known = follow(trained, images, masks.astype(np.float32), labels, CONFIG)
    unknown = follow(trained, images, masks[::-1].astype(np.float32), labels, CONFIG)
    assert known.deletion.shape == (30, STEPS + 1)
    assert (known.deletion[:, 0] == known.insertion[:, -1]).all()  # nothing deleted is all inserted
    np.testing.assert_array_equal(known.deletion[:, 0], unknown.deletion[:, 0])
    deleted, inserted = (known.areas - unknown.areas).mean(axis=0)
    assert deleted < -0.05
    assert inserted > 0.05


def test_a_trained_models_maps_are_scored_together(trained: Network) -> None:
    images, masks = discs(24, seed=3)
    cases = Cases(np.arange(24), np.full(24, EDEMA), np.arange(24) // 2)
    found, maps, by_case = explain(trained, images, cases, masks, CONFIG)
    score = found.methods["grad-cam"]
    assert score.localisation is not None
    assert score.localisation.lesions == 24
    assert score.by_label["Edema"] == score.localisation
    own = localise(maps[Method.GRAD_CAM], masks, bootstrap_seed(CONFIG))
    assert score.localisation.coverage.value == pytest.approx(own[:, 1].mean())
    known = follow(trained, images, maps[Method.GRAD_CAM], cases.labels, CONFIG)
    others = stand_ins(cases.labels, cases.patients, bootstrap_seed(CONFIG))
    unseeing = localise(maps[Method.GRAD_CAM][others], masks, bootstrap_seed(CONFIG))
    assert score.localisation.coverage_gain.value == pytest.approx((own - unseeing)[:, 1].mean())
    assert score.localisation.hit_elsewhere.value == pytest.approx(unseeing[:, 0].mean())
    assert score.faithfulness.cases + score.faithfulness.empty == 24
    each = by_case[Method.GRAD_CAM]
    np.testing.assert_array_equal(each[:, :4], own)
    np.testing.assert_allclose(each[:, 4:], known.areas)
    curves = score.faithfulness.curves
    np.testing.assert_allclose(curves.deletion, known.deletion.mean(axis=0))
    np.testing.assert_allclose(curves.insertion, known.insertion.mean(axis=0))
    assert np.trapezoid(curves.deletion_elsewhere, dx=1 / STEPS) == pytest.approx(
        (score.faithfulness.deletion.value or 0) + (score.faithfulness.deletion_gain.value or 0)
    )
    assert curves.insertion_elsewhere != curves.insertion
    again, _, _ = explain(trained, images, cases, masks, CONFIG)
    assert again == found
    blind, _, unmasked = explain(trained, images, cases, None, CONFIG)
    assert np.isnan(unmasked[Method.GRAD_CAM][:, :4]).all()
    np.testing.assert_array_equal(unmasked[Method.GRAD_CAM][:, 4:], each[:, 4:])
    assert blind.methods["grad-cam"].localisation is None
    assert blind.methods["grad-cam"].faithfulness == score.faithfulness
    assert LABELS[EDEMA] in found.to_json()


def test_empty_maps_are_left_out_and_counted(trained: Network) -> None:
    """A label that every feature speaks against has a Grad-CAM that is cut at zero everywhere."""
    model, speechless = copy.deepcopy(trained), LABELS.index("Fracture")
    with torch.no_grad():
        model.classifier.weight[speechless] = -1.0
    images, masks = discs(12, seed=4)
    cases = Cases(np.arange(12), np.array([speechless] * 5 + [EDEMA] * 7), np.arange(12))
    found, maps, by_case = explain(model, images, cases, masks, CONFIG)
    own, shown = found.methods["grad-cam"].faithfulness, maps[Method.GRAD_CAM]
    assert not shown[:5].any()
    assert shown[5:].any(axis=(1, 2)).all()
    assert (own.cases, own.empty) == (7, 5)
    areas = follow(model, images[5:], shown[5:], cases.labels[5:], CONFIG).areas
    np.testing.assert_array_equal(by_case[Method.GRAD_CAM][:, 4:], np.r_[np.full((5, 2), np.nan), areas])
    expected = areas.mean(axis=0)
    assert (own.deletion.value, own.insertion.value) == pytest.approx(tuple(expected))
    silent = Cases(cases.rows[:5], cases.labels[:5], cases.patients[:5])
    nothing, _, _ = explain(model, images[:5], silent, masks[:5], CONFIG)
    assert nothing.methods["grad-cam"].faithfulness.cases == 0
    assert nothing.methods["grad-cam"].faithfulness.deletion.value is None

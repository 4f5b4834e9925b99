"""Other ways to adapt a network.

Each loss is compared with another formula, each step with what it should move.
"""

import itertools
from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from conftest import draw_bars
from torch import nn

from dlapps import dann
from dlapps.core.checkpoints import TrainingError
from dlapps.core.runtime import autocast
from studies import dann_methods

torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def in_float32(monkeypatch):
    monkeypatch.setenv("DLAPPS_PRECISION", "float32")


SHORT = dann.Settings(num_epochs=2, batch_size=16, learning_rate=0.05)


@pytest.fixture(scope="module")
def domains():
    """Bars at one of four places on 8 x 12 grey pictures; in the target, grey on grey.
    Labels of both.
    """
    random = np.random.default_rng(0)
    labels = random.integers(0, 4, (2, 48))
    bars = draw_bars(3 * labels, slice(1, 7), 2, (8, 12))
    grounds = random.integers(40, 120, (48, 1, 1)).astype(np.uint8)
    return bars[0], labels[0], bars[1] // 3 + grounds


def make_network(seed=0):
    return dann.DomainAdversarialNetwork(seed, 4, input_shape=(1, 8, 12))


def features(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_coral_is_that_of_numpy_s_covariances():
    source, target = features(9, 5).double() + 3, 2 * features(7, 5, seed=1).double()
    apart = np.cov(source.T) - np.cov(target.T)
    expected = (apart**2).sum() / (4 * 25)
    assert dann_methods.coral_loss(source, target) == pytest.approx(expected, rel=1e-5)
    assert dann_methods.coral_loss(source, source.flip(0)) == pytest.approx(0, abs=1e-6)


def test_mmd_is_that_of_a_double_loop_over_the_kernel():
    source = features(6, 4).numpy()
    target = features(5, 4, seed=1).numpy() + 0.5
    pairs = itertools.combinations(np.concatenate([source, target]), 2)
    median = np.median([((x - y) ** 2).sum() for x, y in pairs])
    widths = np.array([0.25, 0.5, 1, 2, 4]) * median

    def mean_kernel(pairs):
        return np.mean([np.exp(-((x - y) ** 2).sum() / widths) for x, y in pairs])

    within_source = mean_kernel(itertools.permutations(source, 2))
    within_target = mean_kernel(itertools.permutations(target, 2))
    between = mean_kernel(itertools.product(source, target))
    loss = dann_methods.mmd_loss(torch.tensor(source), torch.tensor(target))
    expected = within_source + within_target - 2 * between
    assert loss == pytest.approx(expected, rel=1e-4)


def test_the_bandwidths_of_mmd_get_no_gradient():
    rows = features(8, 3).requires_grad_()
    (gradient,) = torch.autograd.grad(dann_methods.mmd_loss(rows[:4], rows[4:]), rows)
    # If the bandwidths followed the features, their scale would not change the loss.
    assert (gradient * rows).sum().abs() > 0.01


DISTANCES = {"coral": dann_methods.coral_loss, "mmd": dann_methods.mmd_loss}
each_distance = pytest.mark.parametrize("distance", DISTANCES.values(), ids=DISTANCES)


@each_distance
def test_a_distance_falls_along_its_gradient_and_as_features_are_moved_together(
    distance,
):
    source = features(12, 5)
    target = 3 * features(12, 5, seed=1) + 2
    losses = [
        distance(source, source.flip(0).lerp(target, share))
        for share in (0, 0.3, 0.6, 1)
    ]
    assert losses == sorted(losses)
    target.requires_grad_()
    loss = distance(source, target)
    (gradient,) = torch.autograd.grad(loss, target)
    assert distance(source, target - 0.01 * gradient / gradient.norm()) < loss


@each_distance
def test_a_distance_is_taken_in_float32_and_has_finite_gradients(distance):
    source, target = features(8, 5), features(8, 5, seed=1)
    with autocast("cpu", "bfloat16"):
        inside = distance(source, target)
    assert torch.equal(inside, distance(source, target))
    # Equal pictures, and a domain that is one point.
    same = torch.ones(4, 5, requires_grad=True)
    distance(same, same).backward()
    assert same.grad.isfinite().all()


def make_predictor(logits):
    """A network whose label predictor gives these logits."""
    network = nn.Module()
    network.label_predictor = lambda rows: logits
    return network


@pytest.mark.parametrize("kind", DISTANCES)
def test_a_distance_joins_the_loss_at_the_weight_of_the_schedule(kind):
    # CORAL's is of the logits, MMD's of the features.
    rows = {"coral": features(10, 4), "mmd": features(10, 5, seed=1)}
    align = getattr(dann_methods, f"align_by_{kind}")
    loss, measured = align(make_predictor(rows["coral"]), rows["mmd"], 4, 0.5)
    [(name, plain)] = measured.items()
    assert name == f"{kind}_loss"
    assert plain == DISTANCES[kind](rows[kind][:4], rows[kind][4:])
    assert loss == pytest.approx(0.5 * plain.item())


def test_cdan_sees_the_product_of_both_projections():
    classifier = dann_methods.CdanClassifier(0, 2, 2, dimensions=2)
    classifier.features_map.copy_(torch.tensor([[1.0, 0], [0, 2]]))
    classifier.classes_map.copy_(torch.tensor([[1.0, 1], [0, 3]]))
    classifier.forward = lambda mapped: mapped.sum(1)
    # Features (4, 1) and probabilities (3/4, 1/4): (4, 2) * (3/4, 3/2) / sqrt(2) has
    # the sum 6 / sqrt(2).
    network = make_predictor(torch.tensor([[3.0, 1]]).log().expand(2, 2))
    network.domain_classifier = classifier
    rows = torch.tensor([[4.0, 1], [-4, -1]])
    loss, measured = dann_methods.align_by_cdan(network, rows, 1, 1.0)
    of_source, of_target = torch.tensor([6.0, -6]) / 2**0.5
    assert loss == F.softplus(of_source).lerp(F.softplus(-of_target), 0.5)
    assert loss == measured["domain_loss"]
    # The source has label 0: both predictions are wrong.
    assert measured["domain_accuracy"] == 0


def test_cdan_s_map_keeps_inner_products_of_the_multilinear_map():
    rows = features(4, 3)
    shares = features(4, 2, seed=1).softmax(1)
    classifier = dann_methods.CdanClassifier(0, 3, 2, dimensions=50_000)
    mapped = classifier.project(rows, shares)
    outer = np.einsum("nf,nk->nfk", rows, shares).reshape(4, 6)
    np.testing.assert_allclose(mapped @ mapped.T, outer @ outer.T, atol=0.1)


def test_cdan_s_features_climb_what_its_classifier_descends():
    network = make_network()
    rows = features(6, 24).requires_grad_()
    network.label_predictor = nn.Linear(24, 4)
    network.domain_classifier = dann_methods.CdanClassifier(0, 24, 4)
    gradients = {}
    for weight in (-1.0, 0.5):
        loss = dann_methods.align_by_cdan(network, rows, 3, weight)[0]
        weights = [rows, network.domain_classifier[0].weight]
        gradients[weight] = torch.autograd.grad(loss, weights, retain_graph=True)
    torch.testing.assert_close(gradients[0.5][0], -0.5 * gradients[-1.0][0])
    assert torch.equal(gradients[0.5][1], gradients[-1.0][1])
    loss.backward()
    assert network.label_predictor.weight.grad is None


DRAWN = {
    "classifier": lambda seed: dann_methods.CdanClassifier(seed, 6, 3, 5),
    "second predictor": partial(dann_methods.make_second, nn.Linear(8, 4)),
}


@pytest.mark.parametrize("draw", DRAWN.values(), ids=DRAWN)
def test_parts_are_drawn_by_their_seed_alone(draw):
    state = torch.get_rng_state()
    first = tensors_of(draw(0))
    again = tensors_of(draw(0))
    other = tensors_of(draw(1))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(map(torch.equal, first, again))
    assert not any(map(torch.equal, first, other))


def tensors_of(part):
    return list(part.buffers()) + list(part.parameters())


def make_aligned(kind):
    network = make_network()
    if kind == "cdan":
        network.domain_classifier = dann_methods.CdanClassifier(0, 288, 4)
    return network


def align(kind, domains, **options):
    """A network that was trained with an alignment, and its history."""
    network = make_aligned(kind)
    alignment = getattr(dann_methods, f"align_by_{kind}")
    history = dann_methods.fit_aligned(
        network, *domains, SHORT, alignment=alignment, **options
    )
    return network, history


def test_a_checkpoint_of_another_alignment_is_refused(domains, tmp_path):
    _, history = align("coral", domains, checkpoint=tmp_path / "run.pt")
    assert align("coral", domains, checkpoint=tmp_path / "run.pt")[1] == history
    for other in ("mmd", "cdan"):
        with pytest.raises(TrainingError, match=r"differs in .*alignment"):
            align(other, domains, checkpoint=tmp_path / "run.pt")


@pytest.mark.parametrize("kind", [*DISTANCES, "cdan"])
def test_what_each_alignment_measures_and_trains(kind, domains):
    network, history = align(kind, domains)
    if kind == "cdan":
        measured = {"domain_loss", "domain_accuracy"}
    else:
        measured = {f"{kind}_loss"}
    always = {"class_loss", "target_diversity", "reversal_weight"}
    assert history.keys() == always | measured
    start = make_aligned(kind).domain_classifier
    end = network.domain_classifier
    untouched = all(map(torch.equal, end.parameters(), start.parameters()))
    assert untouched == (kind != "cdan")
    assert all(map(torch.equal, end.buffers(), start.buffers()))


def test_the_alignment_of_dann_is_that_of_the_library(domains):
    network = make_network()
    plain = make_network()
    history = dann_methods.fit_aligned(network, *domains, SHORT)
    assert history == dann.fit_dann(plain, *domains, SHORT)
    assert not changed(network, plain.state_dict())


def test_a_batch_of_mcd_is_that_of_a_textbook_loop(domains, monkeypatch):
    monkeypatch.setattr(dann_methods, "MOMENTUM", 0)
    settings = dann.Settings(num_epochs=1, batch_size=48, learning_rate=0.1)
    network = make_network()
    history = dann_methods.fit_mcd(network, *domains, settings, 3)
    first = make_network()
    second = dann_methods.make_second(first.label_predictor, 3)
    extract = first.feature_extractor
    source = torch.tensor(domains[0])[:, None] / 255
    labels = torch.tensor(domains[1])
    target = torch.tensor(domains[2])[:, None] / 255

    def class_losses():
        return [F.cross_entropy(part(extract(source)), labels) for part in predictors]

    predictors = (first.label_predictor, second)
    heads = list(first.label_predictor.parameters()) + list(second.parameters())

    def apart():
        both = [part(extract(target)).softmax(1) for part in predictors]
        return (both[0] - both[1]).abs().sum(1).mean() / 4

    def descend(loss, weights):
        gradients = torch.autograd.grad(loss, weights)
        for weight, gradient in zip(weights, gradients, strict=True):
            weight.data -= 0.1 * gradient

    losses = class_losses()
    descend(sum(losses), list(extract.parameters()) + heads)
    descend(sum(class_losses()) - apart(), heads)
    for _ in range(4):
        last = apart()
        descend(last, list(extract.parameters()))
    for end, expected in zip(network.parameters(), first.parameters(), strict=True):
        torch.testing.assert_close(end, expected, rtol=1e-4, atol=1e-6)
    assert list(history) == ["class_loss", "discrepancy", "target_diversity"]
    assert history.class_loss == pytest.approx([losses[0].item()])
    assert history.discrepancy == pytest.approx([last.item()], rel=1e-4)


def changed(network, state):
    now = network.state_dict()
    return {name for name in now if not torch.equal(now[name], state[name])}


def test_a_shifted_network_gives_the_mean_probability_of_five_views():
    network = nn.Sequential(nn.Flatten(), nn.Linear(12, 3))
    pixels = torch.rand(2, 1, 3, 4, generator=torch.Generator().manual_seed(0))
    rows, columns = torch.arange(3), torch.arange(4)
    total = 0
    for down, right in ((0, 0), (-1, 0), (1, 0), (0, -1), (0, 1)):
        # What a shift uncovers repeats the border.
        view = pixels[:, :, (rows + down).clamp(0, 2)]
        view = view[..., (columns + right).clamp(0, 3)]
        total = total + network(view).softmax(1)
    log_probabilities = dann_methods.Shifted(network)(pixels)
    torch.testing.assert_close(log_probabilities.exp(), total / 5)


@pytest.mark.parametrize("number", [200, 25])
def test_proxy_a_distance_is_two_for_separate_domains_and_about_zero_for_equal_ones(
    number,
):
    source, target = features(200, 5), features(number, 5, seed=1)
    assert dann_methods.proxy_a_distance(source, target + 20) == pytest.approx(2)
    assert abs(dann_methods.proxy_a_distance(source, target)) < 0.5


def test_grounds_are_flat_without_contrast_and_noisy_with_it():
    flat = dann_methods.draw_grounds(5, 0.0, torch.Generator().manual_seed(0))
    noisy = dann_methods.draw_grounds(5, 0.3, torch.Generator().manual_seed(0))
    assert flat.shape == noisy.shape == (5, 3, 28, 28)
    assert float(flat.std((2, 3)).max()) == pytest.approx(0, abs=1e-6)
    assert float(noisy.std((2, 3)).min()) > 0.01
    assert float(noisy.min()) >= 0
    assert float(noisy.max()) <= 1


def test_three_digits_in_four_are_laid_on_grounds_and_the_rest_stay_on_black():
    empty = torch.zeros(400, 3, 28, 28)
    generator = torch.Generator().manual_seed(0)
    laid = dann_methods.lay_on_grounds(empty, generator, contrast=0.0)
    on_black = (laid.amax((1, 2, 3)) == 0).float().mean()
    assert float(on_black) == pytest.approx(0.25, abs=0.06)

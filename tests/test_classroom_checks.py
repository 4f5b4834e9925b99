"""The automatic checks of a class: each passes what is right and finds its trap."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.svm import LinearSVC
from torch import nn

from dlapps import adversarial, class_visualization, dann, datasets, gan, saliency
from dlapps.classroom import checks
from dlapps.classroom.checks import dann as dann_checks
from dlapps.classroom.checks import gan as gan_checks
from dlapps.classroom.checks import transfer, visualizing
from dlapps.core import metrics, paths
from dlapps.core.assets import Provenance
from dlapps.dann import GradientReversal
from dlapps.datasets.dataset import Dataset
from dlapps.gan import flow
from dlapps.transfer.linear import ChosenSVM

torch.set_num_threads(1)
ALL_CHECKS = [*{check for chapter in checks.CHAPTERS.values() for check in chapter}, *checks.EVERYWHERE]


def test_checks_never_raise_and_explain_themselves_in_two_sentences():
    for chapter in checks.CHAPTERS:
        for variables in ({}, {name: object() for name in _names(checks.CHAPTERS[chapter])}):
            verdicts = checks.run(chapter, {**variables, "In": [""]})
            assert all(verdict.fault is None or verdict.fault.startswith("expected ") for verdict in verdicts)
            own = [each for each in checks.CHAPTERS[chapter] if each.function is not checks.networks_in_eval_mode]
            assert sum(verdict.fault is not None for verdict in verdicts) >= len(own) - 1
    for check in ALL_CHECKS:
        assert " ".join(check.function.__doc__.split()).count(". ") >= 1, check
        assert "\n" not in checks._judge(check, {}).line


def _names(chapter):
    return [name for check in chapter for name in check.names.values()]


def passes(check, **variables):
    fault = check(**variables)
    assert fault is None or fault.startswith("expected ")
    return fault is None


def test_everywhere():
    network = nn.Linear(1, 1)
    assert not passes(checks.networks_in_eval_mode, variables={"network": network})
    assert passes(checks.networks_in_eval_mode, variables={"network": network.eval(), "_": nn.Linear(1, 1)})
    assert passes(checks.any_device, In=["", "x.to(device)"])
    for trap in ("x = x.cuda()", 'torch.ones(3, device="cuda")', "x.to('cuda:0')"):
        assert not passes(checks.any_device, In=["x = 1", trap])


def test_transfer_finds_what_spoils_an_accuracy():
    y_train, y_test = np.arange(15).repeat(100), np.arange(2985) % 15
    assert passes(transfer.the_whole_split, y_train=y_train, y_test=y_test)
    assert not passes(transfer.the_whole_split, y_train=y_train, y_test=y_test[:2944])
    assert passes(transfer.every_class, y_train=y_train, y_test=y_test)
    assert not passes(transfer.every_class, y_train=y_train, y_test=y_test % 5)
    rows = np.eye(20)
    filled = np.concatenate([rows[:10], 0 * rows[10:]])
    assert passes(transfer.no_empty_rows, X_train=rows, X_test=rows)
    assert not passes(transfer.no_empty_rows, X_train=rows, X_test=filled)
    assert passes(transfer.rows_of_length_one, X_train=rows, X_test=filled)
    assert not passes(transfer.rows_of_length_one, X_train=rows, X_test=3 * rows)
    pixels = torch.rand(2, 3, 8, 8)
    assert passes(transfer.pixels_are_not_normalised, pixels=pixels, all_pixels=pixels)
    for wrong in (255 * pixels, pixels - 0.5, pixels[0], (255 * pixels).byte()):
        assert not passes(transfer.pixels_are_not_normalised, pixels=pixels, all_pixels=wrong)


def test_transfer_finds_dropout_left_on():
    network = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(12), nn.Dropout(0.5))
    pixels = torch.rand(4, 3, 2, 2, generator=torch.Generator().manual_seed(0))
    assert passes(transfer.a_picture_alone_or_among_others, lite0=network.eval(), all_pixels=pixels)
    network[2].train()
    assert not passes(transfer.a_picture_alone_or_among_others, lite0=network, all_pixels=pixels)


def test_transfer_finds_choices_and_accuracies_of_the_wrong_pictures():
    random = np.random.default_rng(0)
    X, y = random.normal(size=(60, 5)), random.integers(0, 3, 60)
    svm = LinearSVC(random_state=0).fit(X[:30], y[:30])
    assert passes(transfer.same_seed_same_classifier, baseline=svm, X_train=X[:30], y_train=y[:30])
    other = LinearSVC().fit(X[:30], y[:30])
    assert not passes(transfer.same_seed_same_classifier, baseline=other, X_train=X[:30], y_train=y[:30])
    of = {"baseline": svm, "X_test": X[30:], "y_test": y[30:]}
    check = transfer.accuracy_on_the_test_pictures
    assert passes(check, baseline_accuracy=svm.score(X[30:], y[30:]), **of)
    assert not passes(check, baseline_accuracy=svm.score(X[:30], y[:30]), **of)
    honest = {"a": ChosenSVM((0.3, 1), (0.8, 0.9), 1, 0.9, 0.7), "b": ChosenSVM((0.3, 1), (0.7, 0.6), 0.3, 0.7, 0.8)}
    check = transfer.cost_chosen_by_cross_validation
    assert passes(check, chosen_svms=honest, best_vgg=honest["a"])
    assert not passes(check, chosen_svms=honest, best_vgg=honest["b"])
    peeked = {**honest, "a": replace(honest["a"], cost=0.3)}
    assert not passes(check, chosen_svms=peeked, best_vgg=peeked["a"])


@pytest.fixture(scope="module")
def network():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layers = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Tanh(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(16, 5))
    return layers.requires_grad_(False).eval()


@pytest.fixture(scope="module")
def pixels():
    return torch.rand(3, 3, 12, 12, generator=torch.Generator().manual_seed(0))


def test_visualizing_knows_the_gradient_of_the_score(network, pixels):
    maps = saliency.input_gradient(network, pixels)
    assert passes(visualizing.the_gradient_of_the_score, network=network, pixels=pixels, maps=maps)
    images = pixels.clone().requires_grad_()
    logits = network(images)
    (gradient,) = torch.autograd.grad(F.cross_entropy(logits, logits.argmax(1), reduction="sum"), images)
    fault = visualizing.the_gradient_of_the_score(network, pixels, gradient.abs().amax(1))
    assert fault.endswith("got that of the cross-entropy")
    assert passes(visualizing.one_map_for_each_picture, pixels=pixels, maps=maps)
    for wrong in (maps[:, None], -maps, maps[:2]):
        assert not passes(visualizing.one_map_for_each_picture, pixels=pixels, maps=wrong)
    assert passes(visualizing.the_network_is_frozen, network=network)
    assert not passes(visualizing.the_network_is_frozen, network=nn.Linear(1, 1))


def test_visualizing_knows_maps_that_cannot_be_made_again(network, pixels):
    order, chapter = torch.tensor([2, 0, 1]), SimpleNamespace(profile=SimpleNamespace(num_samples=2))
    given = {"network": network, "pixels": pixels, "order": order, "chapter": chapter}
    smooth = saliency.smooth_grad(network, pixels[order], num_samples=2)
    assert passes(visualizing.same_seed_same_map, smooth=smooth, **given)
    assert not passes(visualizing.same_seed_same_map, smooth=torch.rand(smooth.shape), **given)


def test_visualizing_finds_pictures_that_no_file_can_hold(network, pixels):
    fooled = adversarial.fool(network, pixels, 3)
    assert passes(visualizing.fooled_pictures_are_pictures, fooled=fooled)
    assert not passes(visualizing.fooled_pictures_are_pictures, fooled=replace(fooled, images=fooled.images + 0.5))
    assert passes(visualizing.fooled_after_saving, network=network, fooled=fooled, target=3)
    claimed = replace(fooled, images=pixels, success=torch.ones(3, dtype=torch.bool))
    assert not passes(visualizing.fooled_after_saving, network=network, fooled=claimed, target=3)
    budgets = visualizing.BUDGETS
    made = {name: adversarial.pgd(network, pixels, size, norm=norm) for name, (norm, size) in budgets.items()}
    assert passes(visualizing.epsilon_in_pixels, examples=made)
    made["FGSM 2/255"] = adversarial.fgsm(network, pixels, 2 / 255 / 0.226)
    assert not passes(visualizing.epsilon_in_pixels, examples=made)


def test_visualizing_asks_for_the_attacks_that_the_chapter_names():
    source = (paths.CHECKOUT / "notebooks" / "2_visualizing_networks.ipynb").read_text(encoding="utf-8")
    assert [name for name in visualizing.BUDGETS if f'\\"{name}\\"' not in source] == []


def test_visualizing_finds_steps_of_another_length_and_colours_that_do_not_exist():
    preset = class_visualization.PRACTICAL
    assert passes(visualizing.step_of_the_practical, preset=replace(preset, num_steps=3))
    for wrong in ({"normalised": False}, {"step_size": 2.0}, {"optimiser": torch.optim.Adam}):
        assert not passes(visualizing.step_of_the_practical, preset=replace(preset, **wrong))
    drawn = SimpleNamespace(images=torch.rand(1, 3, 4, 4), frames=torch.rand(2, 1, 3, 4, 4))
    assert passes(visualizing.drawn_pictures_are_pictures, drawn=drawn, grown=drawn)
    loud = SimpleNamespace(images=2 * drawn.images, frames=2 * drawn.frames + 1)
    assert not passes(visualizing.drawn_pictures_are_pictures, drawn=loud, grown=drawn)
    assert not passes(visualizing.drawn_pictures_are_pictures, drawn=drawn, grown=loud)


def test_domains_know_the_sign_of_the_reversed_gradient():
    for sign, right in ((1, True), (-1, False), (0, False)):
        layer = SimpleNamespace(apply=lambda x, weight, sign=sign: GradientReversal.apply(x, sign * weight))
        assert passes(dann_checks.the_gradient_is_reversed, Reverse=layer) is right
    cut = SimpleNamespace(apply=lambda x, weight: x.detach() * weight)
    assert not passes(dann_checks.the_gradient_is_reversed, Reverse=cut)
    assert not passes(dann_checks.the_gradient_is_reversed, Reverse=torch.nn.Identity)


def test_losses_of_a_batch_and_of_pseudo_labels_are_recomputed():
    network, labels = dann.DomainAdversarialNetwork(0), torch.arange(8) % 10
    halves = [torch.rand(8, 3, 28, 28) for _ in range(2)]
    losses = [loss.detach() for loss in dann.dann_losses(network, *halves, labels, 0.5)[:2]]
    given = {"network": network, "halves": halves, "labels": labels}
    assert passes(dann_checks.losses_of_a_batch, **given, class_loss=losses[0], domain_loss=losses[1])
    assert not passes(dann_checks.losses_of_a_batch, **given, class_loss=losses[0], domain_loss=2 * losses[1])
    confidence, losses = torch.tensor([0.95, 0.5]), torch.tensor([1.0, 3.0])
    given = {"confidence": confidence, "losses": losses, "trusted": torch.tensor([1.0, 0.0])}
    assert passes(dann_checks.only_sure_images_teach, **given, pseudo_loss=torch.tensor(0.5))
    assert not passes(dann_checks.only_sure_images_teach, **given, pseudo_loss=losses.mean())
    logits, truth = 9 * torch.eye(2), torch.tensor([0, 0])
    of_all, of_those = [1.0, 1.0], [0.5, 0.5]
    given = {"logits": logits, "truth": truth, "limits": (0.5, 0.9), "share": of_all}
    assert passes(dann_checks.share_of_labels_that_are_right, **given, right=of_those)
    assert not passes(dann_checks.share_of_labels_that_are_right, **given, right=of_all)


@pytest.fixture(scope="module")
def two_domains():
    random = np.random.default_rng(0)
    digits = (random.random((40, 28, 28)) > 0.7).astype(np.uint8) * 255
    photos = [random.integers(0, 256, (40, 50, 3), dtype=np.uint8) for _ in range(2)]
    labels, nowhere = np.arange(40) % 10, Provenance("tiny", "", "", "")
    source = Dataset(digits, labels, (), nowhere)
    target = Dataset(datasets.make_mnist_m(digits, photos, seed=0), labels, (), nowhere)
    return source, target, photos, datasets.make_mnist_m(np.zeros_like(digits), photos, seed=0)


def test_domains_know_the_recipe_and_its_seed(two_domains, monkeypatch):
    source, target, photos, patches = two_domains
    assert passes(dann_checks.shapes_of_the_domains, source=source, target=target)
    for wrong in (target.images[:30], target.images / 255, np.moveaxis(target.images, 3, 1)):
        assert not passes(dann_checks.shapes_of_the_domains, source=source, target=replace(target, images=wrong))
    assert passes(dann_checks.strokes_are_negatives, source=source, target=target, patches=patches)
    pasted = replace(target, images=np.maximum(patches, source.images[..., None]))
    assert not passes(dann_checks.strokes_are_negatives, source=source, target=pasted, patches=patches)
    given = {"source": source, "photos": photos, "seed": 0}
    assert passes(dann_checks.same_seed_same_patches, **given, patches=patches)
    unseeded = datasets.make_mnist_m(np.zeros_like(source.images), photos, seed=7)
    assert not passes(dann_checks.same_seed_same_patches, **given, patches=unseeded)
    held_out = [np.zeros((30, 30, 3), np.uint8)]
    monkeypatch.setattr(datasets, "load_backgrounds", lambda: None)
    monkeypatch.setattr(datasets, "split_photos", lambda photos, split: SimpleNamespace(images=held_out))
    assert passes(dann_checks.photographs_of_the_test_are_unseen, photos=photos)
    assert not passes(dann_checks.photographs_of_the_test_are_unseen, photos=[*photos, held_out[0].copy()])


def test_domains_find_paired_batches_chosen_epochs_and_other_seeds(two_domains):
    source = two_domains[0]
    assert passes(dann_checks.domains_are_drawn_apart, In=["settings = replace(dann.PRACTICAL, num_epochs=3)"])
    assert not passes(dann_checks.domains_are_drawn_apart, In=["", "settings = replace(dann.PRACTICAL, paired = True)"])
    settings = replace(dann.PAPER, num_epochs=2)
    assert passes(dann_checks.the_last_epoch, history={"class_loss": [2, 1]}, settings=settings)
    assert not passes(dann_checks.the_last_epoch, history={"class_loss": [2]}, settings=settings)
    given = {"digits": source.images, "labels": source.labels, "settings": settings, "tests": {"source": source}}
    for seed in (0, 1):
        baseline = dann.DomainAdversarialNetwork(seed, normalisation=nn.InstanceNorm2d(3))
        dann.fit_source_only(baseline, source.images, source.labels, settings)
        assert passes(dann_checks.same_seed_same_network, baseline=baseline, **given) is (seed == 0)
    other = dann.DomainAdversarialNetwork(0, batch_norm=True)
    assert passes(dann_checks.adaptation_begins_like_the_baseline, baseline=baseline, adapted=baseline)
    assert not passes(dann_checks.adaptation_begins_like_the_baseline, baseline=baseline, adapted=other)


def training_of(preset, **changes):
    generator, discriminator = gan.make_networks(preset, seed=0)
    history = gan.GanHistory(discriminator_loss=[1.0], generator_loss=[1.0])
    made = gan.Training(preset, generator.eval(), discriminator.eval(), history, torch.zeros(1), [0])
    return replace(made, **changes)


def test_generation_looks_at_each_training_of_an_exercise():
    assert {check.of for check in checks.CHAPTERS["4_generative_adversarial_networks"] if check.role} == {
        "small",
        "told",
    }
    small = {"latent_dim": 4, "generator_channels": 4, "discriminator_channels": 4, "size": 16}
    plain, conditional = replace(gan.PRACTICAL, **small), replace(gan.CONDITIONAL_PRACTICAL, **small)
    of_a_training = (
        gan_checks.samples_like_the_images, gan_checks.a_sample_is_its_own, gan_checks.losses_stay_finite,
        gan_checks.both_networks_are_trained,
    )  # fmt: skip
    for training in (training_of(plain), training_of(conditional)):
        assert all(passes(check, training=training) for check in of_a_training)
        training.generator.train()
        assert not passes(gan_checks.a_sample_is_its_own, training=training)
    wide = training_of(replace(plain, size=32), generator=training_of(plain).generator)
    assert not passes(gan_checks.samples_like_the_images, training=wide)
    deaf = training_of(conditional)
    assert passes(gan_checks.labels_are_obeyed, told=deaf)
    nn.init.zeros_(deaf.generator.from_labels.weight)
    assert not passes(gan_checks.labels_are_obeyed, told=deaf)
    lost = training_of(plain, history=gan.GanHistory(discriminator_loss=[float("nan")], generator_loss=[1.0]))
    assert not passes(gan_checks.losses_stay_finite, training=lost)
    alone = training_of(replace(plain, discriminator_rate=0.0))
    assert not passes(gan_checks.both_networks_are_trained, training=alone)


def test_generation_computes_losses_and_scores_again():
    real, fake = torch.tensor([2.0, 1.0]), torch.tensor([-1.0, 3.0])
    of_both = -F.logsigmoid(real).mean() - F.logsigmoid(-fake).mean()
    check = gan_checks.the_loss_of_the_discriminator
    assert passes(check, real_logits=real, fake_logits=fake, d_loss=of_both)
    assert not passes(check, real_logits=real, fake_logits=fake, d_loss=-F.logsigmoid(real).mean())
    assert passes(gan_checks.the_loss_of_the_generator, fooling_logits=fake, g_loss=-F.logsigmoid(fake).mean())
    assert not passes(gan_checks.the_loss_of_the_generator, fooling_logits=fake, g_loss=F.logsigmoid(fake).mean())
    shares = torch.full((10,), 0.1)
    assert passes(gan_checks.entropy_of_the_shares, shares=shares, entropy=torch.tensor(np.log(10)))
    assert not passes(gan_checks.entropy_of_the_shares, shares=shares, entropy=torch.tensor(np.log2(10)))
    assert not passes(gan_checks.entropy_of_the_shares, shares=10 * shares, entropy=torch.tensor(0.0))
    sure = torch.tensor([-3.0, -2.0])
    assert passes(gan_checks.the_gradients_of_two_losses, norms={"true": 0.1, "used": 2.0}, logits=sure)
    assert not passes(gan_checks.the_gradients_of_two_losses, norms={"true": 2.0, "used": 0.1}, logits=sure)
    assert not passes(gan_checks.the_gradients_of_two_losses, norms={"true": 0.1, "used": 2.0}, logits=-sure)
    assert passes(gan_checks.entropy_of_the_shares, shares=shares.numpy(), entropy=np.log(10))


def test_generation_knows_logits_distances_modes_and_flows_that_were_never_computed():
    answers = {"real": torch.rand(3, 1, 8, 8), "real_logits": torch.ones(3), "fooling_logits": torch.ones(3)}
    assert passes(gan_checks.a_logit_for_each_image, **answers, fake_logits=torch.zeros(3))
    assert not passes(gan_checks.a_logit_for_each_image, **answers, fake_logits=torch.ones(3))
    assert not passes(gan_checks.a_logit_for_each_image, **answers, fake_logits=torch.zeros(1))
    features = dict(zip(("real_features", "train_features", "fake_features"), torch.randn(3, 30, 2), strict=True))
    real, train, fake = features.values()
    floor = metrics.frechet_distance(real, train)
    distance = metrics.frechet_distance(real, fake) / floor
    precision, recall = metrics.precision_recall(real, fake, k=3)
    right = {"floor": floor, "distance": distance, "precision": precision, "recall": recall}
    assert passes(gan_checks.distances_of_features, **features, **right)
    for name in right:
        assert not passes(gan_checks.distances_of_features, **features, **{**right, name: 0})
    ring = gan.fit_ring(num_steps=2)
    found, near = gan.count_modes(ring.samples[-1])
    assert passes(gan_checks.modes_of_the_ring, ring=ring, found=found, near=near)
    assert not passes(gan_checks.modes_of_the_ring, ring=ring, found=found + 1, near=near)


def test_generation_computes_the_loss_of_a_flow_again():
    network = flow.VelocityNetwork(replace(flow.STANDARD, size=8, channels=(8, 8, 8)))
    given = {"network": network, "real": torch.rand(4, 1, 8, 8), "digits": torch.arange(4)}
    given |= {"noise": torch.randn(4, 1, 8, 8), "times": torch.linspace(0, 1, 4).view(-1, 1, 1, 1)}
    x = (1 - given["times"]) * given["noise"] + given["times"] * given["real"]
    with torch.no_grad():
        squares = (
            (network(x, given["times"].flatten(), given["digits"]) - given["real"] + given["noise"]).square().mean()
        )
    assert passes(gan_checks.the_loss_of_the_flow, **given, x=x, squares=squares)
    assert not passes(gan_checks.the_loss_of_the_flow, **given, x=x, squares=0 * squares)
    assert not passes(gan_checks.the_loss_of_the_flow, **given, x=x.flip(0), squares=squares)


def test_a_table_has_every_recipe():
    svms = {name: SimpleNamespace(test_accuracy=accuracy) for name, accuracy in (("a", 0.8), ("b", 0.9))}
    check = transfer.accuracies_of_every_recipe
    assert passes(check, table=([["a", "0.800"], ["b", "0.900"]], ["", "test"]), chosen_svms=svms)
    assert not passes(check, table=([["b", "0.900"]], ["", "test"]), chosen_svms=svms)

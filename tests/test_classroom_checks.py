"""The automatic checks of a class: each passes what is right and finds its trap."""

from __future__ import annotations

import copy
import inspect
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.svm import LinearSVC
from torch import nn

from dlapps import adversarial, class_visualization, dann, datasets, gan, pretrained, saliency
from dlapps.classroom import checks
from dlapps.classroom.checks import dann as domains
from dlapps.classroom.checks import gan as generation
from dlapps.classroom.checks import transfer, visualizing
from dlapps.core import metrics, paths
from dlapps.core.assets import Provenance
from dlapps.core.training import History
from dlapps.dann import GradientReversal
from dlapps.datasets.dataset import Dataset
from dlapps.gan import flow
from dlapps.transfer.linear import ChosenSVM

torch.set_num_threads(1)


def test_checks_never_raise_and_explain_themselves_in_two_sentences():
    for chapter, listed in checks.CHAPTERS.items():
        names = [name for check in listed for name in inspect.signature(check).parameters]
        for variables in ({}, dict.fromkeys([*names, *checks.TRAININGS], object())):
            faults = checks.run(chapter, {**variables, "In": [""]})
            assert all(fault is None or fault.startswith("expected ") for fault in faults.values())
            passed = [name for name, fault in faults.items() if fault is None]
            assert set(passed) <= {"any_device", "networks_in_eval_mode", "domains_are_drawn_apart"}
    for check in {checks.any_device}.union(*checks.CHAPTERS.values()):
        assert " ".join(check.__doc__.split()).count(". ") >= 1, check


def finds(check, *traps, **right):
    """The check passes the variables that are right, and finds a fault with those of each trap in their place."""
    assert check(**right) is None
    for trap in traps:
        fault = check(**{**right, **trap})
        assert fault is not None, trap
        assert fault.startswith("expected ")


def test_everywhere():
    network = nn.Linear(1, 1).eval()
    right = {"network": network, "_": nn.Linear(1, 1)}
    finds(checks.networks_in_eval_mode, {"variables": {"network": nn.Linear(1, 1)}}, variables=right)
    traps = ("x = x.cuda()", 'torch.ones(3, device="cuda")', "x.to('cuda:0')")
    finds(checks.any_device, *({"In": ["x = 1", trap]} for trap in traps), In=["", "x.to(device)"])


def test_transfer_finds_what_spoils_an_accuracy():
    y_train, y_test = np.arange(15).repeat(100), np.arange(2985) % 15
    right = {"y_train": y_train, "y_test": y_test}
    finds(transfer.the_whole_split, {"y_test": y_test[:2944]}, **right)
    finds(transfer.every_class, {"y_test": y_test % 5}, **right)
    rows = np.eye(20)
    filled = np.concatenate([rows[:10], 0 * rows[10:]])
    finds(transfer.no_empty_rows, {"X_test": filled}, X_train=rows, X_test=rows)
    finds(transfer.rows_of_length_one, {"X_test": 3 * rows}, X_train=rows, X_test=filled)
    pixels = torch.rand(2, 3, 8, 8)
    wrong = (255 * pixels, pixels - 0.5, pixels[0], (255 * pixels).byte())
    traps = ({"all_pixels": each} for each in wrong)
    finds(transfer.pixels_are_not_normalised, *traps, all_pixels=pixels)


def test_transfer_finds_a_normalisation_that_was_left_in_and_a_mode_that_was_never_changed():
    module = nn.Sequential(nn.Flatten(), nn.Linear(12, 2, bias=False))
    nn.init.constant_(module[1].weight[0], 1.0), nn.init.zeros_(module[1].weight[1])
    network, pixels = pretrained.wrap(module, (0.9,) * 3, (0.1,) * 3), torch.full((4, 3, 2, 2), 0.5)
    right = {"networks": {"a": network}, "pixels": {"a": pixels}, "truths": torch.tensor([0, 0, 0, 1])}
    right |= {"unscaled": {"a": 3}, "scaled": {"a": 3}}
    finds(transfer.right_without_the_normalisation, {"unscaled": {"a": 1}}, {"scaled": {"a": 4}}, **right)
    traps = ({"moved": {"eval": 0.0, "train": 0.0}}, {"moved": {"eval": 0.2, "train": 0.2}})
    finds(transfer.a_picture_alone_or_among_others, *traps, moved={"eval": 1e-6, "train": 0.2})


def test_transfer_finds_choices_and_accuracies_of_the_wrong_pictures():
    random = np.random.default_rng(0)
    X, y = random.normal(size=(60, 5)), random.integers(0, 3, 60)
    svm, other = (LinearSVC(random_state=seed).fit(X[:30], y[:30]) for seed in (0, None))
    right = {"baseline": svm, "X_train": X[:30], "y_train": y[:30]}
    finds(transfer.same_seed_same_classifier, {"baseline": other}, **right)
    right = {"baseline": svm, "X_test": X[30:], "y_test": y[30:]}
    right["baseline_accuracy"] = svm.score(X[30:], y[30:])
    trap = {"baseline_accuracy": svm.score(X[:30], y[:30])}
    finds(transfer.accuracy_on_the_test_pictures, trap, **right)
    chosen = ChosenSVM((0.3, 1), (0.8, 0.9), 1, 0.9, 0.7, np.ones(1, bool))
    trap = {"svms": {"a": replace(chosen, cost=0.3)}}
    finds(transfer.cost_chosen_by_cross_validation, trap, svms={"a": chosen})


@pytest.fixture(scope="module")
def network():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layers = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Tanh(), nn.AdaptiveAvgPool2d(2), nn.Flatten())
        return layers.append(nn.Linear(16, 5)).requires_grad_(False).eval()


@pytest.fixture(scope="module")
def pixels():
    return torch.rand(3, 3, 12, 12, generator=torch.Generator().manual_seed(0))


def test_visualizing_knows_the_gradient_of_the_score(network, pixels):
    maps = saliency.input_gradient(network, pixels)
    finds(visualizing.the_gradient_of_the_score, network=network, pixels=pixels, maps=maps)
    images = pixels.clone().requires_grad_()
    logits = network(images)
    loss = F.cross_entropy(logits, logits.argmax(1), reduction="sum")
    (gradient,) = torch.autograd.grad(loss, images)
    fault = visualizing.the_gradient_of_the_score(network, pixels, gradient.abs().amax(1))
    assert fault.endswith("got that of the cross-entropy")
    traps = ({"maps": wrong} for wrong in (maps[:, None], -maps, maps[:2]))
    finds(visualizing.one_map_for_each_picture, *traps, pixels=pixels, maps=maps)
    finds(visualizing.the_network_is_frozen, {"network": nn.Linear(1, 1)}, network=network)


def test_visualizing_knows_maps_that_cannot_be_made_again(network, pixels):
    classes, chapter = torch.tensor([2, 0, 1]), SimpleNamespace(profile=SimpleNamespace(num_samples=2))
    right = {"network": network, "four": pixels, "classes": classes, "chapter": chapter}
    right["smooth"] = saliency.smooth_grad(network, pixels, classes, num_samples=2)
    finds(visualizing.same_seed_same_map, {"smooth": torch.rand(right["smooth"].shape)}, **right)


def test_visualizing_finds_pictures_that_no_file_can_hold(network, pixels):
    fooled = adversarial.fool(network, pixels, 3)
    trap = {"fooled": replace(fooled, images=fooled.images + 0.5)}
    finds(visualizing.fooled_pictures_are_pictures, trap, fooled=fooled)
    trap = {"fooled": replace(fooled, images=pixels, success=torch.ones(3, dtype=torch.bool))}
    finds(visualizing.fooled_after_saving, trap, network=network, fooled=fooled, target=3)
    made = {
        name: adversarial.pgd(network, pixels, size, norm=norm) for name, (norm, size) in visualizing.BUDGETS.items()
    }
    normalised = adversarial.fgsm(network, pixels, 2 / 255 / 0.226)
    trap = {"examples": {**made, "FGSM 2/255": normalised}}
    finds(visualizing.epsilon_in_pixels, trap, examples=made)


def test_visualizing_asks_for_the_attacks_that_the_chapter_names():
    notebook = paths.CHECKOUT / "notebooks" / "2_visualizing_networks.ipynb"
    source = notebook.read_text(encoding="utf-8")
    assert [name for name in visualizing.BUDGETS if f'\\"{name}\\"' not in source] == []


def test_visualizing_finds_steps_of_another_length_and_colours_that_do_not_exist():
    preset = replace(class_visualization.PRACTICAL, num_steps=3)
    wrong = ({"normalised": False}, {"step_size": 2.0}, {"optimiser": torch.optim.Adam})
    traps = ({"preset": replace(preset, **each)} for each in wrong)
    finds(visualizing.step_of_the_practical, *traps, preset=preset)
    drawn = SimpleNamespace(images=torch.rand(1, 3, 4, 4), frames=torch.rand(2, 1, 3, 4, 4))
    loud = SimpleNamespace(images=2 * drawn.images, frames=2 * drawn.frames + 1)
    traps = {"drawn": loud}, {"grown": loud}
    finds(visualizing.drawn_pictures_are_pictures, *traps, drawn=drawn, grown=drawn)


def test_domains_know_the_sign_of_the_reversed_gradient():
    def reverse(sign):
        return SimpleNamespace(apply=lambda x, weight: GradientReversal.apply(x, sign * weight))

    cut = SimpleNamespace(apply=lambda x, weight: x.detach() * weight)
    traps = ({"Reverse": wrong} for wrong in (reverse(-1), reverse(0), cut, nn.Identity))
    finds(domains.the_gradient_is_reversed, *traps, Reverse=reverse(1))


def test_losses_of_a_batch_and_of_pseudo_labels_are_recomputed():
    network, labels = dann.DomainAdversarialNetwork(0), torch.arange(8) % 10
    halves = [torch.rand(8, 3, 28, 28) for _ in range(2)]
    losses = [loss.detach() for loss in dann.dann_losses(network, *halves, labels, 0.5)[:2]]
    right = {"network": network, "halves": halves, "labels": labels}
    right |= {"class_loss": losses[0], "domain_loss": losses[1]}
    finds(domains.losses_of_a_batch, {"domain_loss": 2 * losses[1]}, **right)
    losses = torch.tensor([1.0, 3.0])
    right = {"confidence": torch.tensor([0.95, 0.5]), "losses": losses}
    right |= {"trusted": torch.tensor([1.0, 0.0]), "pseudo_loss": torch.tensor(0.5)}
    finds(domains.only_sure_images_teach, {"pseudo_loss": losses.mean()}, **right)
    right = {"logits": 9 * torch.eye(2), "truth": torch.tensor([0, 0]), "limits": (0.5, 0.9)}
    right |= {"share": [1.0, 1.0], "right": [0.5, 0.5]}
    finds(domains.share_of_labels_that_are_right, {"right": right["share"]}, **right)


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
    images = target.images
    wrong = (images[:30], images / 255, np.moveaxis(images, 3, 1))
    traps = ({"target": replace(target, images=each)} for each in wrong)
    finds(domains.shapes_of_the_domains, *traps, source=source, target=target)
    pasted = replace(target, images=np.maximum(patches, source.images[..., None]))
    right = {"source": source, "target": target, "patches": patches}
    finds(domains.strokes_are_negatives, {"target": pasted}, **right)
    unseeded = datasets.make_mnist_m(np.zeros_like(source.images), photos, seed=7)
    right = {"source": source, "photos": photos, "seed": 0, "patches": patches}
    finds(domains.same_seed_same_patches, {"patches": unseeded}, **right)
    held_out = SimpleNamespace(images=[np.zeros((30, 30, 3), np.uint8)])
    monkeypatch.setattr(datasets, "load_backgrounds", lambda: None)
    monkeypatch.setattr(datasets, "split_photos", lambda photos, split: held_out)
    trap = {"photos": [*photos, held_out.images[0].copy()]}
    finds(domains.photographs_of_the_test_are_unseen, trap, photos=photos)


def test_domains_find_paired_batches_chosen_epochs_and_other_seeds(two_domains):
    source = two_domains[0]
    right = ["settings = replace(dann.PRACTICAL, num_epochs=3)"]
    trap = ["", "settings = replace(dann.PRACTICAL, paired = True)"]
    finds(domains.domains_are_drawn_apart, {"In": trap}, In=right)
    settings = replace(dann.PAPER, num_epochs=2)
    right = {"history": {"class_loss": [2, 1]}, "settings": settings}
    finds(domains.the_last_epoch, {"history": {"class_loss": [2]}}, **right)
    baselines = [dann.DomainAdversarialNetwork(seed, normalisation=nn.InstanceNorm2d(3)) for seed in (0, 1)]
    for baseline in baselines:
        dann.fit_source_only(baseline, source.images, source.labels, settings)
    right = {"digits": source.images, "labels": source.labels, "settings": settings}
    right |= {"tests": {"source": source}, "baseline": baselines[0]}
    finds(domains.same_seed_same_network, {"baseline": baselines[1]}, **right)
    trap = {"adapted": dann.DomainAdversarialNetwork(0, batch_norm=True)}
    right = {"baseline": baselines[1], "adapted": baselines[1]}
    finds(domains.adaptation_begins_like_the_baseline, trap, **right)


def training_of(preset, **changes):
    generator, discriminator = gan.make_networks(preset, seed=0)
    history = History(discriminator_loss=[1.0], generator_loss=[1.0])
    networks = generator.eval(), discriminator.eval()
    made = gan.Training(preset, *networks, history, torch.zeros(1), [0])
    return replace(made, **changes)


def test_generation_looks_at_each_training_of_an_exercise():
    names = checks.run("4_generative_adversarial_networks", {"In": [""]})
    assert {"losses_stay_finite small", "losses_stay_finite told", "labels_are_obeyed"} <= names.keys()
    small = {"latent_dim": 4, "generator_channels": 4, "discriminator_channels": 4, "size": 16}
    plain = training_of(replace(gan.PRACTICAL, **small))
    deaf = training_of(replace(gan.CONDITIONAL_PRACTICAL, **small))
    wide = training_of(replace(plain.preset, size=32), generator=plain.generator)
    lost = replace(plain, history=History(discriminator_loss=[np.nan], generator_loss=[1.0]))
    alone = training_of(replace(plain.preset, discriminator_rate=0.0))
    for training in (plain, deaf):
        finds(generation.samples_like_the_images, {"training": wide}, training=training)
        finds(generation.losses_stay_finite, {"training": lost}, training=training)
        finds(generation.both_networks_are_trained, {"training": alone}, training=training)
        trap = {"training": replace(training, generator=copy.deepcopy(training.generator).train())}
        finds(generation.a_sample_is_its_own, trap, training=training)
    assert generation.labels_are_obeyed(told=deaf) is None
    nn.init.zeros_(deaf.generator.from_labels.weight)
    assert generation.labels_are_obeyed(told=deaf).startswith("expected ")


def test_generation_computes_losses_and_scores_again():
    real, fake = torch.tensor([2.0, 1.0]), torch.tensor([-1.0, 3.0])
    of_real, of_fake = -F.logsigmoid(real).mean(), -F.logsigmoid(-fake).mean()
    right = {"real_logits": real, "fake_logits": fake, "d_loss": of_real + of_fake}
    finds(generation.the_loss_of_the_discriminator, {"d_loss": of_real}, **right)
    loss = -F.logsigmoid(fake).mean()
    right = {"fooling_logits": fake, "g_loss": loss}
    finds(generation.the_loss_of_the_generator, {"g_loss": -loss}, **right)
    shares, entropy = torch.full((10,), 0.1), torch.tensor(np.log(10))
    traps = {"entropy": torch.tensor(np.log2(10))}, {"shares": 10 * shares, "entropy": torch.tensor(0.0)}
    finds(generation.entropy_of_the_shares, *traps, shares=shares, entropy=entropy)
    finds(generation.entropy_of_the_shares, shares=shares.numpy(), entropy=np.log(10))
    right = {"norms": {"true": 0.1, "used": 2.0}, "logits": torch.tensor([-3.0, -2.0])}
    traps = {"norms": {"true": 2.0, "used": 0.1}}, {"logits": -right["logits"]}
    finds(generation.the_gradients_of_two_losses, *traps, **right)


def test_generation_knows_logits_distances_modes_and_flows_that_were_never_computed():
    ones = torch.ones(3)
    right = {"real": torch.rand(3, 1, 8, 8), "real_logits": ones, "fooling_logits": ones}
    traps = {"fake_logits": ones}, {"fake_logits": torch.zeros(1)}
    finds(generation.a_logit_for_each_image, *traps, **right, fake_logits=torch.zeros(3))
    real, train, fake = torch.randn(3, 30, 2)
    features = {"real_features": real, "train_features": train, "fake_features": fake}
    floor = metrics.frechet_distance(real, train)
    precision, recall = metrics.precision_recall(real, fake, k=3)
    right = {"floor": floor, "distance": metrics.frechet_distance(real, fake) / floor}
    right |= {"precision": precision, "recall": recall}
    finds(generation.distances_of_features, *({name: 0} for name in right), **features, **right)
    ring = gan.fit_ring(num_steps=2)
    found, near = gan.count_modes(ring.samples[-1])
    finds(generation.modes_of_the_ring, {"found": found + 1}, ring=ring, found=found, near=near)


def test_generation_computes_the_loss_of_a_flow_again():
    network = flow.VelocityNetwork(replace(flow.STANDARD, size=8, channels=(8, 8, 8)))
    real, noise, times = torch.rand(4, 1, 8, 8), torch.randn(4, 1, 8, 8), torch.linspace(0, 1, 4)
    right = {"network": network, "real": real, "noise": noise, "digits": torch.arange(4)}
    right["times"] = times.view(-1, 1, 1, 1)
    x = (1 - right["times"]) * noise + right["times"] * real
    with torch.no_grad():
        squares = (network(x, times, right["digits"]) - real + noise).square().mean()
    right |= {"x": x, "squares": squares}
    finds(generation.the_loss_of_the_flow, {"squares": 0 * squares}, {"x": x.flip(0)}, **right)

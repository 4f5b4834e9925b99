"""The pointing game, and the grids on which it is played."""

import torch

from studies import visualizing_saliency as study

torch.set_num_threads(1)

CORNERS = [(0, 0), (0, 8), (6, 0), (6, 8)]


def test_the_truth_wins_the_game_and_what_is_constant_is_right_once_in_four():
    truth = torch.zeros(1, 4, 12, 16)
    for cell, (top, left) in enumerate(CORNERS):
        truth[0, cell, top : top + 6, left : left + 8] = 1
    assert (study.find_hits(truth) == 1).all()
    assert (study.find_hits(truth.roll(8, 3)) == 0).all()
    assert (study.find_hits(torch.zeros(1, 4, 12, 16)) == 0.25).all()


def test_a_hand_has_four_classes_and_no_picture_comes_twice_before_the_others():
    labels = [0, 0, 1, 1, 2, 3, 4, 5]
    for hand in study.deal(labels, 6).tolist():
        assert len({labels[row] for row in hand}) == 4
    singles = study.deal(range(8), 4)
    for half in singles.split(2):
        assert sorted(half.flatten().tolist()) == list(range(8))

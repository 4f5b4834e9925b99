"""The settings of a profile."""

import copy
import pickle

import pytest

from labreport.profiles import Profile


def test_a_profile_can_be_copied_and_sent_to_a_process():
    profile = Profile("quick", epochs=3)
    for other in (copy.copy(profile), pickle.loads(pickle.dumps(profile))):
        assert (other.name, other.seeds, other.epochs) == ("quick", (0,), 3)
    with pytest.raises(AttributeError, match="profile quick among name, seeds, epochs"):
        profile.steps  # noqa: B018

"""The automatic checks of a student's notebook, run in its own kernel when all its cells have run.

A check is a function. Its parameters are the names of the student's variables that it looks at (`variables` is all of
them, `In` the code of the cells that ran), its docstring says in two sentences why it matters, and it returns what is
wrong, "expected …, got …", or None. Every public function that a chapter's module defines is one.
"""

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any

from torch import nn

from dlapps.classroom.checks import dann, gan, transfer, visualizing
from dlapps.classroom.checks.expect import expect

Check = Callable[..., str | None]


def networks_in_eval_mode(variables: Mapping[str, Any]) -> str | None:
    """In training mode dropout draws at random and batch norm looks at the other pictures of the batch. What a network
    says of a picture then changes from call to call, and no error is raised."""
    named = {name: value for name, value in variables.items() if not name.startswith("_")}
    training = [name for name, value in named.items() if isinstance(value, nn.Module) and value.training]
    return expect(not training, "networks in eval mode", f"{', '.join(training)} in training mode")


def any_device(In: Sequence[str]) -> str | None:
    """A notebook that asks for one kind of device stops on every machine without it. Take the device from an argument,
    or from the network: next(network.parameters()).device."""
    found = re.search(r"\.cuda\(|\bdevice\s*=\s*[\"']cuda|\.to\(\s*[\"']cuda", "\n".join(In))
    return expect(not found, "code for any device", found and f"{found[0]}…")


def _defined_in(module: ModuleType) -> list[Check]:
    """The public functions of a module, in the order of its lines, without those that it imports."""
    functions = (function for function in vars(module).values() if inspect.isfunction(function))
    return [each for each in functions if each.__module__ == module.__name__ and not each.__name__.startswith("_")]


# By the name of the notebook: another report's chapters have none.
CHAPTERS: dict[str, Sequence[Check]] = {
    # It ends with a network in training mode, to see what that does.
    "1_transfer_learning": _defined_in(transfer),
    "2_visualizing_networks": (networks_in_eval_mode, *_defined_in(visualizing)),
    # In the other two networks are trained step by step, and the library evaluates them in eval mode itself; whether
    # samples are drawn in it is asked of the samples.
    "3_domain_adaptation": _defined_in(dann),
    "4_generative_adversarial_networks": _defined_in(gan),
}
TRAININGS = ("small", "told")  # each is the "training" of a check that has such a parameter


def run(chapter: str, variables: Mapping[str, Any]) -> dict[str, str | None]:
    """What is wrong with the variables of a notebook, or None, by check; one that fails to run has found a fault."""
    found = {}
    for check in (any_device, *CHAPTERS.get(chapter, ())):
        names = list(inspect.signature(check).parameters)
        for training in TRAININGS if "training" in names else ("",):
            wanted = [training if name == "training" else name for name in names]
            found[" ".join([check.__name__, training]).strip()] = _run(check, wanted, variables)
    return found


def _run(check: Check, wanted: Sequence[str], variables: Mapping[str, Any]) -> str | None:
    available = {**variables, "variables": variables}
    if missing := [name for name in wanted if name not in available]:
        return f"expected {', '.join(missing)}, got no variable of that name"
    try:
        return check(*(available[name] for name in wanted))
    # Whatever a student put into a variable, the other checks go on.
    except Exception as error:
        return f"expected {', '.join(wanted)} as the chapter has them, got {type(error).__name__}: {error}"

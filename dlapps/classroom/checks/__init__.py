"""The automatic checks of a student's notebook, run in its own kernel when all its cells have run.

A check is a function. Its parameters are the names of the student's variables that it looks at (`variables` is all of
them, `In` the code of the cells that ran), its docstring says in two sentences why it matters, and it returns what is
wrong, "expected …, got …", or None. Every public function that a chapter's module defines is one.
"""

import inspect
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from torch import nn

from dlapps.classroom.checks import dann, gan, transfer, visualizing
from dlapps.classroom.checks.expect import expect


@dataclass(frozen=True)
class Verdict:
    """What one check found: `fault` is "expected …, got …", or None where it passed; `why` says why it matters."""

    name: str
    fault: str | None
    why: str

    @property
    def line(self) -> str:
        """The verdict as one line of text."""
        if self.fault:
            return f"failed  {self.name}: {self.fault}. {self.why}"
        return f"passed  {self.name}"


@dataclass(frozen=True)
class Check:
    """A function that looks at the variables that its parameters name; `of` is the variable that `role` stands for."""

    function: Callable[..., str | None]
    role: str = ""
    of: str = ""

    @property
    def title(self) -> str:
        """What it is called in a verdict."""
        return self.function.__name__.replace("_", " ") + (f" ({self.of})" if self.of else "")

    @property
    def names(self) -> dict[str, str]:
        """The variables that it looks at, by parameter."""
        return {name: self.of if name == self.role else name for name in inspect.signature(self.function).parameters}


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


def _defined_in(module: ModuleType, role: str = "", variables: Sequence[str] = ("",)) -> Iterator[Check]:
    """The public functions of a module, in the order of its lines, without those that it imports.

    One with a parameter named `role` is a check of each of the variables.
    """
    for name, function in vars(module).items():
        is_own = inspect.isfunction(function) and function.__module__ == module.__name__
        if is_own and not name.startswith("_"):
            has_role = role in inspect.signature(function).parameters
            yield from (Check(function, role, of) for of in variables) if has_role else [Check(function)]


EVERYWHERE = (Check(any_device),)
# By the name of the notebook: another report's chapters have none.
CHAPTERS: dict[str, Sequence[Check]] = {
    "1_transfer_learning": (Check(networks_in_eval_mode), *_defined_in(transfer)),
    "2_visualizing_networks": (Check(networks_in_eval_mode), *_defined_in(visualizing)),
    # In the other two networks are trained step by step, and the library evaluates them in eval mode itself; whether
    # samples are drawn in it is asked of the samples.
    "3_domain_adaptation": (*_defined_in(dann),),
    "4_generative_adversarial_networks": (*_defined_in(gan, "training", ("small", "told")),),
}


def run(chapter: str, variables: Mapping[str, Any]) -> list[Verdict]:
    """The verdicts of a chapter's checks on the variables of a notebook; a check that fails to run has failed."""
    return [_judge(check, variables) for check in (*EVERYWHERE, *CHAPTERS.get(chapter, ()))]


def _judge(check: Check, variables: Mapping[str, Any]) -> Verdict:
    available, wanted = {**variables, "variables": variables}, check.names
    fault: str | None
    if missing := [name for name in wanted.values() if name not in available]:
        some = f"variable{'s'[: len(missing) > 1]} {', '.join(missing)}"
        fault = f"expected a {some}, got none" if len(missing) == 1 else f"expected {some}, got none of them"
    else:
        try:
            fault = check.function(**{parameter: available[name] for parameter, name in wanted.items()})
        # Whatever a student put into a variable, the other checks go on.
        except Exception as error:
            got = f"{type(error).__name__}: {error}"
            fault = f"expected {', '.join(wanted.values())} as the chapter has them, got {got}"
    why = " ".join((check.function.__doc__ or "").split())
    return Verdict(check.title, fault and " ".join(fault.split()), why)

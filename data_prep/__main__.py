"""The command line: `python -m data_prep SOURCE --out=DIR` prepares a data set, `--list` names the sources."""

import sys
from argparse import ArgumentParser, Namespace
from typing import NoReturn

from data_prep.prepare import prepare
from data_prep.source import CannotPrepare, Source, find_sources


class _Parser(ArgumentParser):
    """Says what is wrong in one line, without the whole usage."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}\n")


def parse(arguments: list[str] | None, sources: dict[str, Source]) -> Namespace:
    """Options of one call; exits 2 with one sentence where they make no sense."""
    parser = _Parser(prog="data_prep", description="Prepare a data set of chest radiographs.")
    parser.add_argument("--list", action="store_true", help="name the sources and end")
    commands = parser.add_subparsers(dest="source", metavar="SOURCE", parser_class=_Parser)
    for name, source in sources.items():
        command = commands.add_parser(name, help=source.about, description=source.about)
        command.add_argument(
            "--out", default="", metavar="DIR", help="where to write; the data set gets its own folder"
        )
        command.add_argument("--name", default="", help="of the data set; the source's name if not given")
        command.add_argument("--overwrite", action="store_true", help="replace a data set that is complete")
        source.add_arguments(command)
    options = parser.parse_args(arguments)
    if not options.list and not options.source:
        parser.error(f"name a source: {', '.join(sources)} (or --list)")
    return options


def main(arguments: list[str] | None = None) -> int:
    """Runs one command.

    Args:
        arguments: as on the command line; those of the process if None.

    Returns:
        The exit status: 0, or 2 where the request cannot be met.
    """
    sources = find_sources()
    options = parse(arguments, sources)
    if options.list:
        width = max(map(len, sources))
        print("\n".join(f"{name:{width}}  {source.about}" for name, source in sources.items()))
        return 0
    source = sources[options.source]
    try:
        line = source.run(options)
        if line is None:
            if not options.out:
                raise CannotPrepare("say where to write with --out=DIR")
            line = prepare(source, options)
    except CannotPrepare as error:
        print(f"data_prep {source.name}: {error}", file=sys.stderr)
        return 2
    print(line)
    return 0


if __name__ == "__main__":
    sys.exit(main())

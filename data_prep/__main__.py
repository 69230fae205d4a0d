"""Command line: `python -m data_prep SOURCE --out=DIR` prepares a data set, `--list` lists the sources.

`describe DIR` writes the data card of a prepared data set, `duplicates DIR [DIR...]` compares data sets.
"""

import sys
from argparse import SUPPRESS, ArgumentParser
from collections.abc import Mapping
from typing import Any, NamedTuple, NoReturn

import cxrjax
from cxrjax.io import limits
from cxrjax.io.prepared import DatasetError
from cxrjax.runtime import signals, terminal
from data_prep import options
from data_prep.checks.cross_dataset import list_duplicates
from data_prep.dataset_card.describe import describe
from data_prep.options import Options
from data_prep.prepare import prepare
from data_prep.record import PreparationError
from data_prep.source import Source, find_sources
from data_prep.text import printable

COMMANDS = {  # commands on prepared data sets
    "describe": ("write the data card of a prepared data set into its folder", describe),
    "duplicates": ("list near-duplicates within and across prepared data sets, as CSV", list_duplicates),
}
FORMER_FLAGS = {"--from": "--raw_dir", "--where": "--filter", "--split": "--split_ratios", "--splits": "--split_csv"}

_LIMITS = "limits per input file, as max_pixels=2e8,max_seconds=120; also max_bytes and max_memory, both in bytes"


class Request(NamedTuple):
    """A parsed command line.

    Attributes:
        command: name of a source or of one of `COMMANDS`; "" for --list.
        options: of the source.
        folders: of the data sets that one of `COMMANDS` processes.
        is_strict: whether a skipped radiograph gives the exit status 3.
    """

    command: str
    options: Options
    folders: tuple[str, ...] = ()
    is_strict: bool = False


class _Parser(ArgumentParser):
    """An argument parser that reports an error in one line, without the usage."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}\n")


def parse(arguments: list[str] | None, sources: Mapping[str, Source[Any]], program: str = "data_prep") -> Request:
    """Parse a command line; exit with status 2 and one sentence if it is not valid."""
    parser = make_parser(sources, program)
    for word in sys.argv[1:] if arguments is None else arguments:
        flag = word.partition("=")[0]
        if flag in FORMER_FLAGS:
            parser.error(f"{flag} is now {FORMER_FLAGS[flag]}")
    namespace = parser.parse_args(arguments)
    try:
        limits.use(namespace.limits)
        limits.current()  # also checks the environment variable
    except ValueError as error:
        parser.error(str(error))
    if namespace.list:
        return Request("", Options())
    if not namespace.command:
        parser.error(f"name a source: {', '.join(sources)} (or --list)")
    if namespace.command in COMMANDS:
        return Request(namespace.command, Options(), folders=tuple(namespace.folders))
    source_options = options.from_namespace(sources[namespace.command].options_type, namespace)
    return Request(namespace.command, source_options, is_strict=namespace.strict)


def make_parser(sources: Mapping[str, Source[Any]], program: str = "data_prep") -> ArgumentParser:
    """Return the parser of the command line.

    Args:
        sources: the sources of data sets, by name.
        program: the command as the user types it, for the help.
    """
    parser = _Parser(prog=program, description="Prepare a data set of chest radiographs.")
    parser.add_argument("--version", action="version", version=f"cxrjax {cxrjax.__version__}")
    parser.add_argument("--list", action="store_true", help="list the sources and exit")
    commands = parser.add_subparsers(dest="command", metavar="SOURCE", parser_class=_Parser)
    for name, source in sources.items():
        command = commands.add_parser(name, help=source.description, description=source.description)
        options.add_arguments(command, source.options_type)
        command.add_argument("--strict", action="store_true", help="exit with status 3 if a radiograph is skipped")
    for name, (description, _) in COMMANDS.items():
        command = commands.add_parser(name, help=description, description=description)
        command.add_argument(
            "folders", nargs="+", metavar="DIR", help="a prepared data set: OUT/NAME or OUT/NAME/VERSION"
        )
    parser.add_argument("--limits", default="", metavar="KEY=VALUE,...", help=_LIMITS)
    for command in commands.choices.values():
        command.add_argument("--limits", default=SUPPRESS, metavar="KEY=VALUE,...", help=_LIMITS)
    return parser


def main(arguments: list[str] | None = None, program: str = "data_prep") -> int:
    """Run one command.

    Args:
        arguments: of the command line; None for those of the process.
        program: the command as the user types it, for the help.

    Returns:
        The exit status: 0; 2 if the command failed; with --strict, 3 if a radiograph was skipped.
    """
    sources = find_sources()
    request = parse(arguments, sources, program)
    if not request.command:
        print("\n".join(map(_describe, sources.values())))
        return 0
    try:
        if request.command in COMMANDS:
            _, run_command = COMMANDS[request.command]
            text = run_command(request.folders)
            is_complete = True
        else:
            text, is_complete = _run_source(sources[request.command], request.options)
    except (PreparationError, DatasetError) as error:
        print(printable(f"data_prep {request.command}: {error}"), file=sys.stderr)
        return 2
    except OSError as error:  # a folder without permission, a disk that is not available
        print(printable(f"data_prep {request.command}: {error.filename}: {error.strerror or error}"), file=sys.stderr)
        return 2
    print(printable(text))
    return 3 if not is_complete and request.is_strict else 0


def _run_source(source: Source[Any], source_options: Options) -> tuple[str, bool]:
    """Return the text to print, and whether every radiograph was stored."""
    line = source.run_extra(source_options)
    if line is not None:
        return line, True
    if not source_options.out:
        raise PreparationError("name the output folder with --out=DIR")
    return prepare(source, source_options)


def _describe(source: Source[Any]) -> str:
    attributes = {
        "get it": source.homepage,
        "license": source.license,
        "size": source.size,
        "content": source.coverage,
    }
    lines = [f"    {key + ':':9}{text}" for key, text in attributes.items()]
    return "\n".join([f"{source.name}: {source.description}", *lines])


def run(arguments: list[str] | None = None, program: str = "data_prep") -> None:
    """Run one command as `main` does, and exit with its status."""
    terminal.guard_streams()
    with signals.handled(lambda: "no incomplete data set is left; run the same command again to prepare it"):
        sys.exit(main(arguments, program))


if __name__ == "__main__":
    run()

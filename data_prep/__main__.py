"""Command line: `python -m data_prep SOURCE --out=DIR` prepares a data set, `--list` lists the sources.

`describe DIR` writes the data card of a prepared data set, `duplicates DIR [DIR...]` compares data sets.
"""

import sys
from argparse import SUPPRESS, ArgumentParser, Namespace
from typing import NoReturn

from cxrjax.io import limits
from cxrjax.io.prepared import DatasetError
from cxrjax.runtime import signals
from data_prep.checks.cross_dataset import list_duplicates
from data_prep.dataset_card.describe import describe
from data_prep.prepare import prepare
from data_prep.record import PreparationError
from data_prep.source import Source, find_sources
from data_prep.text import printable

COMMANDS = {  # commands on prepared data sets
    "describe": ("write the data card of a prepared data set into its folder", describe),
    "duplicates": ("list near-duplicates within and across prepared data sets, as CSV", list_duplicates),
}

_LIMITS = "limits per input file, as max_pixels=2e8,max_seconds=120; also max_bytes and max_memory, both in bytes"


class _Parser(ArgumentParser):
    """An argument parser that reports an error in one line, without the usage."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}\n")


def parse(arguments: list[str] | None, sources: dict[str, Source]) -> Namespace:
    """Parse the options of one call; exit with status 2 and one sentence if they are not valid."""
    parser = _Parser(prog="data_prep", description="Prepare a data set of chest radiographs.")
    parser.add_argument("--list", action="store_true", help="list the sources and exit")
    commands = parser.add_subparsers(dest="source", metavar="SOURCE", parser_class=_Parser)
    for name, source in sources.items():
        command = commands.add_parser(name, help=source.description, description=source.description)
        _add_common(command)
        source.add_arguments(command)
    for name, (description, _) in COMMANDS.items():
        command = commands.add_parser(name, help=description, description=description)
        command.add_argument(
            "folders", nargs="+", metavar="DIR", help="a prepared data set: OUT/NAME or OUT/NAME/VERSION"
        )
    parser.add_argument("--limits", default="", metavar="KEY=VALUE,...", help=_LIMITS)
    for command in commands.choices.values():
        command.add_argument("--limits", default=SUPPRESS, metavar="KEY=VALUE,...", help=_LIMITS)
    options = parser.parse_args(arguments)
    try:
        limits.use(options.limits)
        limits.current()  # also checks the environment variable
    except ValueError as error:
        parser.error(str(error))
    if not options.list and not options.source:
        parser.error(f"name a source: {', '.join(sources)} (or --list)")
    return options


def _add_common(command: ArgumentParser) -> None:
    add = command.add_argument
    add("--from", dest="root", default="", metavar="DIR", help="folder of upstream's files, in upstream's own layout")
    add("--out", default="", metavar="DIR", help="folder to write to; the data set gets its own folder in it")
    add("--name", default="", help="name of the data set (default: name of the source)")
    add("--overwrite", action="store_true", help="replace a complete data set")
    add("--strict", action="store_true", help="exit with status 3 if a radiograph is skipped")
    add(
        "--split",
        default="",
        metavar="TRAIN,VAL,TEST",
        help="ratios of the splits, by patient, within each label of each source, where the split is not fixed",
    )
    add("--seed", type=int, default=0, help="seed of the assignment of patients to splits (default: %(default)s)")
    add("--splits", default="", metavar="FILE.csv", help="table of splits: columns split, and id or patient_id")
    add(
        "--salt",
        default="",
        metavar="FILE",
        help="secret for the pseudonyms of DICOM patients (default: created in your configuration folder)",
    )
    add("--folds", type=int, default=0, metavar="K", help="splits fold0, fold1, ... for cross-validation instead")
    add(
        "--duplicates",
        choices=("list", "drop", "off"),
        default="list",
        help="near-duplicates: list them, drop all but one, or do not search (default: %(default)s)",
    )
    add("--workers", type=int, default=1, metavar="N", help="number of processes; 2 or more need Apache Beam")
    add("--beam_pipeline_options", default="", metavar="KEY=VALUE,...", help="run on Beam, such as runner=FlinkRunner")


def main(arguments: list[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: of the command line; None for those of the process.

    Returns:
        The exit status: 0; 2 if the command failed; with --strict, 3 if a radiograph was skipped.
    """
    sources = find_sources()
    options = parse(arguments, sources)
    if options.list:
        print("\n".join(map(_describe, sources.values())))
        return 0
    try:
        if options.source in COMMANDS:
            _, run_command = COMMANDS[options.source]
            text = run_command(options.folders)
            is_complete = True
        else:
            text, is_complete = _run_source(sources[options.source], options)
    except (PreparationError, DatasetError) as error:
        print(printable(f"data_prep {options.source}: {error}"), file=sys.stderr)
        return 2
    except OSError as error:  # a folder without permission, a disk that is not available
        print(printable(f"data_prep {options.source}: {error.filename}: {error.strerror or error}"), file=sys.stderr)
        return 2
    print(printable(text))
    return 3 if not is_complete and options.strict else 0


def _run_source(source: Source, options: Namespace) -> tuple[str, bool]:
    """Return the text to print, and whether every radiograph was stored."""
    line = source.run_extra(options)
    if line is not None:
        return line, True
    if not options.out:
        raise PreparationError("name the output folder with --out=DIR")
    return prepare(source, options)


def _describe(source: Source) -> str:
    attributes = {
        "get it": source.homepage,
        "license": source.license,
        "size": source.size,
        "content": source.coverage,
    }
    lines = [f"    {key + ':':9}{text}" for key, text in attributes.items()]
    return "\n".join([f"{source.name}: {source.description}", *lines])


if __name__ == "__main__":
    with signals.handled(lambda: "no incomplete data set is left; run the same command again to prepare it"):
        sys.exit(main())

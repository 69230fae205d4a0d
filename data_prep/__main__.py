"""The command line: `python -m data_prep SOURCE --out=DIR` prepares a data set, `--list` names the sources.

`describe DIR` writes the data card of a prepared one, `duplicates DIR [DIR...]` compares some.
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

FINISHED = {  # what is done with data sets that are prepared
    "describe": ("write the data card of a prepared data set into its folder", describe),
    "duplicates": ("list near-duplicates within and across prepared data sets, as CSV", list_duplicates),
}

_LIMITS = "of a file that is read, as max_pixels=2e8,max_seconds=120; also max_bytes and max_memory, both in bytes"


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
        command = commands.add_parser(name, help=source.description, description=source.description)
        _add_common(command)
        source.add_arguments(command)
    for name, (about, _) in FINISHED.items():
        command = commands.add_parser(name, help=about, description=about)
        command.add_argument(
            "folders", nargs="+", metavar="DIR", help="a prepared data set: OUT/NAME or OUT/NAME/VERSION"
        )
    parser.add_argument("--limits", default="", metavar="KEY=VALUE,...", help=_LIMITS)
    for command in commands.choices.values():
        command.add_argument("--limits", default=SUPPRESS, metavar="KEY=VALUE,...", help=_LIMITS)
    options = parser.parse_args(arguments)
    try:
        limits.use(options.limits)
        limits.current()  # also what the environment says
    except ValueError as error:
        parser.error(str(error))
    if not options.list and not options.source:
        parser.error(f"name a source: {', '.join(sources)} (or --list)")
    return options


def _add_common(command: ArgumentParser) -> None:
    add = command.add_argument
    add("--from", dest="root", default="", metavar="DIR", help="upstream's files, in upstream's own layout")
    add("--out", default="", metavar="DIR", help="where to write; the data set gets its own folder")
    add("--name", default="", help="of the data set; the source's name if not given")
    add("--overwrite", action="store_true", help="replace a data set that is complete")
    add("--strict", action="store_true", help="end with status 3 if a radiograph was left out")
    add(
        "--split",
        default="",
        metavar="TRAIN,VAL,TEST",
        help="shares of each label of each source, by patient, where nothing fixes the split",
    )
    add("--seed", type=int, default=0, help="of the draw of patients into splits (default: %(default)s)")
    add("--splits", default="", metavar="FILE.csv", help="who is where: columns split, and id or patient_id")
    add(
        "--salt",
        default="",
        metavar="FILE",
        help="the secret that DICOM's patients are hidden by; made in your configuration folder if not given",
    )
    add("--folds", type=int, default=0, metavar="K", help="splits fold0, fold1, ... for cross-validation instead")
    add(
        "--duplicates",
        choices=("list", "drop", "off"),
        default="list",
        help="near-duplicates: list them, drop all but one, or do not look (default: %(default)s)",
    )
    add("--workers", type=int, default=1, metavar="N", help="processes that read and write, by Apache Beam from 2 on")
    add("--beam_pipeline_options", default="", metavar="KEY=VALUE,...", help="run by Beam, such as runner=FlinkRunner")


def main(arguments: list[str] | None = None) -> int:
    """Runs one command.

    Args:
        arguments: as on the command line; those of the process if None.

    Returns:
        The exit status: 0; 2 where the request cannot be met; with --strict, 3 where a radiograph was left out.
    """
    sources = find_sources()
    options = parse(arguments, sources)
    if options.list:
        print("\n".join(map(_describe, sources.values())))
        return 0
    try:
        if options.source in FINISHED:
            _, do = FINISHED[options.source]
            text, whole = do(options.folders), True
        else:
            text, whole = _run(sources[options.source], options)
    except (PreparationError, DatasetError) as error:
        print(printable(f"data_prep {options.source}: {error}"), file=sys.stderr)
        return 2
    except OSError as error:  # no right to look into a folder, a disk that is gone
        print(printable(f"data_prep {options.source}: {error.filename}: {error.strerror or error}"), file=sys.stderr)
        return 2
    print(printable(text))
    return 3 if not whole and options.strict else 0


def _run(source: Source, options: Namespace) -> tuple[str, bool]:
    """What to say, and whether every radiograph was taken."""
    said = source.run_extra(options)
    if said is not None:
        return said, True
    if not options.out:
        raise PreparationError("say where to write with --out=DIR")
    return prepare(source, options)


def _describe(source: Source) -> str:
    told = (("get it", source.homepage), ("terms", source.license), ("size", source.size), ("usable", source.coverage))
    return "\n".join([f"{source.name}: {source.description}", *(f"    {key + ':':8}{text}" for key, text in told)])


if __name__ == "__main__":
    with signals.handled(lambda: "nothing is left half-written; the same command prepares the data set"):
        sys.exit(main())

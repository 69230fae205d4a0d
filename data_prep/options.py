"""Options of a preparation as frozen dataclasses, which the command line is generated from."""

from argparse import SUPPRESS, ArgumentParser, ArgumentTypeError, Namespace
from dataclasses import Field, dataclass, field, fields
from typing import Any, TypeVar

OptionsT = TypeVar("OptionsT", bound="Options")
ValueT = TypeVar("ValueT")


def option(default: ValueT, help: str, **arguments: Any) -> ValueT:  # noqa: A002 (the name in argparse)
    """Define a field of an `Options` class.

    Args:
        default: value if the option is not given; its type decides how the command line parses the option: bool as a
            flag, int as a number, a tuple as an option that can be repeated, str as text.
        help: text for the command line.
        arguments: further arguments of `ArgumentParser.add_argument`.
    """
    return field(default=default, metadata={"help": help} | arguments)


def parse_labels(text: str) -> tuple[str, ...]:
    """Parse labels separated by commas."""
    return tuple(filter(None, map(str.strip, text.split(","))))


def parse_ratios(text: str) -> tuple[float, ...]:
    """Parse numbers separated by commas."""
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise ArgumentTypeError(f"{text!r} is not three ratios separated by commas, such as 0.7,0.1,0.2") from error


@dataclass(frozen=True)
class Options:
    """Options of all sources; a source with further options defines a subclass.

    Attributes:
        raw_dir: folder of upstream's files; "" to download them, or to use the source's default folder.
        out: folder to write to; the data set is OUT/NAME/VERSION.
        name: name of the data set; "" for that of the source.
        labels: labels whose radiographs are stored; () for all radiographs, with and without a label.
        overwrite: whether to replace a complete data set.
        split_ratios: ratios of train, val and test; () for those of the source.
        seed: seed of the assignment of patients to splits.
        split_csv: table of fixed splits, see `splits.read_table`; "" for none.
        salt: file of the secret for the pseudonyms of DICOM patients, see `patients.read_secret`; "" for the default.
        folds: number of splits fold0, fold1, ... instead of train, val and test; 0 for none.
        duplicates: what to do with near-duplicates: "list", "drop" or "off".
        workers: number of processes; 2 or more need Apache Beam.
        beam_pipeline_options: "KEY=VALUE,..." for Apache Beam.
    """

    raw_dir: str = option("", "folder of upstream's files, in upstream's own layout", metavar="DIR")
    out: str = option("", "folder to write to; the data set gets its own folder in it", metavar="DIR")
    name: str = option("", "name of the data set (default: name of the source)")
    labels: tuple[str, ...] = option(
        (),
        "store only the radiographs with one of these labels (default: all, also those without a label)",
        metavar="LABEL,...",
        type=parse_labels,
    )
    overwrite: bool = option(False, "replace a complete data set")
    split_ratios: tuple[float, ...] = option(
        (),
        "ratios of the splits, by patient, within each label of each source, where the split is not fixed",
        metavar="TRAIN,VAL,TEST",
        type=parse_ratios,
    )
    seed: int = option(0, "seed of the assignment of patients to splits (default: 0)")
    split_csv: str = option("", "table of fixed splits: columns split, and id or patient_id", metavar="FILE.csv")
    salt: str = option(
        "",
        "secret for the pseudonyms of DICOM patients (default: created in your configuration folder)",
        metavar="FILE",
    )
    folds: int = option(0, "splits fold0, fold1, ... for cross-validation instead", metavar="K")
    duplicates: str = option(
        "list",
        "near-duplicates: list them, drop all but one, or do not search (default: list)",
        choices=("list", "drop", "off"),
    )
    workers: int = option(1, "number of processes; 2 or more need Apache Beam (default: 1)", metavar="N")
    beam_pipeline_options: str = option("", "run on Beam, such as runner=FlinkRunner", metavar="KEY=VALUE,...")


def add_arguments(parser: ArgumentParser, options_type: type[Options]) -> None:
    """Add the options of a class to a parser; options that are not given are not in the parsed namespace."""
    for option_field in fields(options_type):
        parser.add_argument(f"--{option_field.name}", default=SUPPRESS, **_parser_arguments(option_field))


def from_namespace(options_type: type[OptionsT], namespace: Namespace) -> OptionsT:
    """Return the options of a parsed namespace."""
    values = {}
    for option_field in fields(options_type):
        if hasattr(namespace, option_field.name):
            value = getattr(namespace, option_field.name)
            values[option_field.name] = tuple(value) if isinstance(value, list) else value
    return options_type(**values)


def _parser_arguments(option_field: Field[Any]) -> dict[str, Any]:
    arguments = dict(option_field.metadata)
    if isinstance(option_field.default, bool):
        arguments["action"] = "store_true"
    elif isinstance(option_field.default, int):
        arguments["type"] = int
    elif isinstance(option_field.default, tuple) and "type" not in arguments:
        arguments["action"] = "append"
    return arguments

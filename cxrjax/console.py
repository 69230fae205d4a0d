"""The command `cxrjax`: subcommands over the modes of `cxrjax.main`, the data preparation, and a demonstration.

`cxrjax predict --input=FILE --output=DIR` is `python -m cxrjax.main --mode=predict --input=FILE --output=DIR`, and
`cxrjax prepare openist --out=DIR` is `python -m data_prep openist --out=DIR`. `cxrjax COMMAND --help` lists the flags
of one command. `cxrjax completion bash` prints a script for the shell: bash, zsh or tcsh. `python -m cxrjax COMMAND` is
the same as `cxrjax COMMAND`.
"""

import re
import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from typing import Any

from absl import flags

import cxrjax
from cxrjax import main as command_line
from cxrjax.main import MODES, Mode
from cxrjax.runtime import signals, terminal

_COMMON_FLAGS = ("workdir", "limits", "compilation_cache_dir")
_SHELLS = ("bash", "zsh", "tcsh")
_OTHERS = {
    "prepare": "Prepare a data set: cxrjax prepare --list, cxrjax prepare SOURCE --help.",
    "demo": "Find the lungs of three synthetic radiographs, and of files of yours, without data and training.",
    "completion": "Print a completion script for a shell: bash, zsh or tcsh.",
}
_EPILOG = """\
A setting of a training is changed by --config.KEY=VALUE. Exit status: 0 done; 1 failed, with the reason in one line;
2 invalid command line; 3 done, but some files were unreadable or could not be drawn. For research, not for diagnosis.
"""


def main() -> None:
    """Run the command line of the process, and exit with its status."""
    words = sys.argv[1:]
    command = words[0] if words else ""
    rest = words[1:]
    if command == "prepare":
        from data_prep import __main__ as data_prep

        data_prep.run(rest, "cxrjax prepare")
    if command not in MODES or {"-h", "--help"} & set(rest):
        terminal.guard_streams()
        sys.exit(_answer(words))
    command_line.run([sys.argv[0], f"--mode={command}", *rest])


def make_parser() -> ArgumentParser:
    """Return a parser of all commands, for their help and for the completion of a shell; it does not run them."""
    parser = ArgumentParser(
        prog="cxrjax", description=cxrjax.__doc__.splitlines()[0] if cxrjax.__doc__ else "", epilog=_EPILOG
    )
    parser.formatter_class = RawDescriptionHelpFormatter
    parser.add_argument("--version", action="version", version=f"cxrjax {cxrjax.__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    for name, mode in MODES.items():
        description = _describe(mode)
        command = commands.add_parser(name, help=description, description=description, epilog=_EPILOG)
        command.formatter_class = RawDescriptionHelpFormatter
        for flag in (*mode.required, *mode.optional, *_COMMON_FLAGS):
            command.add_argument(f"--{flag}", required=flag in mode.required, **_describe_flag(flag, name))
    for name, description in _OTHERS.items():
        command = commands.add_parser(name, help=description, description=description)
        if name == "completion":
            command.add_argument("shell", choices=_SHELLS)
        if name == "demo":
            command.add_argument("folder", nargs="?", default="demo", help="folder to write to [demo]")
            command.add_argument("files", nargs="*", help="radiographs of yours")
    return parser


def _describe(mode: Mode) -> str:
    return (mode.command.__doc__ or "").splitlines()[0]


def _describe_flag(name: str, mode: str) -> dict[str, Any]:
    """Return the arguments of `add_argument` for a flag of absl, as the help of a mode describes it."""
    flag = flags.FLAGS[name]
    choices = re.match(r"<([\w|]+)>: ", flag.help)
    text = select_clauses(flag.help[choices.end() :] if choices else flag.help, mode).replace("%", "%%")
    if flag.boolean:
        return {"help": text, "action": "store_true"}
    if flag.default not in (None, "", []):
        text += f" [{','.join(flag.default) if isinstance(flag.default, list) else flag.default}]"
    return {"help": text, "metavar": choices[1] if choices else name.upper()}


def select_clauses(text: str, mode: str) -> str:
    """Return the part of a flag's help that concerns a mode: "predict: a; import: b" is "b" for "import"."""
    clauses = []
    concerned = set(MODES)
    for clause in text.split("; "):
        named, _, content = clause.partition(": ")
        modes = set(named.split(", "))
        is_named = modes <= set(MODES)
        if is_named:
            concerned = modes
        if mode in concerned:
            clauses.append(content if is_named else clause)
    return "; ".join(clauses)


def _answer(words: list[str]) -> int:
    """Print help or a completion script, or run the demonstration; return the exit status."""
    parser = make_parser()
    request = parser.parse_args(words or ["--help"])
    if request.command == "completion":
        return _print_completion(parser, request.shell)
    from cxrjax import demo

    with signals.handled(lambda: "the files that were written are complete"):
        demo.main(request.folder, *request.files)
    return 0


def _print_completion(parser: ArgumentParser, shell: str) -> int:
    try:
        import shtab
    except ImportError:
        terminal.warn("cxrjax completion needs shtab: pip install shtab")
        return 1
    print(shtab.complete(parser, shell))
    return 0

"""Pages of the site that are generated from the code, so that they cannot differ from it; mkdocs.yml names this file.

Settings come from the dataclasses and comments of cxrjax/config/settings.py, commands from their parsers, and some
pages are files of the repository.
"""

import ast
import inspect
import io
import pkgutil
import re
import tokenize
from pathlib import Path
from typing import Any, NamedTuple

from mkdocs.structure.files import File, Files

from cxrjax import console
from cxrjax.config import default_config, schema, settings
from cxrjax.main import MODES
from data_prep import __main__ as data_prep
from data_prep.source import find_sources

ROOT = Path(__file__).resolve().parents[1]
COPIES = {
    "project/CHANGELOG.md": "CHANGELOG.md",
    "project/CONTRIBUTING.md": "CONTRIBUTING.md",
    "project/SECURITY.md": "SECURITY.md",
    "reference/findings-demo.md": "cxrjax/weights/findings-demo.md",
    "reference/lungs.md": "cxrjax/weights/lungs.md",
    "results/COVERAGE.md": "benchmarks/COVERAGE.md",
    "results/README.md": "benchmarks/README.md",
    "results/RECIPES.md": "benchmarks/RECIPES.md",
    "results/REMEDIES.md": "benchmarks/REMEDIES.md",
    "results/RESULTS.md": "benchmarks/RESULTS.md",
}
_PROJECTS = "no default|paper|original|ours|hieu2695|manastahir|singhaxn|fastai|Keras|PyTorch's"
_SOURCE = re.compile(rf"(?:.*; |^)((?:{_PROJECTS}|[^\W\d_]+ (?:et al\. )?(?:19|20)\d\d)\b)", re.DOTALL)
_SETTINGS_HEAD = """# Settings

Every setting of a run, generated from `cxrjax/config/settings.py`. A recipe (`--config=RECIPE:VARIANT`) starts from
these defaults; `--config.KEY=VALUE` changes one on the command line, and a list may be written with commas. Settings
are checked when a config is read: an unknown key, a wrong type and a value out of range are refused by one sentence
that names the key.

The last column is where the default comes from: "paper" is Oh, Park & Ye, IEEE TMI 39(8), 2020; "original" is the
code of its authors; the other names are the projects of the [recipes](../how_to/recipes.md) or a published method;
"ours" is a measurement or a choice of this project.

"""


class Entry(NamedTuple):
    """A setting as the page shows it: `text` has its unit and meaning, `source` where the default comes from."""

    key: str
    default: Any
    text: str
    source: str


def on_config(config: Any) -> Any:
    """Add the pages of docs/ that the navigation does not name to its how-to guides; called by MkDocs."""
    sections = {title: pages for entry in config.nav for title, pages in entry.items()}
    named = str(sections)
    for path in sorted([*(ROOT / "docs").glob("*.md"), *(ROOT / "docs" / "how_to").glob("*.md")]):
        address = path.relative_to(ROOT / "docs").as_posix()
        if f"'{address}'" not in named:
            title = path.read_text(encoding="utf-8").partition("\n")[0].lstrip("# ")
            sections["How-to"].append({title: address})
    return config


def on_files(files: Files, config: Any) -> Files:
    """Add the generated pages to the files of the site; called by MkDocs."""
    pages = {path: (ROOT / name).read_text(encoding="utf-8") for path, name in COPIES.items()}
    pages["reference/settings.md"] = render_settings()
    pages["reference/command_line.md"] = render_command_line()
    pages["reference/data_prep.md"] = render_data_prep()
    for path, text in pages.items():
        files.append(File.generated(config, path, content=text))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Put the documentation of a module or function in place of a comment with its name; called by MkDocs."""
    return re.sub(r"<!-- (cxrjax[\w.]*) -->", lambda match: _quote(match[1]), markdown)


def list_settings() -> list[Entry]:
    """Return every setting with what its comments say, in the order of the file."""
    source = Path(settings.__file__).read_text(encoding="utf-8")
    comments = _read_comments(source)
    classes = {node.name: node for node in ast.parse(source).body if isinstance(node, ast.ClassDef)}
    defaults = schema.flatten(default_config().to_dict())
    return [
        _read_entry(f"{prefix}{field.target.id}", field, comments, defaults)
        for prefix, name in _list_sections(classes["Config"])
        for field in _list_fields(classes[name])
        if f"{prefix}{field.target.id}" in schema.SETTINGS
    ]


def render_settings() -> str:
    """Return the page of the settings."""
    lines = [_SETTINGS_HEAD]
    section = None
    for entry in list_settings():
        name = entry.key.rpartition(".")[0]
        if name != section:
            section = name
            lines.append(f"\n## {name or 'General'}\n\n| setting | default | values | meaning and unit | source |")
            lines.append("|---|---|---|---|---|")
        values = _describe_values(schema.SETTINGS[entry.key])
        cells = [f"`{entry.key}`", f"`{_show(entry.default)}`", values, entry.text, entry.source]
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def render_command_line() -> str:
    """Return the page of the commands and their flags."""
    parser = console.make_parser()
    commands = _find_commands(parser)
    lines = [
        "# Command line\n",
        "`cxrjax COMMAND` runs the code of `python -m cxrjax.main --mode=COMMAND`; both take the same flags.",
        "`cxrjax completion bash` (zsh, tcsh) prints a script that completes commands and flags:",
        "`source <(cxrjax completion bash)`.\n",
    ]
    for name in (*MODES, "demo", "completion"):
        lines.append(
            f"## {name}\n\n```text\n{commands[name].format_help().partition('A setting of')[0].strip()}\n```\n"
        )
    return "\n".join(lines)


def render_data_prep() -> str:
    """Return the page of the sources of data and their options."""
    sources = find_sources()
    commands = _find_commands(data_prep.make_parser(sources, "cxrjax prepare"))
    lines = [
        "# Data preparation\n",
        "`cxrjax prepare SOURCE --out=DIR` is `python -m data_prep SOURCE --out=DIR`.",
        "[Prepare a data set](../how_to/prepare.md) explains the steps.\n",
    ]
    for name, command in commands.items():
        lines.append(f"## {name}\n")
        if name in sources:
            source = sources[name]
            lines.append(f"{source.description}. Homepage: {source.homepage}. License: {source.license}.\n")
        lines.append(f"```text\n{command.format_help().strip()}\n```\n")
    return "\n".join(lines)


def _quote(name: str) -> str:
    """Return the description of a docstring without its first line; lines of a name and a text become a table."""
    text = inspect.cleandoc(pkgutil.resolve_name(name).__doc__).partition("\n\n")[2].partition("\n\nArgs:")[0]
    rows = re.findall(r"^(\S+) {2,}(\S.*)$", text, re.MULTILINE)
    if not rows:
        return text
    return "\n".join(["| name | content |", "|---|---|", *(f"| `{file}` | {content} |" for file, content in rows)])


def _find_commands(parser: Any) -> dict[str, Any]:
    """Return the parsers of the commands of a parser, by name."""
    return next(action.choices for action in parser._actions if action.dest == "command")


def _read_comments(source: str) -> dict[int, tuple[str, bool]]:
    """Return the text of each comment by its line, and whether the line has nothing else."""
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return {
        token.start[0]: (token.string.lstrip("# "), not token.line[: token.start[1]].strip())
        for token in tokens
        if token.type == tokenize.COMMENT
    }


def _list_sections(config: ast.ClassDef) -> list[tuple[str, str]]:
    """Return the prefix of the keys and the name of the dataclass of each section of `Config`, itself first."""
    names = [(field.target.id, field.annotation) for field in _list_fields(config)]
    sections = [(name, node.id) for name, node in names if isinstance(node, ast.Name) and node.id.endswith("Config")]
    return [("", "Config"), *((f"{name}.", section) for name, section in sections)]


def _list_fields(section: ast.ClassDef) -> list[Any]:
    return [node for node in section.body if isinstance(node, ast.AnnAssign)]


def _read_entry(key: str, field: Any, comments: dict[int, tuple[str, bool]], defaults: dict[str, Any]) -> Entry:
    before = []
    line = field.lineno - 1
    while line in comments and comments[line][1]:
        before.insert(0, comments[line][0])
        line -= 1
    within = [comments[line][0] for line in range(field.lineno, field.end_lineno + 1) if line in comments]
    text = " ".join(before + within)
    match = _SOURCE.match(text)
    start = match.start(1) if match else len(text)
    return Entry(key, defaults.get(key), text[:start].rstrip("; "), text[start:])


def _describe_values(setting: schema.SettingType) -> str:
    if setting.choices:
        return ", ".join(f"`{choice}`" for choice in setting.choices)
    if setting.types in ("flag", "text", "texts"):
        return {"flag": "true or false"}.get(setting.types, setting.types)
    return f"{setting.types}, {_show_number(setting.low)} to {_show_number(setting.high)}"


def _show_number(value: float) -> str:
    """Return a bound in full digits up to a million, in powers of ten above."""
    return f"{value:g}" if value < 1 or value > 1_000_000 else f"{value:,.10g}"


def _show(value: Any) -> str:
    if isinstance(value, tuple | list):
        return ",".join(map(str, value)) or "()"
    return str(value) if value != "" else '""'

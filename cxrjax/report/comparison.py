"""Page that shows two runs side by side on the same radiographs: scores, shortcuts, other hospitals, and settings.

Writes RUN/report/comparison_BASELINE_HASH.html from the files that evaluation, audit and comparison wrote.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from cxrjax.audit import criteria, finding
from cxrjax.audit.formatting import format_share
from cxrjax.audit.metrics import HEADLINE
from cxrjax.evaluation import compare_runs, external, tables
from cxrjax.io import json_file
from cxrjax.report import missing, render
from cxrjax.report.first_screen import AUROC_NOTE, FINDING_NOTE, Bar
from cxrjax.runs import run_dir
from cxrjax.runtime import atomic_files, software
from cxrjax.runtime.formatting import format_ci

_MAIN_SCORES = ("macro auroc", "macro AUROC", "dice lungs")  # the one that decides, in order of preference
_AUDIT_REMEDY = "remove it, and --mode=audit makes it again"


class ComparedRun(NamedTuple):
    """One of two runs: what the page says of it beside its scores on the split."""

    name: str
    workdir: Path
    audit: finding.Finding | None  # of the split; None if it was not audited
    against_source: dict[str, Any] | None  # entry of the audit of the pairs in which the source misleads; None without
    audit_command: str
    external: dict[str, dict[str, Any]]  # folder of an external evaluation -> result of `external.read`
    settings: dict[str, Any]


class SettingChange(NamedTuple):
    """Setting of different values in two runs; None where a run has no such setting."""

    name: str
    values: tuple[Any, Any]


def write(workdir: Path, baseline: Path, split: str) -> Path:
    """Write the page of a comparison.

    Args:
        workdir: run directory.
        baseline: run directory of the run that it was compared with, by `compare_runs.compare_runs`.
        split: name of the folder of the evaluation.

    Returns:
        The path of the page.

    Raises:
        RunError: there is no run in a folder.
        DamagedFileError: a file of a run is damaged.
    """
    source = compare_runs.comparison_path(workdir, baseline, split)
    result = json_file.read(source, "--mode=compare_runs makes it again")
    names = _name_runs(workdir, baseline)
    runs = [_gather(folder, name, split) for folder, name in zip((workdir, baseline), names, strict=True)]
    text = (
        render.make_environment()
        .get_template("comparison.html")
        .render(
            result=result,
            runs=runs,
            split=split,
            sentence=describe(result, names),
            is_classifier=_main_score(result) != "dice lungs",
            caveat=describe_shortcuts(runs),
            bars=_list_bars(result, runs),
            unit=_describe_unit(result, runs[0]),
            external_names=sorted(set(runs[0].external) & set(runs[1].external)),
            changes=_list_changes(*runs),
            versions=software.versions(),
        )
    )
    folder = workdir / "report"
    folder.mkdir(exist_ok=True)
    page = folder / source.with_suffix(".html").name
    atomic_files.atomic_write(page, text.encode("utf-8", "backslashreplace"))
    return page


def describe(result: Mapping[str, Any], names: tuple[str, str]) -> str:
    """Return in one sentence which run is better, by how much, and how sure that is.

    Args:
        result: content of the JSON of `compare_runs.compare_runs`.
        names: of the run and its baseline.
    """
    score = _main_score(result)
    title = score.replace("auroc", "AUROC").replace("dice lungs", "Dice of the lungs")
    run = result["run"][score]
    baseline = result["baseline"][score]
    difference = result["difference"][score]
    if difference["value"] is None:
        return f"The {title} of {names[0]} and {names[1]} cannot be compared on these radiographs."
    if not difference["interval"]:
        values = f"{run['value']:.2f} and {baseline['value']:.2f}"
        return f"The {title} of {names[0]} and {names[1]} is {values}; the difference has no interval."
    low, high = difference["interval"]
    if low <= 0 <= high:
        values = f"{run['value']:.2f} and {baseline['value']:.2f}"
        return (
            f"Neither run is shown to be better: the {title} of {names[0]} and {names[1]} is {values}, a difference of "
            f"{difference['value']:+.2f} that lies between {low:+.2f} and {high:+.2f}."
        )
    is_better = difference["value"] > 0
    name = names[0] if is_better else names[1]
    other_name = names[1] if is_better else names[0]
    better = max(run["value"], baseline["value"])
    worse = min(run["value"], baseline["value"])
    least = min(abs(low), abs(high))
    most = max(abs(low), abs(high))
    return (
        f"{name} is better than {other_name}: its {title} is {better:.2f} against {worse:.2f}, "
        f"{abs(difference['value']):.2f} more ({least:.2f} to {most:.2f})."
    )


def describe_shortcuts(runs: list[ComparedRun]) -> str:
    """Return a sentence on what a shortcut reaches, and how each run ranks against it; "" for runs without audits."""
    shares = []
    for run in runs:
        if run.audit is None:
            shares.append(f"{run.name} was not audited")
        elif run.audit.shortcut is None or run.audit.shortcut["share"] is None:
            shares.append(f"no shortcut of {run.name} could be compared with its score")
        else:
            share = run.audit.shortcut["share"]
            title = run.audit.shortcut["title"]
            if criteria.is_inconclusive(share):
                text = f"the test split is too small (n = {share['n']}) to say what share of the score of {run.name} "
                text += f"above chance the {title} reaches"
            else:
                text = f"the {title} reaches {format_share(share)} of the score of {run.name} above chance"
            if run.against_source:
                right = format_ci(run.against_source["scores"][HEADLINE], ".0%")
                text += f", and where the source misleads, {right} of pairs are ranked rightly"
            shares.append(text)
    if all(run.audit is None for run in runs):
        return ""
    return f"Shortcuts: {shares[0]}; {shares[1]}."


def _describe_unit(result: Mapping[str, Any], run: ComparedRun) -> str:
    """Return what the numbers of the bars mean."""
    if _main_score(result) == "dice lungs":
        return "1 is perfect: the Dice of the lungs"
    return FINDING_NOTE if run.settings["classifier.targets"] == "multi" else AUROC_NOTE


def _main_score(result: Mapping[str, Any]) -> str:
    return next((name for name in _MAIN_SCORES if name in result["difference"]), next(iter(result["difference"])))


def _name_runs(workdir: Path, baseline: Path) -> tuple[str, str]:
    """Return a name of each run: that of its folder, with the folder above it where both are equal."""
    folders = (workdir.resolve(), baseline.resolve())
    if folders[0].name != folders[1].name:
        return folders[0].name, folders[1].name
    first = f"{folders[0].parent.name}/{folders[0].name}"
    second = f"{folders[1].parent.name}/{folders[1].name}"
    return (first, second) if first != second else (str(folders[0]), str(folders[1]))


def _gather(workdir: Path, name: str, split: str) -> ComparedRun:
    config = run_dir.load_config(workdir)
    path = workdir / "audit" / split / "audit.json"
    audit = json_file.read(path, _AUDIT_REMEDY) if path.exists() else None
    folders = sorted((workdir / "evaluation").iterdir())
    assessed = {folder.name: external.read(workdir, folder.name) for folder in folders}
    return ComparedRun(
        name=name,
        workdir=workdir,
        audit=finding.find(audit) if audit else None,
        against_source=_find_against_source(audit) if audit else None,
        audit_command=missing.format_command("audit", workdir, split=split),
        external={folder: result for folder, result in assessed.items() if result},
        settings=dict(render.leaves(json.loads(config.to_json()))),
    )


def _find_against_source(audit: Mapping[str, Any]) -> dict[str, Any] | None:
    entries = [entry for entry in audit["experiments"] if entry["name"] == "against_source" and entry["scores"]]
    return entries[0] if entries else None


def format_shortcuts(workdir: Path, baseline: Path, split: str) -> str:
    """Return a table of both runs as Markdown: shortcuts, reliance on the source, and scores on other data.

    Args:
        workdir: run directory.
        baseline: run directory of the other run.
        split: name of the folder of the evaluation.

    Returns:
        The table; "" where neither run was audited or evaluated on other data.

    Raises:
        RunError: there is no run in a folder.
        DamagedFileError: a file of a run is damaged.
    """
    names = _name_runs(workdir, baseline)
    runs = [_gather(folder, name, split) for folder, name in zip((workdir, baseline), names, strict=True)]
    lines = []
    if any(run.audit for run in runs):
        lines.append(["best shortcut", *(_describe_shortcut(run) for run in runs)])
        for title, part in (("pairs ranked rightly against the source", "scores"), ("and with it", "reference")):
            entries = [run.against_source for run in runs]
            lines.append([title, *(format_ci(entry[part][HEADLINE], ".2f") if entry else "–" for entry in entries)])
    for folder in sorted({folder for run in runs for folder in run.external}):
        lines.append([f"{folder}, AUROC pooled", *(_describe_external(run, folder, "pooled") for run in runs)])
        lines.append([f"{folder}, AUROC within", *(_describe_external(run, folder, "within") for run in runs)])
    return tables.markdown_table(["shortcuts and other data", *names], lines) if lines else ""


def _describe_shortcut(run: ComparedRun) -> str:
    if run.audit is None:
        return "not audited"
    shortcut = run.audit.shortcut
    return f"{shortcut['title']} {format_ci(shortcut['scores'][HEADLINE], '.2f')}" if shortcut else "none scored"


def _describe_external(run: ComparedRun, folder: str, part: str) -> str:
    """Return the AUROC on other data, over all radiographs ("pooled") or within its collections ("within")."""
    result = run.external.get(folder)
    if result is None:
        return "not evaluated"
    if part == "pooled":
        return format_ci(result["pooled"]["auroc"], ".2f")
    return format_ci(result["within"]["within"], ".2f") if result["within"] else "–"


def _list_bars(result: Mapping[str, Any], runs: list[ComparedRun]) -> list[Bar]:
    """Return the bars of the first screen: each run, and the best shortcut of each that was audited."""
    score = _main_score(result)
    bars = [
        Bar(f"network of {run.name}", "network", result[part][score])
        for run, part in zip(runs, ("run", "baseline"), strict=True)
    ]
    for run in runs:
        if run.audit is not None and run.audit.shortcut is not None:
            shortcut = run.audit.shortcut
            bars.append(
                Bar(f"best shortcut of {run.name}: {shortcut['title']}", "shortcut", shortcut["scores"][HEADLINE])
            )
    return bars if score == "dice lungs" else [*bars, Bar("chance", "chance", 0.5)]


def _list_changes(first: ComparedRun, second: ComparedRun) -> list[SettingChange]:
    """Return the settings that differ, those of the first run's order first."""
    names = dict.fromkeys([*first.settings, *second.settings])
    pairs = [SettingChange(name, (first.settings.get(name), second.settings.get(name))) for name in names]
    return [change for change in pairs if change.values[0] != change.values[1]]

"""Names that earlier versions used, each with the name that replaced it.

A former flag or mode of the command line is refused by name. Files that an earlier version wrote are read under the
names of today.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

MODES = {
    "score": "rescore",
    "compare": "compare_runs",
    "check_maps": "evaluate_saliency",
    "morphology": "morphometry",
    "fit_gate": "fit_ood",
    "find_rate": "lr_find",
}
FLAGS = {
    "data": "dataset",
    "other": "baseline",
    "refuse": "reject_ood",
    "norefuse": "noreject_ood",
    "lesions": "lesion_csv",
    "cache": "compilation_cache_dir",
    "coordinator": "coordinator_address",
    "processes": "num_processes",
    "process": "process_id",
}
# Columns of predictions.csv, and of the tables of the saliency maps and of hearts and lungs.
COLUMNS = {
    "finding": "prediction",
    "agreement": "vote_fraction",
    "entropy_within": "expected_entropy",
    "entropy_between": "mutual_information",
    "source_guess": "source_baseline",
    "gate": "ood_reason",
    "picture": "figure",
    "left_lung_share": "left_lung_area_fraction",
    "right_lung_share": "right_lung_area_fraction",
    "lungs_share": "lung_area_fraction",
    "left_lung_mm2": "left_lung_area_mm2",
    "right_lung_mm2": "right_lung_area_mm2",
    "lungs_mm2": "lung_area_mm2",
    "lung_mean": "lung_intensity_mean",
    "lung_variance": "lung_intensity_variance",
    "between_patch_variance": "intensity_variance_between_patches",
    "within_patch_variance": "intensity_variance_within_patches",
    **{
        f"redrawn_{percentage}_{metric}": f"randomized_{percentage}_{metric}"
        for percentage in range(1, 101)
        for metric in ("correlation", "similarity", "overlap")
    },
    "misplaced_correlation": "phase_randomized_correlation",
    "misplaced_similarity": "phase_randomized_similarity",
    "misplaced_overlap": "phase_randomized_overlap",
    "seeds_correlation": "resampled_correlation",
    "seeds_similarity": "resampled_similarity",
    "seeds_overlap": "resampled_overlap",
}

# Keys of JSON files, by file: the path of the key -> its name of today. Names of parents in a path are those of today;
# "*" is any key of an object, or any item of a list.
KEYS = {
    "metrics.json": {
        "data": "dataset",
        "resamples": "num_resamples",
        "source_alone": "source_baseline",
        "over_source": "gain_over_source",
        "referral": "selective_prediction",
        "settling": "vote_convergence",
        "all/no_finding": "no_prediction",
        "all/flagged": "out_of_distribution",
        "source_baseline/no_finding": "no_prediction",
        "subgroups/*/*/no_finding": "no_prediction",
        "calibration/*/within": "within_bins",
        "selective_prediction/agreement": "vote_fraction",
        "vote_convergence/*/agreement": "vote_fraction",
    },
    "audit.json": {
        "score": "scores",
        "validation": "selected_on_split",
        "controls": "experiments",
        "experiments/*/kind": "category",
        "experiments/*/by": "model",
        "experiments/*/against": "reference",
        "experiments/*/change": "difference",
        "experiments/*/flips": "flip_rate",
        "experiments/*/place/hits": "hit_rate",
        "experiments/*/place/inside": "inside_lungs",
        "settings/small_network": "probe_network",
    },
    "result.json": {"facts": "details", "details/place/hits": "hit_rate", "details/place/inside": "inside_lungs"},
    "provenance.json": {"data": "dataset"},
    "request.json": {"gated": "has_ood_detector", "refuse": "reject_ood"},
    "ood_detector.npz": {"middle": "median", "below": "lower_range", "above": "upper_range"},
    "ood_detector.json": {"flagged_in_error": "expected_false_alarm_rate"},
    "checks.json": {
        "no_map": "without_map",
        "figures": "metrics",
        "curves/shares": "fractions",
        "checks/seeds": "resampling",
        **{f"metrics/{former}": name for former, name in COLUMNS.items()},
    },
}
# Files and folders of a run directory, of an audit and of a prediction.
FILES = {
    "gate.npz": "ood_detector.npz",
    "gate.json": "ood_detector.json",
    "origin.json": "provenance.json",
    "made_of.json": "fingerprint.json",
    "asked.json": "request.json",
    "passed_over.csv": "skipped_files.csv",
    "maps": "saliency",
    "morphology": "morphometry",
    "morphology.csv": "morphometry.csv",
    "controls": "experiments",
    "whole": "full_image",
    "network": "unaltered",
    "facts": "metadata",
    "box": "lung_box",
    "facts.json": "result.json",
    "unmarked.csv": "without_marker.csv",
    "ranking.svg": "roc.svg",
    "referral.svg": "selective_prediction.svg",
    "settling.svg": "vote_convergence.svg",
}


def find(folder: Path, *names: str) -> Path:
    """Return the path of a file or folder below a folder, by the former name of each part that only that exists of.

    Args:
        folder: an existing folder.
        names: the parts of the path, by their names of today.
    """
    path = folder
    for name in names:
        former_paths = [path / former for former in formerly(name)]
        path = path / name
        if not path.exists():
            path = next((former for former in former_paths if former.exists()), path)
    return path


def formerly(name: str) -> list[str]:
    """Return the former names of a file or folder."""
    return [former for former, current in FILES.items() if current == name]


def upgrade(content: Any, file_name: str) -> Any:
    """Return the content of a JSON file with the keys of today.

    Args:
        content: dicts, lists and values, as JSON has them.
        file_name: name of the file, of today or of an earlier version.
    """
    for path, name in KEYS.get(FILES.get(file_name, file_name), {}).items():
        content = _rename(content, path.split("/"), name)
    return content


def _rename(node: Any, path: Sequence[str], name: str) -> Any:
    key, *rest = path
    if isinstance(node, list):
        return [_rename(item, rest, name) for item in node] if key == "*" else node
    if not isinstance(node, dict):
        return node
    if rest:
        return {child: _rename(value, rest, name) if key in ("*", child) else value for child, value in node.items()}
    return {name if child == key and name not in node else child: value for child, value in node.items()}


def current_columns(columns: Sequence[str]) -> list[str]:
    """Return the columns of a table by their names of today."""
    return [COLUMNS.get(column, column) for column in columns]


def explain_former_flag(argv: Sequence[str]) -> str:
    """Return a sentence on the first former flag or mode of a command line, with its new name; "" without any.

    Args:
        argv: the words of the command line, the program first.
    """
    for position, word in enumerate(argv[1:], 1):
        if word == "--":
            break
        if not word.startswith("-"):
            continue
        name, separator, value = word.lstrip("-").partition("=")
        if name in FLAGS:
            return f"--{name} is now --{FLAGS[name]}"
        if name == "mode" and not separator:
            value = "".join(argv[position + 1 : position + 2])
        if name == "mode" and value in MODES:
            return f"--mode={value} is now --mode={MODES[value]}"
    return ""

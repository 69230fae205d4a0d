"""Names that earlier versions used, each with the name that replaced it.

A former flag or mode of the command line is refused by name. Files that an earlier version wrote are read under the
names of today.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
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
        f"redrawn_{percentage}_{former}": f"randomized_{percentage}_{metric}"
        for percentage in range(1, 101)
        for former, metric in (("correlation", "correlation"), ("similarity", "ssim"), ("overlap", "overlap"))
    },
    **{f"randomized_{percentage}_similarity": f"randomized_{percentage}_ssim" for percentage in range(1, 101)},
    "misplaced_correlation": "phase_randomized_correlation",
    "misplaced_similarity": "phase_randomized_ssim",
    "misplaced_overlap": "phase_randomized_overlap",
    "phase_randomized_similarity": "phase_randomized_ssim",
    "seeds_correlation": "resampled_correlation",
    "seeds_similarity": "resampled_ssim",
    "seeds_overlap": "resampled_overlap",
    "resampled_similarity": "resampled_ssim",
}
# Former key of a setting -> its key.
SETTINGS = {
    "init": "pretrained",
    "init_head": "pretrained_head",
    "data.directory": "data.dir",
    "data.held": "data.cache_limit_mb",
    "data.readers": "data.num_threads",
    "image.equalise": "image.equalize",
    "segmenter.normalise": "segmenter.normalization",
    "segmenter.smallest_part": "segmenter.min_component_area",
    "segmenter.smallest_lungs": "segmenter.min_lung_area",
    "classifier.normalise": "classifier.normalization",
    "patches.masked": "patches.mask_lungs",
    "patches.margin": "patches.bbox_margin",
    "patches.confidence": "patches.min_lung_confidence",
    "patches.context": "patches.context_pixels",
    "patches.validation_count": "patches.count_validation",
    "patches.chunk": "patches.batch_size",
    "voting.rule": "voting.aggregation",
    "training.sampling": "training.sampler",
    "training.oversample": "training.oversample_factor",
    "training.minority": "training.minority_classes",
    "training.augmented": "training.augment_probability",
    "training.optimiser": "optimizer.name",
    "training.momentum": "optimizer.b1",
    "training.square_momentum": "optimizer.b2",
    "training.epsilon": "optimizer.eps",
    "training.decay": "optimizer.weight_decay",
    "training.decay_vectors": "optimizer.decay_bias_and_norm",
    "training.clip": "optimizer.clip_param_norm",
    "training.average": "training.ema_decay",
    "training.groups": "training.param_groups",
    "training.warmup": "training.warmup_fraction",
    "training.factor": "training.lr_factor",
    "training.momentum_at_peak": "training.b1_at_peak",
    "training.plateau_delta": "training.plateau_min_delta",
    "training.lowest_rate": "training.min_lr",
    "training.unfreeze_factor": "training.unfreeze_lr_scale",
    "training.unfreeze_augmented": "training.unfreeze_augment_scale",
    "training.l2_vectors": "training.l2_bias_and_norm",
    "training.checkpoint_minutes": "training.checkpoint_every_minutes",
    "augmentation.zoom": "augmentation.scale",
    "augmentation.crop": "augmentation.random_crop",
    "augmentation.upend": "augmentation.flip_vertical",
    "augmentation.flip": "augmentation.flip_horizontal",
    "augmentation.each": "augmentation.probability",
    "evaluation.sheet": "evaluation.num_preview_images",
    "evaluation.members": "evaluation.ensemble_size",
    "maps.fill": "saliency_eval.baseline",
    "maps.blur": "saliency_eval.blur_sigma",
    "maps.steps": "saliency_eval.num_steps",
    "maps.patches": "saliency_eval.num_patches",
    "maps.draws": "saliency_eval.num_randomizations",
    "maps.levels": "saliency_eval.num_depths",
    "maps.survives": "saliency_eval.max_random_correlation",
    "maps.seeds": "saliency_eval.num_resamples",
    "maps.stable": "saliency_eval.min_stability",
    "maps.hottest": "saliency_eval.top_fraction",
    "report.cases": "report.max_cases",
    "report.side": "report.image_size",
    "report.megabytes": "report.max_megabytes",
    "gate.quantile": "ood.keep_quantile",
    "gate.radiographs": "ood.num_images",
    "rate_finder.lowest": "lr_finder.min_lr",
    "rate_finder.highest": "lr_finder.max_lr",
    "rate_finder.steps": "lr_finder.num_steps",
}
# Former key of a setting -> former value -> value, both texts.
SETTING_VALUES = {
    "patches.mode": {"crop": "lung_bbox"},
    "patches.channels": {"grey": "gray", "contrast": "enhanced"},
    "training.sampling": {"shuffled": "shuffle", "oversampled": "oversample"},
}

# Fields of the records of a prepared data set.
RECORD_FIELDS = {"licence": "license"}
# Keys of a pair of near-duplicates.
_PAIR_KEYS = {
    "one": "first",
    "other": "second",
    "one_label": "first_label",
    "other_label": "second_label",
    "one_split": "first_split",
    "other_split": "second_split",
    "likeness": "similarity",
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
    "features.json": {"featuresDict/features/licence": "license"},
    "report.json": {f"duplicates/*/{former}": name for former, name in _PAIR_KEYS.items()},
    "card.json": {
        "guesses": "baselines",
        "counts/licence": "license",
        **{f"duplicates/pairs/*/{former}": name for former, name in _PAIR_KEYS.items()},
    },
    "ood_detector.npz": {"middle": "median", "below": "lower_range", "above": "upper_range"},
    "ood_detector.json": {"flagged_in_error": "expected_false_alarm_rate"},
    "saliency_metrics.json": {
        "no_map": "without_map",
        "figures": "metrics",
        "curves/shares": "fractions",
        "checks/seeds": "resampling",
        **{f"metrics/{former}": name for former, name in COLUMNS.items()},
    },
}
# Values of JSON files, by file: the path of the values -> former value -> value, both texts.
VALUES = {
    "saliency_metrics.json": {"checks/*": {"open": "inconclusive"}},
    "audit.json": {
        "experiments/*/name": {
            "facts": "metadata",
            "whole": "full_image",
            "box": "lung_box",
            "network": "unaltered",
            "file_form": "file_format",
        },
        "experiments/*/model": {"table": "metadata"},
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
    "checks.csv": "saliency_metrics.csv",
    "checks.json": "saliency_metrics.json",
    "morphology": "morphometry",
    "morphology.csv": "morphometry.csv",
    "controls": "experiments",
    "whole": "full_image",
    "network": "unaltered",
    "facts": "metadata",
    "box": "lung_box",
    "file_form": "file_format",
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
    """Return the content of a JSON file with the keys of today; of config.json, with the settings of today.

    Args:
        content: dicts, lists and values, as JSON has them.
        file_name: name of the file, of today or of an earlier version.
    """
    if file_name == "config.json":
        return _upgrade_settings(content)
    current_name = FILES.get(file_name, file_name)
    for path, name in KEYS.get(current_name, {}).items():
        parent, _, key = path.rpartition("/")
        content = _map_nodes(content, parent.split("/") if parent else [], partial(_rename_key, key=key, name=name))
    for path, values in VALUES.get(current_name, {}).items():
        content = _map_nodes(content, path.split("/"), partial(_replace_value, values=values))
    return content


def _map_nodes(node: Any, path: Sequence[str], function: Callable[[Any], Any]) -> Any:
    """Return a tree with a function applied to the nodes at a path; "*" is any key, or any item of a list."""
    if not path:
        return function(node)
    key, *rest = path
    if isinstance(node, list):
        return [_map_nodes(item, rest, function) for item in node] if key == "*" else node
    if not isinstance(node, dict):
        return node
    return {child: _map_nodes(value, rest, function) if key in ("*", child) else value for child, value in node.items()}


def _rename_key(node: Any, key: str, name: str) -> Any:
    if not isinstance(node, dict):
        return node
    return {name if child == key and name not in node else child: value for child, value in node.items()}


def _replace_value(node: Any, values: Mapping[str, str]) -> Any:
    return values.get(node, node) if isinstance(node, str) else node


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


def _upgrade_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a config.json under today's keys; unknown keys are not changed.

    Args:
        settings: content of config.json: settings, and sections of settings.
    """
    upgraded: dict[str, Any] = {}
    for section, content in settings.items():
        if not isinstance(content, dict):
            upgraded[SETTINGS.get(section, section)] = content
            continue
        for name, value in content.items():
            former_key = f"{section}.{name}"
            new_section, _, new_name = SETTINGS.get(former_key, former_key).partition(".")
            values = SETTING_VALUES.get(former_key, {})
            upgraded.setdefault(new_section, {})[new_name] = (
                values.get(value, value) if isinstance(value, str) else value
            )
    return upgraded


def explain_setting(key: str) -> str:
    """Return a phrase on a setting that has another key now.

    Args:
        key: former key, as "data.directory".
    """
    return f"{key} is now {SETTINGS[key]}"

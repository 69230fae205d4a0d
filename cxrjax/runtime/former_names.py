"""Names that earlier versions used, each with the name that replaced it.

A former flag or mode of the command line is refused by name.
"""

from collections.abc import Sequence

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

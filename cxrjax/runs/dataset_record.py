"""Record of the data set that a run was trained on, dataset.json, by which it is recognized where it has moved."""

import json
from pathlib import Path
from typing import Any

from cxrjax.config import Config
from cxrjax.data import tfds_store
from cxrjax.io import json_file
from cxrjax.io.prepared import DatasetError
from cxrjax.runs import run_dir
from cxrjax.runtime import atomic_files

_REMEDY = "remove it, and it is made again from the data set that data.dir of config.json names"


def save(workdir: Path, config: Config) -> None:
    """Write the identity of the config's data set (`tfds_store.read_identity`) to dataset.json.

    Raises:
        DatasetError: there is no data set.
    """
    identity = tfds_store.read_identity(config.data.dir)
    atomic_files.atomic_write(workdir / run_dir.DATASET, (json.dumps(identity, indent=2) + "\n").encode())


def check(workdir: Path, config: Config) -> None:
    """Check that a run continues with the data set that it began with, which may have moved.

    A run without the record is of an earlier version: a data set elsewhere is compared with the one in its old place.

    Raises:
        RunError: it is another data set, which the message says, or there is nothing to compare it with.
        DatasetError: there is no data set in `config.data.dir`.
        DamagedFileError: dataset.json is damaged.
    """
    if not run_dir.has_begun(workdir):
        return
    path = workdir / run_dir.DATASET
    former_dir = run_dir.load_config(workdir).data.dir
    if path.exists():
        former = json_file.read(path, _REMEDY)
    elif former_dir == config.data.dir:
        return
    else:
        try:
            former = tfds_store.read_identity(former_dir)
        except DatasetError as error:
            raise run_dir.RunError(
                f"{workdir}: it cannot be told whether {config.data.dir} is the data set of this run, which an earlier "
                f"version of cxrjax trained; make it available in {former_dir} too, as by a link"
            ) from error
    difference = _find_difference(former, tfds_store.read_identity(config.data.dir))
    if difference:
        raise run_dir.RunError(
            f"{config.data.dir}: this is not the data set that {workdir} was trained on: {difference}; name that one, "
            f"or train in another --workdir from --config.pretrained={workdir}"
        )


def results_dirname(workdir: Path, config: Config, split: str, directory: str | None = None) -> str:
    """Return the folder name for the results of a split: SPLIT, or DATASET-SPLIT for another data set.

    Args:
        workdir: the run directory.
        config: config of the run.
        split: name of the split.
        directory: where the data set is; None for the config's own. The run's own data set may have moved there.

    Raises:
        DatasetError: there is no data set in the directory.
        DamagedFileError: dataset.json is damaged.
    """
    if not directory or directory == config.data.dir:
        return split
    path = workdir / run_dir.DATASET
    if path.exists() and not _find_difference(json_file.read(path, _REMEDY), tfds_store.read_identity(directory)):
        return split
    folder = tfds_store.find_dir(directory)
    try:
        if Path(folder).samefile(tfds_store.find_dir(config.data.dir)):
            return split
    except DatasetError:  # the run is on a machine without its own data
        pass
    return f"{tfds_store.dataset_name(directory)}-{split}"


def _find_difference(former: dict[str, Any], now: dict[str, Any]) -> str:
    """Return in words the first difference of two data sets; "" where there is none."""
    for key in ("name", "version"):
        if former.get(key) != now[key]:
            return f"its {key} is {now[key]}, not {former.get(key)}"
    former_splits = former.get("splits")
    for name, split in (former_splits if isinstance(former_splits, dict) else {}).items():
        if name not in now["splits"]:
            return f"it has no split {name}"
        for unit, count in now["splits"][name].items():
            if split.get(unit) != count:
                return f"its split {name} has {count} {unit}, not {split.get(unit)}"
    if former.get("splits_csv") and now["splits_csv"] and former["splits_csv"] != now["splits_csv"]:
        return "its splits.csv is another"
    return ""

"""What the controls of an audit work on: each part is read, or found, when a control first asks for it."""

import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from cxrjax.audit import metadata_baseline, probe
from cxrjax.audit.audited_model import AuditedModel
from cxrjax.data import batch, dataset, tfds_store
from cxrjax.evaluation import evaluate
from cxrjax.inference.lung_segmenter import LungSegmenter
from cxrjax.io import predictions_csv
from cxrjax.runs import run_dir


class NotApplicableError(Exception):
    """A control that means nothing here; the message is the reason."""


def require_lungs(*lungs: np.ndarray) -> None:
    """Raises NotDone where there are none in one of several stacks of masks."""
    if not all(masks.any() for masks in lungs):
        raise NotApplicableError("no lungs are known here: the run has no segmenter, or it finds none")


def find_shared_patients(seen: Sequence[Mapping[str, Any]], asked: Sequence[Mapping[str, Any]]) -> set[tuple[str, str]]:
    """Return the patients, as (source, patient_id), that two splits have in common; those of no name are not known."""
    first, second = (
        {(case["source"], case["patient_id"]) for case in cases if case["patient_id"]} for cases in (seen, asked)
    )
    return first & second


class AuditContext:
    """A run, a split of its data, and what the two networks are shown of it."""

    def __init__(self, workdir: Path, split: str, config: ConfigDict):
        """Look at a run.

        Args:
            workdir: the run.
            split: to be audited on.
            config: of the small network; its classes, data and radiographs are put in here, from the run.

        Raises:
            UnfitRun: there is no run, or none that finds anything; or it was trained on radiographs of the split.
        """
        self.workdir, self.split, self.folder = workdir, split, workdir / "audit" / split
        self.run = run_dir.load_config(workdir)
        if self.run.task != "classify":
            raise run_dir.RunError(f"{workdir}: finds lungs and nothing else, and only findings can be audited")
        self.classes = tuple(self.run.classifier.classes)
        config.classifier.classes, config.data, config.image = (
            self.run.classifier.classes,
            self.run.data,
            self.run.image,
        )
        self.config, self.size = config, config.patches.size
        seen, asked = ({_identify(case) for case in cases} for cases in self.records)
        if seen & asked:
            raise run_dir.RunError(
                f"{workdir}: was trained on {len(seen & asked)} of the {len(asked)} radiographs of {split}, "
                "and what is known by heart cannot be audited; name another --split"
            )

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        """What the run found in the split, as evaluation wrote it; evaluated first where it was not.

        Raises:
            UnfitRun: evaluation was of other radiographs.
        """
        path = self.workdir / "evaluation" / self.split / "predictions.csv"
        if not path.exists():
            evaluate.evaluate_run(self.workdir, self.split)
        rows = predictions_csv.read(path)
        if {_identify(row) for row in rows} != {_identify(case) for case in self.records[1]}:
            raise run_dir.RunError(
                f"{path}: its radiographs are not those of {self.split} in {self.run.data.directory}; "
                f"--mode=evaluate --split={self.split} finds those"
            )
        return rows

    @cached_property
    def records(self) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """What is stored of the radiographs of training, and of the split; of a picture's file, the checksum."""
        words = (*metadata_baseline.CASE, "view")
        return tuple(
            [{key: one[key] for key in words} | {"file": zlib.crc32(one["image"])} for one in self._stream(name)]
            for name in (self.run.data.train, self.split)
        )

    @property
    def train_sources_and_labels(self) -> tuple[list[str], list[str]]:
        """Sources and labels of training."""
        return tuple([case[key] for case in self.records[0]] for key in ("source", "label"))

    @property
    def source_label_counts(self) -> dict[str, Counter]:
        """How many radiographs of training each source has of each label."""
        counts: dict[str, Counter] = {}
        for source, label in zip(*self.train_sources_and_labels, strict=True):
            counts.setdefault(source, Counter())[label] += 1
        return counts

    @property
    def shared_patients(self) -> set[tuple[str, str]]:
        """See `find_shared_patients`."""
        return find_shared_patients(*self.records)

    @property
    def selected_on_split(self) -> bool:
        """Whether the network was chosen by radiographs of the split."""
        return bool(set(self.split.split("+")) & set(self.run.data.validation.split("+")))

    @cached_property
    def metadata(self) -> tuple[list[dict[str, str]], list[dict[str, str]]]:
        """What is told of the radiographs of training, and of the split, without their pictures."""
        return tuple(
            [metadata_baseline.metadata_features(one) for one in self._stream(name)]
            for name in (self.run.data.train, self.split)
        )

    @cached_property
    def test_images(self) -> tuple[batch.RadiographBatch, np.ndarray]:
        """The split, and its lungs bool [n, S, S]."""
        return self._load(self.split, self.run.image.size)

    @cached_property
    def probe_train(self) -> tuple[batch.RadiographBatch, np.ndarray]:
        """Training at the small network's size."""
        return self._load(self.run.data.train, self.size)

    @cached_property
    def probe_test(self) -> tuple[batch.RadiographBatch, np.ndarray]:
        """The split at the small network's size."""
        split, lungs = self.test_images
        return batch.with_columns(split, images=probe.downsample(split.images, self.size)), probe.downsample_masks(
            lungs, self.size
        )

    @cached_property
    def audited_model(self) -> AuditedModel:
        """The network that is audited."""
        return AuditedModel(self.workdir, self.run, self.config.patches.count)

    def tell(
        self, cases: Sequence[Mapping[str, str]], probabilities: np.ndarray, **known: np.ndarray
    ) -> list[dict[str, Any]]:
        """Rows as in `predictions.csv`.

        Args:
            cases: path, patient_id, source and label of n radiographs.
            probabilities: [n, K].
            **known: finding int [n] and votes int [n, K], if not the likeliest class with the one vote there is; and
                found bool [n], where some have no finding.
        """
        finding = known.get("finding", probabilities.argmax(1))
        votes = known.get("votes", np.eye(len(self.classes), dtype=int)[finding])
        found = known.get("found", np.ones(len(cases), bool))
        rows = []
        for i, case in enumerate(cases):
            row = {
                **case,
                "split": self.split,
                "status": predictions_csv.OK if found[i] else predictions_csv.NO_LUNGS_FOUND,
            }
            if found[i]:
                row |= {f"probability_{name}": p for name, p in zip(self.classes, probabilities[i], strict=True)}
                row |= {f"votes_{name}": int(count) for name, count in zip(self.classes, votes[i], strict=True)}
                row |= {"finding": self.classes[finding[i]], "confidence": probabilities[i, finding[i]]}
                row |= {"agreement": votes[i, finding[i]] / votes[i].sum()}
            rows.append(row)
        return rows

    def _stream(self, name: str) -> Iterator[dict[str, Any]]:
        return tfds_store.iter_records(self.run.data.directory, name)

    @cached_property
    def _finder(self) -> LungSegmenter:
        variables = run_dir.load_networks(self.workdir, self.run)["segmenter"]
        return LungSegmenter(self.run, variables, self.folder / "lungs")

    def _load(self, name: str, size: int) -> tuple[batch.RadiographBatch, np.ndarray]:
        """A split and its lungs bool [n, size, size], shrunk as it is read; the lungs are kept for when it goes on.

        What is known of masks and lesions is left behind.
        """
        parts, lungs = [], []
        for part, found in self._finder.recall_all(dataset.open_split(self.run, name), name):
            dataset.index_labels(part, self.classes)
            masks = np.zeros(part.images.shape, bool) if found.masks is None else found.masks  # of no segmenter
            lungs.append(probe.downsample_masks(masks, size))
            shrunk = probe.downsample(part.images, size)
            parts.append(batch.with_columns(part, images=shrunk, masks=part.masks[:, :0, :0], lesions=None))
        return batch.join(parts), np.concatenate(lungs)


def _identify(case: Mapping[str, Any]) -> tuple[str, str]:
    """Return what a radiograph is known by: two sources may have the same path."""
    return case["source"], case["path"]

"""What the controls of an audit work on: each part is read, or found, when a control first asks for it."""

import io
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from cxrjax import data, evaluate, predictions, runs, whole
from cxrjax.audit import small, tabular
from cxrjax.audit.asked import Asked
from cxrjax.tasks import classify


class NotDone(Exception):
    """A control that means nothing here; the message is the reason."""


class Material:
    """A run, a split of its data, and what the two networks are shown of it."""

    def __init__(self, workdir: Path, split: str, config: ConfigDict):
        """Look at a run.

        Args:
            workdir: the run.
            split: to be audited on.
            config: of the small network; its classes, data and radiographs are put in here, from the run.

        Raises:
            UnfitRun: there is no run, or none that finds anything.
        """
        self.workdir, self.split, self.folder = workdir, split, workdir / "audit" / split
        self.run = runs.load_config(workdir)
        if self.run.task != "classify":
            raise runs.UnfitRun(f"{workdir}: finds lungs and nothing else, and only findings can be audited")
        self.classes = tuple(self.run.classifier.classes)
        config.classifier.classes, config.data, config.image = (
            self.run.classifier.classes,
            self.run.data,
            self.run.image,
        )
        self.config, self.size = config, config.patches.size

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        """What the run found in the split, as evaluation wrote it; evaluated first where it was not."""
        path = self.workdir / "evaluation" / self.split / "predictions.csv"
        if not path.exists():
            evaluate.evaluate(self.workdir, self.split)
        return predictions.read(path)

    @cached_property
    def known(self) -> tuple[list[str], list[str]]:
        """Sources and labels of training."""
        return data.load_labels(self.run.data.directory, self.run.data.train)

    @cached_property
    def facts(self) -> tuple[list[dict[str, str]], list[dict[str, str]]]:
        """What is told of the radiographs of training, and of the split, without their pictures."""
        names = self.run.data.train, self.split
        return tuple([tabular.tell(one) for one in data.stream(self.run.data.directory, name)] for name in names)

    @cached_property
    def test(self) -> tuple[data.Split, np.ndarray]:
        """The split, and its lungs bool [n, S, S]."""
        return self._load(self.split)

    @cached_property
    def small_train(self) -> tuple[data.Split, np.ndarray]:
        """Training at the small network's size."""
        return small.shrink(*self._load(self.run.data.train), self.size, self.config.evaluation.batch_size)

    @cached_property
    def small_test(self) -> tuple[data.Split, np.ndarray]:
        """The split at the small network's size."""
        return small.shrink(*self.test, self.size, self.config.evaluation.batch_size)

    @cached_property
    def asked(self) -> Asked:
        """The network that is audited."""
        return Asked(self.workdir, self.run, self.config.patches.count)

    def need_lungs(self) -> None:
        """Raises NotDone where no lungs are known."""
        if not self.small_train[1].any() or not self.small_test[1].any():
            raise NotDone("no lungs are known here: the run has no segmenter, or it finds none")

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
            row = {**case, "split": self.split, "status": predictions.OK if found[i] else predictions.NO_LUNGS_FOUND}
            if found[i]:
                row |= {f"probability_{name}": p for name, p in zip(self.classes, probabilities[i], strict=True)}
                row |= {f"votes_{name}": int(count) for name, count in zip(self.classes, votes[i], strict=True)}
                row |= {"finding": self.classes[finding[i]], "confidence": probabilities[i, finding[i]]}
                row |= {"agreement": votes[i, finding[i]] / votes[i].sum()}
            rows.append(row)
        return rows

    def _load(self, name: str) -> tuple[data.Split, np.ndarray]:
        split = data.load_as(self.run, name)
        data.index_labels(split, self.classes)
        return split, self._find_lungs(name, split)

    def _find_lungs(self, name: str, split: data.Split) -> np.ndarray:
        """The lungs bool [n, S, S], kept for an audit that goes on; nowhere, where the run has no segmenter."""
        kept = self.folder / "lungs" / f"{name}.npz"
        if kept.exists():
            with np.load(kept) as file:
                return np.unpackbits(file["lungs"], axis=-1, count=split.images.shape[-1]).astype(bool)
        segmenter = runs.load_networks(self.workdir, self.run)["segmenter"]
        lungs = classify.find_lungs(self.run, segmenter, split).masks
        if lungs is None:
            return np.zeros(split.images.shape, bool)
        packed = io.BytesIO()
        np.savez_compressed(packed, lungs=np.packbits(lungs, axis=-1))
        kept.parent.mkdir(parents=True, exist_ok=True)
        whole.write(kept, packed.getvalue())
        return lungs

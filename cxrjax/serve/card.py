"""Card of a served model: its purpose, its limits and the result of its audit, which precede every prediction."""

from pathlib import Path
from typing import Any, NamedTuple

import cxrjax
from cxrjax.audit import finding
from cxrjax.inference.model import Model
from cxrjax.io import json_file

DISCLAIMER = "For research, not for diagnosis: this is not a medical device, and no result may guide patient care."
_NO_AUDIT = "This model has no audit: how much of its score a shortcut reaches, such as the hospital, is not known."
_SEGMENTER = "This model outlines lungs and heart and gives no label, so that there is no audit for shortcuts."


class ModelCard(NamedTuple):
    """Description of a served model.

    Attributes:
        name: of the model, its file or its run directory, without the folder.
        classes: names of the classes; empty for a segmenter.
        step: training step of the networks.
        has_ood_detector: whether predictions say if an image is unlike the training radiographs.
        disclaimer: sentence on the purpose.
        notice: the model's own sentences, see `Model.notice`; "" if it has none.
        audit: sentence with the result of the audit, or that there is none.
        audit_details: paragraph of the audit; "" without an audit.
        audit_split: split that was audited; "" without an audit.
        version: of cxrjax.
    """

    name: str
    classes: list[str]
    step: int
    has_ood_detector: bool
    disclaimer: str
    notice: str
    audit: str
    audit_details: str
    audit_split: str
    version: str

    def to_dict(self) -> dict[str, Any]:
        """Return values that JSON can encode."""
        return self._asdict()


def describe(model: Model, name: str) -> ModelCard:
    """Return the card of a model.

    Args:
        model: the model.
        name: what the user called it: a name, a path or an address.

    Raises:
        DamagedFileError: the file of its audit is damaged.
    """
    split, audit = _read_audit(model.run) if model.classes else ("", None)
    return ModelCard(
        name=Path(name).name,
        classes=list(model.classes),
        step=model.step,
        has_ood_detector=model.has_ood_detector,
        notice=model.notice,
        disclaimer=DISCLAIMER,
        audit=finding.find(audit).sentence if audit else _NO_AUDIT if model.classes else _SEGMENTER,
        audit_details=audit["verdict"]["paragraph"] if audit else "",
        audit_split=split,
        version=cxrjax.__version__,
    )


def _read_audit(workdir: Path) -> tuple[str, dict[str, Any] | None]:
    """Return the split and the content of a run's audit, that of the test split if there are several."""
    files = sorted(workdir.glob("audit/*/audit.json"), key=lambda path: (path.parent.name != "test", path))
    files = [path for path in files if "-before-" not in path.parent.name]  # audits of other networks or data
    if not files:
        return "", None
    return files[0].parent.name, json_file.read(files[0], "remove it, and audit the run again")

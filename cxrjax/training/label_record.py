"""Record of the labels of training in a run directory, from which the source alone is predicted."""

from pathlib import Path

from cxrjax.config import Config
from cxrjax.data import dataset, truth_table
from cxrjax.data.batch import RadiographBatch
from cxrjax.metrics import finding_arrays, identifiability
from cxrjax.runs import provenance, run_log
from cxrjax.runtime import multihost


def write(config: Config, workdir: Path, train_data: RadiographBatch | dataset.RadiographDataset) -> None:
    """Count the labels of the training radiographs by source, and their findings if there are several per radiograph.

    The first process announces what the sources leave unknown about labels or findings
    (`cxrjax.metrics.identifiability`).

    Args:
        config: config of the run.
        workdir: the run directory.
        train_data: the training radiographs.
    """
    provenance.save_label_counts(workdir, train_data.sources, train_data.labels)
    if config.classifier.targets == "multi":
        targets = truth_table.index_targets(train_data, config.classifier.classes)
        counts = finding_arrays.count_by_source(train_data.sources, targets, config.classifier.classes)
        provenance.save_finding_counts(workdir, counts)
        sentences = identifiability.summarize_findings(counts)
    else:
        sentences = identifiability.summarize(provenance.load_label_counts(workdir) or {})
    if multihost.is_primary():
        for sentence in sentences:
            run_log.announce(workdir, sentence)

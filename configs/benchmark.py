"""Benchmark on real radiographs that two CPU cores can train: lungs, labels by patches, labels by dense voting.

python -m data_prep table --csv=BENCHMARK.csv --filter=dataset=openist,jsrt --name=lungs --out=data
python -m cxrjax.main --config=configs/benchmark.py:segment --workdir=runs/benchmark_segment
python -m data_prep table --csv=BENCHMARK.csv --filter=dataset=chest_xray,tuberculosis,covid-chestxray-dataset \
    --name=findings --out=data
python -m cxrjax.main --config=configs/benchmark.py:classify --workdir=runs/benchmark_classify
python -m cxrjax.main --mode=export --workdir=runs/benchmark_classify --output=runs/benchmark_classify.safetensors
python -m cxrjax.main --config=configs/benchmark.py:dense --workdir=runs/benchmark_dense
Numbers without a source are ours, chosen on the validation split.
"""

from ml_collections import ConfigDict

from cxrjax.config import LABELS, default_config, select_variant


def get_config(variant: str = "") -> ConfigDict:
    """Return the config of a variant: "segment", "classify" or "dense"."""
    return select_variant(variant, segment, classify, dense)


def segment() -> ConfigDict:
    """FC-DenseNet56 at 128² segments the lungs of OpenIST and JSRT."""
    config = default_config()
    config.task = "segment"
    config.data.dir = "data/lungs"
    config.image.size = 512  # half the paper's
    config.segmenter.architecture = "fc_densenet56"
    config.segmenter.size = 128  # half the paper's
    config.segmenter.dropout = 0.1  # ours: a short training, a small network
    config.training.epochs = 8
    config.training.batch_size = 2  # the paper's
    config.training.learning_rate = 1e-3  # ours: from random weights, in few epochs
    config.training.schedule = "cosine"
    config.training.warmup_fraction = 0.05
    config.training.metric = "jaccard"
    config.training.patience = 10
    config.augmentation.rotation = 8.0
    config.augmentation.scale = 0.1
    config.augmentation.shift = 0.05
    config.augmentation.contrast = 0.2
    config.augmentation.brightness = 0.1
    return config


def classify() -> ConfigDict:
    """ResNet18 votes on 100 patches of 112² from the lungs of a 512² radiograph."""
    config = default_config()
    config.task = "classify"
    config.classifier.classes = LABELS
    config.data.dir = "data/findings"
    config.image.size = 512  # half the paper's, as the patches: a patch covers as much of a lung
    config.segmenter.workdir = "runs/benchmark_segment"
    config.classifier.channels = 1  # from random weights, for which repeating gray gains nothing
    config.patches.size = 112
    config.patches.count_validation = 5
    config.training.epochs = 30
    config.training.sampler = "balanced"
    config.training.learning_rate = 1e-3  # ours: from random weights
    config.training.ema_decay = 0.99  # ours: without it, validation fluctuates from epoch to epoch
    config.training.schedule = "cosine"
    config.training.warmup_fraction = 0.05
    config.optimizer.weight_decay = 1e-4  # ours
    config.training.metric = "macro_f1"
    config.training.patience = 30
    config.augmentation.flip_horizontal = 0.5
    config.augmentation.rotation = 10.0
    config.augmentation.scale = 0.1
    config.augmentation.contrast = 0.2
    config.augmentation.brightness = 0.1
    return config


def dense() -> ConfigDict:
    """Dense voting: one forward pass per radiograph, in which every window of the lungs votes.

    The network of `classify`, whose data and segmenter these are, trains a little longer on patches with their
    surroundings, since windows have them.
    Benchmark: on the test split, accuracy 0.735 (0.681 to 0.782), macro F1 0.687 (0.630 to 0.740), macro AUROC 0.944
    (0.927 to 0.958).
    """
    config = classify()
    config.pretrained = "runs/benchmark_classify.safetensors"
    config.patches.mode = "dense"
    config.patches.context_pixels = 64  # two cells: crops of 240², four and a half times the work of 112²
    config.training.epochs = 6  # a fifth of those of `classify`
    config.training.learning_rate = 3e-4
    return config

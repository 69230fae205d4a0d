"""Real findings on two CPU cores: ResNet18 votes on 100 patches of 112² from the lungs of a 512² radiograph.

python -m data_prep table --csv=BENCHMARK.csv --where=dataset=chest_xray,tuberculosis,covid-chestxray-dataset \
    --name=findings --out=data
python -m cxrjax.main --config=configs/benchmark_classify.py --workdir=runs/benchmark_classify
Numbers without a source are ours, chosen on the validation split.
"""

from ml_collections import ConfigDict

from configs import base


def get_config() -> ConfigDict:
    config = base.get_config()
    config.task = "classify"
    config.data.directory = "data/findings"
    config.image.size = 512  # half the paper's, as the patches: a patch sees as much of a lung
    config.segmenter.workdir = "runs/benchmark_segment"
    config.classifier.channels = 1  # from random weights: nothing to gain from repeating grey
    config.patches.size = 112
    config.patches.validation_count = 5
    config.training.epochs = 30
    config.training.sampling = "balanced"
    config.training.learning_rate = 1e-3  # ours: from random weights
    config.training.average = 0.99  # ours: validation otherwise jumps from epoch to epoch
    config.training.schedule = "cosine"
    config.training.warmup = 0.05
    config.training.decay = 1e-4  # ours
    config.training.metric = "macro_f1"
    config.training.patience = 30
    config.augmentation.flip = 0.5
    config.augmentation.rotation = 10.0
    config.augmentation.zoom = 0.1
    config.augmentation.contrast = 0.2
    config.augmentation.brightness = 0.1
    return config

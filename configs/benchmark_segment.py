"""Real lungs on two CPU cores: FC-DenseNet56 at 128², OpenIST and JSRT.

python -m data_prep table --csv=BENCHMARK.csv --where=dataset=openist,jsrt --name=lungs --out=data
python -m cxrjax.main --config=configs/benchmark_segment.py --workdir=runs/benchmark_segment
Numbers without a source are ours, chosen on the validation split.
"""

from ml_collections import ConfigDict

from configs import base


def get_config() -> ConfigDict:
    config = base.get_config()
    config.task = "segment"
    config.data.directory = "data/lungs"
    config.image.size = 512  # half the paper's
    config.segmenter.architecture = "fc_densenet56"
    config.segmenter.size = 128  # half the paper's
    config.segmenter.dropout = 0.1  # ours: a short training, a small network
    config.training.epochs = 8
    config.training.batch_size = 2  # the paper's
    config.training.learning_rate = 1e-3  # ours: from random weights, in few epochs
    config.training.schedule = "cosine"
    config.training.warmup = 0.05
    config.training.metric = "jaccard"
    config.training.patience = 10
    config.augmentation.rotation = 8.0
    config.augmentation.zoom = 0.1
    config.augmentation.shift = 0.05
    config.augmentation.contrast = 0.2
    config.augmentation.brightness = 0.1
    return config

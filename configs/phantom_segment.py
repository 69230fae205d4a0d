"""The demonstration's lungs: a small FC-DenseNet at 64² on made-up radiographs, minutes on a laptop.

python -m data_prep phantom --out=data
python -m cxrjax.main --config=configs/phantom_segment.py --workdir=runs/phantom_segment
Numbers without a source are ours, chosen on the validation split.
"""

from ml_collections import ConfigDict

from configs import base


def get_config() -> ConfigDict:
    config = base.get_config()
    config.task = "segment"
    config.data.directory = "data/phantom"
    config.image.size = 256
    config.segmenter.architecture = "fc_densenet29"
    config.segmenter.size = 64
    config.segmenter.dropout = 0.0
    config.training.epochs = 2
    config.training.batch_size = 4
    config.training.learning_rate = 3e-3  # ours: from random weights, in few epochs
    config.training.schedule = "cosine"
    config.training.warmup = 0.05
    config.training.metric = "jaccard"
    return config

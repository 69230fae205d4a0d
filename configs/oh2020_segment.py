"""Oh, Park & Ye 2020, section II-B: FC-DenseNet103 at 256² finds heart, left and right lung.

python -m cxrjax.main --config=configs/oh2020_segment.py --config.data.directory=DATA --workdir=RUN
Running variances are the batches' own, as in Flax; PyTorch's are unbiased estimates.
Cost: at full size a GPU (on two CPU cores about three seconds a step);
11 minutes of a CPU core at the small size of benchmarks/RECIPES.md; 9.3 million weights there.
Benchmark: Dice 0.933 (0.929 to 0.936) of lungs in the test split, at that size.
"""

from ml_collections import ConfigDict

from configs import base


def get_config() -> ConfigDict:
    config = base.get_config()
    config.task = "segment"
    config.segmenter.initializer = "torch"  # original segmentation/layers.py and model.py: PyTorch's defaults
    config.training.batch_size = 2  # original segmentation/header.py
    config.training.learning_rate = 1e-4  # original segmentation/header.py
    config.training.decay = 1e-6  # original segmentation/train.py
    config.training.milestones = (0.7, 0.8, 0.9)  # epochs 70, 80, 90 of 100; original segmentation/train.py
    config.training.metric = "jaccard"  # mean of heart, left and right lung; original segmentation/train.py
    config.training.patience = 100  # the original never stops early
    return config

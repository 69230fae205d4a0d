"""Oh, Park & Ye 2020, section II-C: ResNet18 votes on 100 patches of 224² from the lungs of a 1024² radiograph.

python -m cxrjax.main --config=configs/oh2020_classify.py \
    --config.data.directory=DATA --config.segmenter.workdir=SEGMENTER_RUN --workdir=RUN
The paper starts from weights trained on colour photographs; from random weights, as here, give a higher learning rate.
Cost: a GPU; on two CPU cores about two seconds a step.
"""

from ml_collections import ConfigDict

from configs import base


def get_config() -> ConfigDict:
    config = base.get_config()
    config.task = "classify"
    config.training.sampling = "balanced"  # original classification/header.py, in training alone here
    config.training.decay = 0.1  # original classification/train.py
    config.training.l1 = 1e-5  # original classification/header.py
    config.training.metric = "macro_f1"  # original classification/train.py
    config.augmentation.flip = 0.5  # original utils/utils.py
    config.augmentation.rotation = 5.0  # original utils/utils.py
    return config

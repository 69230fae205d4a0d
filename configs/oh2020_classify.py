"""Oh, Park & Ye 2020, section II-C: ResNet18 votes on 100 patches of 224² from the lungs of a 1024² radiograph.

python -m cxrjax.main --config=configs/oh2020_classify.py \
    --config.data.directory=DATA --config.segmenter.workdir=SEGMENTER_RUN --workdir=RUN
It starts from ImageNet's weights, which are fetched; from random ones (--config.init=) give a higher learning rate.
The initializer draws the last layer, and without ImageNet's weights the whole network. Running variances are the
batches' own, as in Flax; PyTorch's are unbiased estimates.
Five classes are ours: the original counts viral pneumonia and COVID-19 as one. Mended: ImageNet's mean and deviation,
left out there; patches beyond the lungs; balanced validation; patience that a worse score renewed.
Cost: at full size a GPU (on two CPU cores about two seconds a step);
3 minutes of a CPU core at the small size of benchmarks/RECIPES.md; 11.2 million weights there.
Benchmark: macro F1 0.257 (0.225 to 0.287) of findings in the test split, at that size.
"""

from ml_collections import ConfigDict

from configs import base


def get_config() -> ConfigDict:
    config = base.get_config()
    config.task = "classify"
    config.init = base.IMAGENET.format("resnet18")  # original classification/train.py
    config.classifier.normalise = "imagenet"  # ours, see above
    config.classifier.initializer = "torchvision"  # original utils/utils.py: torchvision's ResNet18, a new nn.Linear
    config.training.sampling = "balanced"  # original classification/header.py, in training alone here
    config.training.decay = 0.1  # original classification/train.py
    config.training.l1 = 1e-5  # original classification/header.py
    config.training.metric = "macro_f1"  # original classification/train.py
    config.saliency.scaling = "range"  # GradCAM of original classification/visualize_cnn.py
    config.augmentation.flip = 0.5  # original utils/utils.py
    config.augmentation.rotation = 5.0  # original utils/utils.py
    return config

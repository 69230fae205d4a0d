"""singhaxn's classifier: ResNet34 on three made channels of the radiograph cut down to its lungs.

python -m cxrjax.main --config=configs/singhaxn_classify.py \
    --config.data.directory=DATA --config.segmenter.workdir=SEGMENTER_RUN --workdir=RUN
The notebook that trained it, classification/classifier-train.ipynb, is public but was not in the copy at hand, so
every number of the training is ours, after singhaxn_segment. Ours too: the channels are made of the equalised
radiograph, its cut stretched to the standardised size (there: of the file's own pixels, at the cut's own size), and the
cut has the proportions that it has in the standardised square. Mended: a stray pixel does not widen the box, and a
radiograph without lungs gets no finding.
The initializer, ours, draws the last layer alone.
Cost: 5 minutes of a CPU core at the small size of benchmarks/RECIPES.md; 21.3 million weights there.
Benchmark: macro F1 0.715 (0.657 to 0.768) of findings in the test split, at that size.
"""

from ml_collections import ConfigDict

from configs import base


def get_config() -> ConfigDict:
    config = base.get_config()
    config.task = "classify"
    config.init = base.IMAGENET.format("resnet34")  # ours
    config.init_head = "fresh"  # ours
    config.image.gamma = 1.0  # classifier_common.py:20-44
    config.image.equalise = False  # classifier_common.py:20-44
    config.classifier.architecture = "resnet34"  # README.md:12
    config.classifier.normalise = "imagenet"  # predict.ipynb, cell 5
    config.patches.mode = "crop"  # classifier_common.py:24
    config.patches.channels = "contrast"  # classifier_common.py:26-37
    config.patches.masked = False  # classifier_common.py:20
    config.training.epochs = 50  # ours
    config.training.optimiser = "adamw"  # ours
    config.training.decay = 1e-2  # ours
    config.training.decay_vectors = False  # ours
    config.training.learning_rate = 1e-4  # ours
    config.training.schedule = "one_cycle"  # ours
    config.training.metric = "loss"  # ours
    config.training.patience = 8  # ours
    config.augmentation.rotation = 10.0  # ours
    config.augmentation.flip = 0.5  # ours
    return config

"""singhaxn's segmenter with an ImageNet encoder, and its classifier of radiographs cropped to their lungs.

python -m cxrjax.main --config=configs/singhaxn.py:segment --config.data.dir=DATA --workdir=SEGMENTER_RUN
python -m cxrjax.main --config=configs/singhaxn.py:classify \
    --config.data.dir=DATA --config.segmenter.workdir=SEGMENTER_RUN --workdir=RUN
Sources: files of that repository at 163ec0d, and fastai 2.0.13.
"""

from ml_collections import ConfigDict

from cxrjax.config import LABELS, default_config, imagenet_address, select_variant


def get_config(variant: str = "") -> ConfigDict:
    """Return the config of a variant: "segment" or "classify"."""
    return select_variant(variant, segment, classify)


def segment() -> ConfigDict:
    """A U-Net on a ResNet34 encoder with ImageNet weights (fastai's DynamicUnet) segments the lungs.

    Sources: cells of segmentation/segmentation-train.ipynb.
    Differences from the original: a blank lower border is cut off; the pixel shuffles start with different weights each
    (ICNR in the original); zoom by up to a tenth in both directions about the center (0.5 to 1.1 about any point);
    contrast and brightness of gray levels (of their logits). Masks that distinguish the left lung from the right need
    --config.augmentation.dihedral=0.0. The initializer, ours, draws all but the encoder.
    Corrected: there was no test set.
    Cost: 4 minutes of a CPU core at the small size of benchmarks/RECIPES.md, with 41.2 million weights.
    Benchmark: Dice 0.925 (0.922 to 0.929) of the lungs on the test split, at that size, with each augmentation applied
    to all images, and no rotations by 90° or mirror images.
    """
    config = default_config()
    config.task = "segment"
    config.pretrained = imagenet_address("resnet34")  # of the encoder, cell 5
    config.pretrained_head = "fresh"  # and the decoder; cell 5
    config.image.gamma = 1.0  # cell 4
    config.image.equalize = False  # cell 4
    config.segmenter.architecture = "unet_resnet34"  # cell 5
    config.segmenter.size = 224  # cell 4
    config.segmenter.channels = 3  # cell 4
    config.segmenter.normalization = "imagenet"  # fastai vision/learner.py:155
    config.segmenter.dropout = 0.0  # fastai's DynamicUnet has none
    config.training.param_groups = (("encoder/.*kernel", 0.0),)  # its batch norms train; cell 5, column "Trainable"
    config.training.epochs = 50  # cell 7
    config.training.batch_size = 16  # cell 4
    config.optimizer.name = "adamw"  # fastai optimizer.py:105
    config.optimizer.weight_decay = 1e-2  # cell 5
    config.optimizer.decay_bias_and_norm = False  # fastai learner.py:142
    config.optimizer.b1 = 0.95  # fastai schedule.py:105
    config.optimizer.b2 = 0.99  # fastai optimizer.py:189
    config.optimizer.eps = 1e-5  # fastai optimizer.py:189
    config.training.learning_rate = 1e-4  # cell 7
    config.training.schedule = "one_cycle"  # cell 7
    config.training.background_weight = 1.0  # cell 5
    config.training.metric = "loss"  # cell 7
    config.training.patience = 8  # cell 7
    config.augmentation.rotation = 10.0  # cell 4
    config.augmentation.scale = 0.1  # cell 4, see above
    config.augmentation.contrast = 0.2  # cell 4
    config.augmentation.brightness = 0.2  # cell 4
    config.augmentation.probability = 0.75  # p_affine and p_lighting of fastai's aug_transforms, independently
    config.augmentation.dihedral = 0.5  # do_flip and flip_vert of cell 4; fastai's aug_transforms
    return config


def classify() -> ConfigDict:
    """ResNet34 on three derived channels of the radiograph cropped to its lungs.

    The notebook that trained it, classification/classifier-train.ipynb, is public but was not in the copy at hand, so
    every number of the training is ours, following `segment`.
    Differences from the original: the channels are derived from the preprocessed radiograph, its crop stretched to
    the preprocessed size (in the original from the file's own pixels, at the crop's own size), and the crop has
    the proportions that it has in the preprocessed square. The initializer, ours, draws the last layer only.
    Corrected: a stray pixel does not widen the box, and a radiograph without lungs gets no prediction.
    Cost: 5 minutes of a CPU core at the small size of benchmarks/RECIPES.md, with 21.3 million weights.
    Benchmark: macro F1 0.715 (0.657 to 0.768) of the labels on the test split, at that size.
    """
    config = default_config()
    config.task = "classify"
    config.classifier.classes = LABELS  # ours: those of Oh et al. 2020
    config.pretrained = imagenet_address("resnet34")  # ours
    config.pretrained_head = "fresh"  # ours
    config.image.gamma = 1.0  # classifier_common.py:20-44
    config.image.equalize = False  # classifier_common.py:20-44
    config.classifier.architecture = "resnet34"  # README.md:12
    config.classifier.normalization = "imagenet"  # predict.ipynb, cell 5
    config.patches.mode = "lung_bbox"  # classifier_common.py:24
    config.patches.channels = "enhanced"  # classifier_common.py:26-37
    config.patches.mask_lungs = False  # classifier_common.py:20
    config.training.epochs = 50  # ours
    config.optimizer.name = "adamw"  # ours
    config.optimizer.weight_decay = 1e-2  # ours
    config.optimizer.decay_bias_and_norm = False  # ours
    config.training.learning_rate = 1e-4  # ours
    config.training.schedule = "one_cycle"  # ours
    config.training.metric = "loss"  # ours
    config.training.patience = 8  # ours
    config.augmentation.rotation = 10.0  # ours
    config.augmentation.flip_horizontal = 0.5  # ours
    return config

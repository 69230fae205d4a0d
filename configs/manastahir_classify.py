"""manastahir's Keras re-implementation of Oh et al.: ResNet18 on patches of 256² of a 1024² radiograph.

python -m cxrjax.main --config=configs/manastahir_classify.py \
    --config.data.directory=DATA --config.segmenter.workdir=SEGMENTER_RUN --workdir=RUN
Sources: that repository at bd5efdb. Ours: one patch a radiograph and step with its own cross-entropy, where the
original has a bag of twenty and takes the soft-max of the sum of their soft-maxes; one linear layer, not two in a row;
patches that reach beyond the radiograph; lungs that are cut out by a mask of yes and no, where the original multiplies
the radiograph by their probability; torchvision's ResNet18 and its weights, for its own is `resnet18_keras` with
weights of MXNet. Its best network is the one of the lowest val_loss, which has the penalties in it, up to the epoch of
the highest AUROC (ModelCheckpoint, which callback.py:84 copies), and it stops early by val_loss; here both go by the
AUROC. Mended: centres outside the lungs, augmented validation, patients in two splits, a sum of soft-maxes called a
vote.
The initializer draws the last layer alone; convolutions without weights would be he_uniform there. Running variances
are the batches' own, as in Flax; Keras's are unbiased estimates.
Cost: 5 minutes of a CPU core at the small size of benchmarks/RECIPES.md; 11.2 million weights there.
Benchmark: macro F1 0.271 (0.233 to 0.305) of findings in the test split, at that size, of the epoch of the
lowest loss.
"""

from ml_collections import ConfigDict

from configs import base


def get_config() -> ConfigDict:
    config = base.get_config()
    config.task = "classify"
    config.init = base.IMAGENET.format("resnet18")  # models.py:97
    config.classifier.normalise = "imagenet"  # utils.py:76-85
    config.classifier.initializer = "glorot_uniform"  # Keras's Dense; models.py:110-111
    config.patches.size = 256  # config.ini:122
    config.patches.count = 20  # config.ini:164; its README says 25
    config.voting.rule = "mean_probability"  # what the largest sum of soft-maxes is; models.py:131
    config.training.epochs = 100  # config.ini:110
    config.training.batch_size = 4  # config.ini:109
    config.training.learning_rate = 1e-4  # config.ini:113
    config.training.epsilon = 1e-7  # Keras's Adam; train.py:165
    config.training.schedule = "plateau"  # train.py:268
    config.training.plateau_metric = "train/loss"  # train.py:268
    config.training.plateau_patience = 3  # config.ini:136
    config.training.lowest_rate = 1e-8  # train.py:268
    config.training.l1 = 1e-4  # models.py:115, of kernels and their biases; here of all parameters
    config.training.l2 = 1e-4  # models.py:115
    config.training.l2_vectors = False  # no batch norm, models.py:115; the biases of the last layers are, there
    config.training.metric = "macro_auroc"  # callback.py:80, and config.ini:167 takes its weights
    config.training.patience = 7  # config.ini:140
    config.augmentation.flip = 0.5  # augmenter.py:5, in training alone here
    return config

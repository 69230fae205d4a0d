"""Every setting: its type, range, default value, unit and source, as frozen dataclasses.

A recipe (a file of configs/) starts from these defaults (`default_config`) and changes what differs. The values are
those of Oh, Park & Ye 2020 where the paper or its code has one.
Sources: "paper" is IEEE TMI 39(8), 2020; "original" is its authors' code; "ours" is a measurement or a choice of this
project.
"""

import json
from dataclasses import asdict, dataclass
from typing import Annotated, Any, Literal, NamedTuple

_MAX_COUNT = 1_000_000  # steps, patches, radiographs: counts that only data and time bound
_MAX_SIDE = 8192  # pixels; the largest detectors have 5,000
_MAX_FACTOR = 1e12  # for weights and factors without a natural bound


class Range(NamedTuple):
    """Bounds of a number, or of each number of a sequence; both are inclusive."""

    low: float
    high: float


class Length(NamedTuple):
    """Bounds of the length of a text or of a sequence; both are inclusive."""

    low: int
    high: int


Text = Annotated[str, Length(0, 4096)]
Name = Annotated[str, Length(1, 200)]
Fraction = Annotated[float, Range(0, 1)]
Factor = Annotated[float, Range(0, _MAX_FACTOR)]
Count = Annotated[int, Range(1, _MAX_COUNT)]
BatchSize = Annotated[int, Range(1, 100_000)]
Channels = Annotated[int, Range(1, 3)]
Side = Annotated[int, Range(8, _MAX_SIDE)]
Normalization = Literal["none", "imagenet", "torchxrayvision"]
Initializer = Literal[
    "he_normal",
    "torch",
    "torchvision",
    "he_uniform",
    "lecun_normal",
    "glorot_normal",
    "glorot_uniform",
    "fsarshad_cnn2",
    "fsarshad_cnn3",
]


@dataclass(frozen=True)
class DataConfig:
    """Data set: where it is, which splits are read, and how much of it is cached in memory."""

    dir: Text = ""  # a data set prepared by `python -m data_prep`; no default
    train: Text = "train"  # split to train on, or several: "fold0+fold2"; ours
    # split, or several, by which the best epoch is chosen; "": none, the last epoch is used; ours
    validation: Text = "val"
    # ((name, new name), …): labels or findings that are renamed, or merged under one name
    # (cxrjax/io/findings.py: rename); (("covid19", "viral"),) gives the four classes of Oh et al.; ours
    label_map: Annotated[tuple[tuple[str, str], ...], Length(1, 200)] = ()
    # megabytes: limit of the images and masks, for training and for validation each, that are cached in memory and on
    # the devices; larger splits are read from disk; ours: 1,900 radiographs of 1024²
    cache_limit_mb: Annotated[float, Range(0, 1e9)] = 4000.0
    num_threads: Annotated[int, Range(1, 1024)] = 2  # threads that read and preprocess radiographs; ours


@dataclass(frozen=True)
class ImageConfig:
    """Standardization of a radiograph: a square of gray levels."""

    size: Side = 1024  # pixels, side of a preprocessed radiograph; paper II-C
    # exponent after histogram specification; original segmentation/header.py
    gamma: Annotated[float, Range(0.01, 100)] = 0.5
    equalize: bool = True  # specify the histogram, as the original does; False: keep the gray levels; original
    # crop margins of nearly one level at all sides (cxrjax/io/borders.py); "bottom": crop only a lower border of
    # exactly 0, as the original does; "none"; "square": keep the middle square, as torchxrayvision does; ours
    borders: Literal["uniform", "bottom", "none", "square"] = "uniform"


@dataclass(frozen=True)
class SegmenterConfig:
    """Network that finds the lungs."""

    architecture: Name = "fc_densenet103"  # name of a network, of `cxrjax.models.list()`; paper II-B, table II
    size: Side = 256  # pixels, side of the input; paper II-B
    channels: Channels = 1  # of the input, equal for gray images; original segmentation/header.py
    # gray levels in 0..1 (original: 0..255); "imagenet" for published weights; ours
    normalization: Normalization = "none"
    initializer: Initializer = "he_normal"  # of random weights; others in cxrjax/models/initializers.py; ours
    dropout: Annotated[float, Range(0, 0.99)] = 0.2  # fraction of feature maps; original segmentation/layers.py
    # classify: run directory of the segmenter, or a model such as "lungs"; "" if patches are global and not masked;
    # no default
    workdir: Text = ""
    min_component_area: Fraction = 0.005  # fraction of the image; smaller components of a mask are removed; ours
    min_lung_area: Fraction = 0.02  # fraction of the image; a smaller mask counts as "no lungs found"; ours


@dataclass(frozen=True)
class ClassifierConfig:
    """Network that labels patches or radiographs."""

    # "single": one label per radiograph, softmax; "multi": several findings at once, each positive or negative,
    # sigmoid; ours
    targets: Literal["single", "multi"] = "single"
    architecture: Name = "resnet18"  # name of a network, of `cxrjax.models.list()`; paper II-C
    head: Name = "own"  # as published, or one of cxrjax/models/classifier.py: "linear", "hidden", "vgg", …; ours
    channels: Channels = 3  # gray repeated, for weights trained on color images; paper II-C
    # gray levels in 0..1 (original: 0..255); "imagenet" or "torchxrayvision" (-1024..1024) for published weights; ours
    normalization: Normalization = "none"
    initializer: Initializer = "he_normal"  # of random weights and of a new head; names as of the segmenter; ours
    # labels or findings, in the order of the outputs; (): those of the training split, by
    # cxrjax/runs/class_names.py; ours
    classes: Annotated[tuple[str, ...], Length(0, 10_000)] = ()
    # of "multi" targets: published operating point of each finding, which becomes a probability of 0.5
    # (`voting.apply_thresholds`); (): probabilities as they are; ours
    thresholds: Annotated[tuple[float, ...], Range(1e-6, 1 - 1e-6)] = ()


@dataclass(frozen=True)
class PatchesConfig:
    """Input of the classifier: which parts of a radiograph, and what they contain."""

    # patches, paper II-C; "global": the radiograph; "lung_bbox": the box of the lungs, singhaxn; or "dense": windows
    # of the radiograph's feature map (cxrjax/inference/strategies/sliding_windows.py); ours
    mode: Literal["local", "global", "lung_bbox", "dense"] = "local"
    mask_lungs: bool = True  # black out all but the lungs; paper II-C
    # or "enhanced": Otsu, CLAHE, adaptive threshold; singhaxn classifier_common.py
    channels: Literal["gray", "enhanced"] = "gray"
    # of "lung_bbox": fraction of the lung box added to each side; singhaxn inference.py:124
    bbox_margin: Annotated[float, Range(0, 10)] = 0.05
    # of "lung_bbox": whole radiograph at or below it; singhaxn model-config.json:5
    min_lung_confidence: Fraction = 0.875
    # of "global": fraction of the side that is cut off, leaving the center; if the example is augmented in training,
    # a square of that size at a random place; hieu2695 resnet34_cs_fc.py
    center_crop: Annotated[float, Range(0, 0.99)] = 0.0
    size: Side = 224  # pixels, side of a patch; paper II-C
    # pixels around a patch that only the backbone sees; multiples of the stride, 32; ours
    context_pixels: Annotated[int, Range(0, _MAX_SIDE)] = 0
    count: BatchSize = 100  # N, number of patches that vote on a radiograph; paper II-C
    count_validation: BatchSize = 10  # number of patches that vote in validation; ours (original: 1)
    batch_size: BatchSize = 50  # patches per forward pass; limits the memory, does not change results; ours


@dataclass(frozen=True)
class VotingConfig:
    """Aggregation of the votes of patches."""

    aggregation: Literal["majority", "mean_probability"] = "majority"  # or "mean_probability"; paper II-C


@dataclass(frozen=True)
class TrainingConfig:
    """Training: sampling, loss, learning rate, regularization, early stopping."""

    epochs: Count = 100  # passes over the training split; original segmentation/header.py
    batch_size: BatchSize = 16  # radiographs per step; original classification/header.py
    # "balanced": classes equally often; "oversample": see below; only training; ours
    sampler: Literal["shuffle", "balanced", "oversample"] = "shuffle"
    # factor by which the minority is repeated; hieu2695 baseline_oversampling.py
    oversample_factor: Annotated[int, Range(1, 10_000)] = 5
    # names of the oversampled classes; (): the smallest class; ours
    minority_classes: Annotated[tuple[str, ...], Length(0, 10_000)] = ()
    # examples that are augmented; "copies": only those that "oversample" adds; ours
    augment: Literal["all", "copies"] = "all"
    # probability that such an example is augmented; the others are as in validation; ours
    augment_probability: Fraction = 1.0
    # or "focal"; of the classifier (segmenter: cross-entropy per pixel); ours
    loss: Literal["cross_entropy", "focal"] = "cross_entropy"
    # of the classifier: (), ("inverse",) to class sizes, or a number per class; of "multi" targets the weight of
    # positive radiographs, negative ones weigh 1: ("inverse",) is negative / positive ones, CheXNet; original
    class_weights: Annotated[tuple[str | float, ...], Range(0, _MAX_FACTOR)] = ()
    # of "multi" targets: findings that are uncertain are left out of the loss, or count as negative or positive, the
    # U-Ignore, U-Zeros and U-Ones of CheXpert; Irvin et al. 2019
    uncertain: Literal["ignore", "zeros", "ones"] = "ignore"
    focal_gamma: Annotated[float, Range(0, 100)] = 2.0  # exponent of "focal"; hieu2695 Helper.py
    focal_alpha: Annotated[float, Range(0, 1e6)] = 1.0  # factor of "focal"; hieu2695 Helper.py
    learning_rate: Annotated[float, Range(0, 1e6)] = 1e-5  # highest of the schedule; original classification/header.py
    # or "constant", "cosine", "one_cycle", "plateau"; original
    schedule: Literal["steps", "constant", "cosine", "one_cycle", "plateau"] = "steps"
    warmup_fraction: Fraction = 0.0  # fraction of the training; ours
    # fractions of the training at which "steps" multiplies the rate by `lr_factor`; no default
    milestones: Annotated[tuple[float, ...], Range(0, 1)] = ()
    lr_factor: Factor = 0.1  # of "steps" (original segmentation/train.py) and "plateau" (manastahir train.py); original
    cycles: Count = 1  # of "cosine", each from the peak; their networks are kept for evaluation.ensemble_size; ours
    # rising fraction, peak / first rate, peak / last rate; fastai
    one_cycle: Annotated[tuple[float, ...], Range(0, _MAX_FACTOR)] = (0.25, 25.0, 1e5)
    b1_at_peak: Fraction = 0.85  # momentum decreases to this as "one_cycle" rises; fastai
    plateau_metric: Text = ""  # "val/…" or "train/loss" (manastahir train.py); "": `metric` of validation; ours
    # epochs without improvement before the rate is lowered; manastahir config.ini
    plateau_patience: Annotated[int, Range(0, _MAX_COUNT)] = 5
    plateau_min_delta: Factor = 1e-4  # smallest change that counts as improvement; Keras ReduceLROnPlateau
    min_lr: Annotated[float, Range(0, 1e6)] = 0.0  # lower limit of the rate of "plateau"; ours
    # ((regular expression, multiplier of the rate), …) by parameter path; 0 freezes; ours
    param_groups: Annotated[tuple[tuple[str, float], ...], Range(0, _MAX_FACTOR)] = ()
    # epochs after which frozen groups train too, with a new optimizer; 0: never; ours
    unfreeze_epoch: Annotated[int, Range(0, _MAX_COUNT)] = 0
    unfreeze_lr_scale: Factor = 0.1  # of every learning rate from then on; hieu2695 resnet34_cs_full.py
    unfreeze_augment_scale: Fraction = (
        1.0  # training.augment_probability times this from then on; hieu2695 resnet34_cs_full.py
    )
    ema_decay: Fraction = 0.0  # decay rate per step of the weights' running mean, which is used; 0: none; ours
    l1: Factor = 0.0  # weight of the sum of absolute parameters; original classification/train.py
    l2: Factor = 0.0  # weight of the sum of squared parameters; manastahir models.py
    l2_bias_and_norm: bool = True  # include biases and batch norms in that sum, unlike Keras; ours
    background_weight: Factor = 0.5  # of a pixel outside all structures; original segmentation/header.py
    metric: Text = ""  # of validation: the highest is best, or the lowest if the name ends in "loss"; ours
    patience: Count = 50  # epochs without a strictly better metric before stopping; original classification
    # between saves within an epoch (the end of each is saved too); ours
    checkpoint_every_minutes: Annotated[float, Range(0, 1e6)] = 5.0


@dataclass(frozen=True)
class RemedyConfig:
    """Remedies against shortcuts by the source of a radiograph, for classifiers; cxrjax/training/remedies."""

    balance: bool = False  # draw each class of each source equally often, by chance; Idrissi 2022
    # draw the classes so that they are alike in "age", "sex", "view", several or none; Iacus 2012
    match: Annotated[tuple[str, ...], Length(0, 3)] = ()
    # draw pairs of one source and two classes, so that every batch has both; Breslow 1980
    pairs: bool = False
    # of the chance to be drawn, for radiographs whose source has one class alone; 0 leaves them out; ours
    single_class_weight: Fraction = 1.0
    # probability of each random change of gray levels, sharpness, resolution and JPEG quality; Zhang 2020
    appearance: Fraction = 0.0
    # probability that all outside the lungs' box is taken from another radiograph of the batch; Xiao 2021
    surroundings: Fraction = 0.0
    # probability that the amplitude spectrum is mixed with that of another radiograph of the batch; Xu 2021
    spectrum: Fraction = 0.0
    # probability that a radiograph is mixed with one of the same class from another source; Yao 2022
    mix_sources: Fraction = 0.0
    # "group_dro": of the worst (source, class) groups; "bias_balanced": beyond the source; Sagawa 2020, Luo 2022
    loss: Literal["none", "group_dro", "bias_balanced"] = "none"
    dro_step_size: Factor = 0.01  # of the weights of the groups; Sagawa 2020
    dro_adjustment: Factor = 0.0  # C, for small groups; Sagawa 2020, section 3.3
    adversary: Factor = 0.0  # weight of the reversed gradient of a prediction of the source; Ganin 2016
    distance_correlation: Factor = 0.0  # weight of the dependence of the features on the source; Székely 2007


@dataclass(frozen=True)
class OptimizerConfig:
    """Optimizer and weight decay."""

    name: Literal["adam", "adamw", "sgd"] = "adam"  # "adamw": decoupled weight decay; "sgd"; original classification
    b1: Fraction = 0.9  # decay rate per step of the gradient's running mean; PyTorch's Adam
    b2: Fraction = 0.999  # decay rate per step of the squared gradient's; PyTorch's Adam
    eps: Fraction = 1e-8  # added to the root of the latter; PyTorch's Adam
    weight_decay: Factor = 0.0  # added to the gradient, as a multiple of the weight; PyTorch's Adam
    decay_bias_and_norm: bool = True  # decay biases and batch norms too, unlike fastai; PyTorch's Adam
    clip_param_norm: Factor = 0.0  # largest norm of each parameter's own gradient, 0: unlimited; Keras's clipnorm


@dataclass(frozen=True)
class AugmentationConfig:
    """Random changes of training examples; all zero, as in the original's code."""

    rotation: Annotated[float, Range(0, 180)] = 0.0  # degrees, in both directions; original
    scale: Fraction = 0.0  # fraction of the size, in both directions; original
    shift: Fraction = 0.0  # fraction of the size, in both directions; original
    contrast: Fraction = 0.0  # fraction of the gray range, in both directions; original
    contrast_about: Literal["middle", "mean"] = "middle"  # of the gray range; "mean": of the image, as Keras does; ours
    brightness: Fraction = 0.0  # fraction of the gray range, in both directions; original
    # fraction of the side cut off at random; the rest is enlarged to the full size; original
    random_crop: Annotated[float, Range(0, 0.99)] = 0.0
    flip_vertical: Fraction = 0.0  # probability of a vertical flip; original
    # probability of a horizontal flip; not if masks distinguish left and right lung; original
    flip_horizontal: Fraction = 0.0
    dihedral: Fraction = 0.0  # probability of one of the square's 8 symmetries, uniform; fastai's Dihedral
    # largest fraction of the side that a blank border, black or white, covers at random on each of the four sides; ours
    border: Annotated[float, Range(0, 0.45)] = 0.0
    probability: Fraction = 1.0  # probability of each of rotation, zoom, shift, contrast, brightness; fastai's p


@dataclass(frozen=True)
class EvaluationConfig:
    """Evaluation and prediction."""

    batch_size: BatchSize = 8  # radiographs per batch; limits the memory, does not change results; ours
    num_preview_images: Annotated[int, Range(0, 10_000)] = 12  # radiographs on the preview sheet; ours
    # the best network only; more: the networks of this many last cycles vote together; ours
    ensemble_size: Annotated[int, Range(1, 1000)] = 1


@dataclass(frozen=True)
class SaliencyConfig:
    """Saliency maps."""

    # divide the map of each patch by its maximum; or "range": its minimum becomes 0 too, as in the original
    # (cxrjax/ops/cam.py: scale); ours
    scaling: Literal["peak", "range"] = "peak"


@dataclass(frozen=True)
class SaliencyEvalConfig:
    """Checks of saliency maps by --mode=evaluate_saliency."""

    # value of deleted pixels; "blur": the blurred radiograph; Petsiuk et al. 2018
    baseline: Literal["black", "blur"] = "black"
    blur_sigma: Fraction = 0.05  # of "blur": standard deviation, fraction of the radiograph's side; ours
    # equal parts of the lungs that are deleted or inserted one after another; ours
    num_steps: Annotated[int, Range(1, 10_000)] = 8
    num_patches: BatchSize = 10  # whose mean probability is recorded at each step; ours
    num_randomizations: Annotated[int, Range(1, 10_000)] = 2  # random redraws of the network's weights; ours
    # of each: layers redrawn from output to input, the last: all; Adebayo et al. 2018
    num_depths: Annotated[int, Range(1, 10_000)] = 2
    # rank correlation above which a map hardly depends on the weights; ours
    max_random_correlation: Annotated[float, Range(-1, 1)] = 0.5
    num_resamples: Annotated[int, Range(0, 10_000)] = 2  # other draws of the patches with which a map is compared; ours
    # rank correlation above which maps count as equal: half of the variance; ours
    min_stability: Annotated[float, Range(-1, 1)] = 0.7
    top_fraction: Fraction = 0.1  # fraction of the lungs whose overlap is reported; ours


@dataclass(frozen=True)
class ReportConfig:
    """Report of a run."""

    max_cases: Annotated[int, Range(0, _MAX_COUNT)] = 300  # radiographs in the report's table, worst first; ours
    image_size: Side = 512  # pixels, side of their images; ours
    # limit of all images: no more are drawn once it is reached; ours
    max_megabytes: Annotated[float, Range(0, 1e6)] = 12.0


@dataclass(frozen=True)
class OODConfig:
    """Detector of images unlike the training radiographs; cxrjax/inference/ood.py."""

    keep_quantile: Fraction = 0.99  # fraction of training radiographs that is accepted; 0: no detector; ours
    num_images: Count = 400  # of training, evenly spaced, to fit it to: 4 / (1 - keep_quantile); ours


@dataclass(frozen=True)
class LRFinderConfig:
    """Search of a learning rate by --mode=lr_find."""

    min_lr: Annotated[float, Range(1e-30, 1e6)] = 1e-7  # first learning rate; hieu2695 Helper.py
    max_lr: Annotated[float, Range(1e-30, 1e6)] = 1e-2  # last learning rate; hieu2695 resnet34_freeze.py
    num_steps: Annotated[int, Range(2, _MAX_COUNT)] = 200  # from the first to the last; hieu2695 resnet34_freeze.py


@dataclass(frozen=True)
class TrackingConfig:
    """Programs that follow a training, beside metrics.jsonl, which each run has; cxrjax/training/tracking."""

    # "tensorboard", "mlflow", "wandb"; servers and accounts are found by their own environment variables, such as
    # MLFLOW_TRACKING_URI and WANDB_MODE; (): none; ours
    trackers: Annotated[tuple[str, ...], Length(0, 10)] = ("tensorboard",)
    project: Name = "cxrjax"  # experiment of MLflow, project of Weights & Biases; ours
    # validation radiographs that are drawn with their prediction at each epoch, evenly spaced; 0: none; ours
    num_images: Annotated[int, Range(0, 100)] = 4
    # send them to MLflow and Weights & Biases too, whose servers may be elsewhere; TensorBoard's files stay in the
    # run; ours
    send_images: bool = False


@dataclass(frozen=True)
class Config:
    """Settings of a run.

    A `ConfigDict` becomes a `Config` once, where a program starts (`cxrjax.config.freeze`); the rest of the library
    takes a `Config`, or the section that it needs. It is hashable.
    """

    task: Literal["segment", "classify"]  # what the network learns: lungs, or labels; no default
    seed: Annotated[int, Range(0, 2**32 - 1)] = 0  # of all random numbers: weights, order, patches, augmentation; ours
    # initial weights: a trained run, the name of a model, a file or an address (cxrjax/pretrained/hub.py); "": random
    # weights; ours
    pretrained: Text = ""
    # their last layer: "keep", "fresh" (drawn), or "auto": kept if it has as many outputs. Earlier layers of the
    # head that the weights lack are drawn too; for the weights of an encoder, the rest of the segmenter; ours
    pretrained_head: Literal["auto", "keep", "fresh"] = "auto"
    # outputs of that layer that are used, numbered from 0, in the order of classifier.classes; (): all, but for those
    # whose name in the file is empty; ours
    pretrained_outputs: Annotated[tuple[int, ...], Range(0, 9_999)] = ()
    # "float32", "bfloat16", or "auto": bfloat16 if there is an accelerator; ours
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    data: DataConfig = DataConfig()
    image: ImageConfig = ImageConfig()
    segmenter: SegmenterConfig = SegmenterConfig()
    classifier: ClassifierConfig = ClassifierConfig()
    patches: PatchesConfig = PatchesConfig()
    voting: VotingConfig = VotingConfig()
    training: TrainingConfig = TrainingConfig()
    remedy: RemedyConfig = RemedyConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    augmentation: AugmentationConfig = AugmentationConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    saliency: SaliencyConfig = SaliencyConfig()
    saliency_eval: SaliencyEvalConfig = SaliencyEvalConfig()
    report: ReportConfig = ReportConfig()
    ood: OODConfig = OODConfig()
    lr_finder: LRFinderConfig = LRFinderConfig()
    tracking: TrackingConfig = TrackingConfig()

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as nested dicts."""
        return asdict(self)

    def to_json(self) -> str:
        """Return the settings as one line of JSON, equal for equal settings."""
        return json.dumps(self.to_dict())

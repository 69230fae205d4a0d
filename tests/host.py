"""One process of a training and an evaluation: python host.py DATA WORKDIR [HOST:PORT PROCESSES PROCESS]."""

import sys
from pathlib import Path

from configs import hieu2695_baseline
from cxrjax import evaluate, hosts, train

if __name__ == "__main__":
    data, workdir, *place = sys.argv[1:]
    if place:
        hosts.join(place[0], int(place[1]), int(place[2]))
    config = hieu2695_baseline.get_config()
    config.data.directory = data
    config.image.size = config.patches.size = 40
    config.training.optimiser, config.training.learning_rate = "sgd", 1e-3  # Adam would blow up what rounding does
    config.training.epochs, config.training.batch_size, config.evaluation.batch_size = 3, 9, 5
    config.training.checkpoint_minutes = 0.0  # a save after every step
    config.augmentation.rotation, config.augmentation.flip = 10.0, 0.5
    train.train(config, Path(workdir))
    evaluate.evaluate(Path(workdir), "test")

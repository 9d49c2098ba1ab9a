"""Train a classifier of clouds from random or pre-trained weights, with all labels or few.

    python pretraining/train_classifier.py --config pretraining/configs/quick.yaml \\
        --pretrained results/points --labels-per-class 10 --out results/classifier

The test set is scored once, after the last epoch (scores.json). Several processes share each batch,
as in train_images.py's.
"""

from dataclasses import dataclass

import torch

import finetune
import labelled
import scores
from backbones import build_trunk
from classifiers import CLASSIFIERS
from finetune import FineTuneConfig
from labelled import LabelledConfig, amount, few_rows, open_clouds
from learning import training_step
from samplenet.data import batches
from samplenet.runs import schedules
from samplenet.runs.script import main
from samplenet.runs.settings import option
from samplenet.runs.training import Training
from samplenet.torch import processes
from samplenet.torch.state import State


@dataclass
class Config(FineTuneConfig, LabelledConfig):
    """The defaults are the published settings of PointNet."""

    labels_per_class: int | None = option(
        None, "training clouds of each class, chosen by --seed; default: all", at_least=1
    )


def train(config: Config) -> None:
    torch.manual_seed(config.seed)
    clouds, test = open_clouds(config, "train"), open_clouds(config, "test")
    rows = few_rows(clouds.labels, config.labels_per_class, config.seed)
    total = config.epochs * batches.steps_per_epoch(rows, config.batch_size)
    net = CLASSIFIERS[config.backbone](build_trunk(config), len(clouds.names))
    restored = finetune.start(net, config)
    with processes.start(config.device, config.batch_size, config.deterministic) as peers:
        net = net.to(peers.device)
        optimizer = finetune.optimizer(net, config)
        learner = finetune.Learner(net, config, peers.count)
        train_step = training_step(learner, optimizer, peers, config)
        labels = torch.from_numpy(clouds.labels).to(peers.device)

        def load(step, rows):
            own = rows.tolist()
            points = finetune.augmented(clouds.points[own], own, config, step)
            return labels[rows], torch.from_numpy(points).to(peers.device)

        metadata = {"names": list(clouds.names)}
        with Training(
            config, peers, State(net, optimizer), config.pretrained or "", metadata=metadata
        ) as training:
            for epoch in training.epochs():
                order = batches.of_epoch(rows, config.batch_size, config.seed, epoch)
                for step, batch in training.steps(peers.part(order), load):
                    lr = schedules.learning_rate(config, step, total)
                    optimizer.param_groups[0]["lr"].fill_(lr)
                    training.add(train_step(*batch))
                if training.last:
                    points = torch.from_numpy(test.points).to(peers.device)
                    logits = finetune.predict(net, config.batch_size, points)
                    found = scores.accuracies(logits.argmax(1).cpu().numpy(), test.labels)
                    task = labelled.task("classification", config.data_set)
                    method = finetune.method(config, task, labels=amount(config.labels_per_class))
                    folder = training.run.folder
                    scores.write(folder, method, config.seed, restored, len(test), found)
                training.end_epoch(("loss", "train_accuracy"), lr=lr)


if __name__ == "__main__":
    main(train, Config, __doc__)

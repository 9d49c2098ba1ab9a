"""Put SampleNet in front of your own Keras model and train it by `fit`.

Which 4 of 128 points does a trained, frozen classifier need?

python examples/keras_model.py
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow is talkative

import keras
import numpy as np

from samplenet.data import shapes
from samplenet.tf import (
    FarthestPointSampler,
    RandomSampler,
    SampleNet,
    projection_loss,
    simplification_loss,
)

CLASSES = ("airplane", "car", "chair", "lamp", "sofa")


class Sampled(keras.Model):
    """A sampler, then your model; `fit` sees soft points, `evaluate` and `predict` matched ones."""

    def __init__(self, sampler, task):
        super().__init__()
        self.sampler, self.task = sampler, task

    def call(self, clouds, training=False):
        sampled = self.sampler(clouds, training=training)
        if training:
            self.add_loss(5 * simplification_loss(sampled.queries, clouds))
            self.add_loss(projection_loss(self.sampler))
        return self.task(sampled.points)


def load(split, per_class):
    """Generate built-in shapes: clouds (B, 128, 3), labels (B,)."""
    names = [(name, i) for i in range(per_class) for name in CLASSES]
    clouds = np.stack([shapes.generate(name, i, split=split, num_points=128) for name, i in names])
    return clouds, np.tile(np.arange(len(CLASSES)), per_class)


def compiled(model, lr):
    entropy = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(lr), entropy, metrics=["accuracy"])
    return model


def accuracy(clouds):
    return np.mean(task.predict(np.asarray(clouds), verbose=0).argmax(1) == test_labels)


keras.utils.set_random_seed(0)
clouds, labels = load("train", 60)
test_clouds, test_labels = load("test", 20)

points = [keras.layers.Dense(32, "relu"), keras.layers.Dense(64, "relu")]
head = [keras.layers.GlobalMaxPooling1D(), keras.layers.Dense(len(CLASSES))]
task = compiled(keras.Sequential([keras.Input((None, 3)), *points, *head]), 1e-2)
task.fit(clouds, labels, batch_size=64, epochs=20, verbose=0)
task.trainable = False

sampler = SampleNet(m=4, k=4, temperature=0.2, conv_widths=(16, 32, 32), fc_widths=(32,))
model = compiled(Sampled(sampler, task), 1e-2)
history = model.fit(clouds, labels, batch_size=64, epochs=30, verbose=0).history["loss"]
print(f"loss {history[0]:.2f} -> {history[-1]:.2f}")

print(f"all 128 points: accuracy {accuracy(test_clouds):.2f}")
samplers = {"random": RandomSampler(4), "FPS": FarthestPointSampler(4), "SampleNet": sampler}
for name, pick in samplers.items():
    print(f"4 points, {name}: accuracy {accuracy(pick(test_clouds).points):.2f}")

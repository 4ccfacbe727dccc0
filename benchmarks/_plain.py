"""The plain way to a classifier on frozen features, as most people write it; prints accuracy and seconds.

    python benchmarks/_plain.py FOLDER [--channels-last] [--bf16]

Each picture goes through Pillow and a DataLoader with two workers, then through timm's network in PyTorch;
scikit-learn fits a standardised logistic regression on the last layer's features, the penalty chosen among
three by five-fold cross-validation. The network's weights are headstart's own, read by its own function,
because their file names the tensors otherwise than timm does.
"""

import argparse
import json
import time
import warnings
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch.utils.data import DataLoader, Dataset

from headstart import backbones
from headstart.backbones.chain import Chain
from headstart.backbones.network import load

SIZE, SHORT, BATCH, WORKERS = 224, 256, 32, 2
PENALTIES = (0.001, 0.01, 0.1)


class Pictures(Dataset[tuple[torch.Tensor, int]]):
    """Pictures of one part, normalised, with the number of their class."""

    def __init__(self, files: list[Path], labels: list[int]) -> None:
        self.files, self.labels = files, labels

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, at: int) -> tuple[torch.Tensor, int]:
        image = Image.open(self.files[at]).convert("RGB")
        scale = SHORT / min(image.size)
        width, height = (round(side * scale) for side in image.size)
        image = image.resize((width, height), Image.Resampling.BICUBIC)
        left, top = (width - SIZE) // 2, (height - SIZE) // 2
        square = np.asarray(image.crop((left, top, left + SIZE, top + SIZE)), dtype=np.float32)
        return torch.from_numpy((square / 255 - 0.5) / 0.5).permute(2, 0, 1), self.labels[at]


def part(folder: Path, classes: list[str]) -> Pictures:
    """All pictures of a part."""
    files, labels = [], []
    for label, name in enumerate(classes):
        own = sorted(file for file in (folder / name).iterdir() if file.is_file())
        files += own
        labels += [label] * len(own)
    return Pictures(files, labels)


def encode(
    network: Chain, pictures: Pictures, *, channels_last: bool, bf16: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Features [n, d] of the last layer, and labels [n]."""
    found, labels = [], []
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        for batch, own in DataLoader(pictures, BATCH, num_workers=WORKERS):
            if channels_last:
                batch = batch.contiguous(memory_format=torch.channels_last)
            features = network.features(batch)
            found.append(features.float().numpy())
            labels.append(own.numpy())
    return np.concatenate(found), np.concatenate(labels)


def main() -> None:
    """Features of the training part, the head, the accuracy on the other part."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--channels-last", action="store_true")
    parser.add_argument("--bf16", action="store_true")
    asked = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)
    begin = time.perf_counter()
    parts = {folder.name: folder for folder in asked.folder.iterdir() if folder.is_dir()}
    (other,) = (name for name in parts if name != "train")
    classes = sorted(folder.name for folder in parts["train"].iterdir())
    network = load(backbones.spec("efficientnet_lite0"))
    if asked.channels_last:
        network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    how = {"channels_last": asked.channels_last, "bf16": asked.bf16}
    started = time.perf_counter()
    x, y = encode(network, part(parts["train"], classes), **how)
    test_x, test_y = encode(network, part(parts[other], classes), **how)
    encoded = time.perf_counter()
    search = GridSearchCV(
        make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)),
        {"logisticregression__C": list(PENALTIES)},
        cv=StratifiedKFold(5, shuffle=True, random_state=0),
    ).fit(x, y)
    report = {
        "accuracy": float(search.score(test_x, test_y)),
        "n": len(test_y),
        "pictures": len(y) + len(test_y),
        "seconds": {
            "load": started - begin,
            "extract": encoded - started,
            "head": time.perf_counter() - encoded,
        },
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main()

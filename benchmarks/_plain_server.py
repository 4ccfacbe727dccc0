"""A plain REST handler, as most tutorials write it: FastAPI, UploadFile, Pillow, PyTorch eager. For serve.py.

    python benchmarks/_plain_server.py PORT CLASSES

The network and its weights are headstart's default backbone, with a linear layer on top. The handler is a
plain function, so that FastAPI runs it in its pool of threads: an async one would block the loop.
"""

import sys

import numpy as np
import torch
import uvicorn
from fastapi import FastAPI, UploadFile
from PIL import Image

from headstart import backbones
from headstart.backbones.network import load

SIZE, SHORT = 224, 256


def main() -> None:
    """Serve until killed."""
    port, classes = int(sys.argv[1]), int(sys.argv[2])
    spec = backbones.spec(backbones.DEFAULT)
    network = load(spec).eval()
    head = torch.nn.Linear(spec.dim, classes)
    app = FastAPI()

    @app.post("/predict")
    def predict(file: UploadFile) -> dict[str, object]:
        image = Image.open(file.file).convert("RGB")
        scale = SHORT / min(image.size)
        width, height = (round(side * scale) for side in image.size)
        image = image.resize((width, height), Image.Resampling.BICUBIC)
        left, top = (width - SIZE) // 2, (height - SIZE) // 2
        square = np.asarray(image.crop((left, top, left + SIZE, top + SIZE)), dtype=np.float32)
        batch = torch.from_numpy((square / 255 - 0.5) / 0.5).permute(2, 0, 1)[None]
        with torch.inference_mode():
            probabilities = head(network.features(batch)).softmax(1)[0]
        best = int(probabilities.argmax())
        return {
            "label": best,
            "probability": float(probabilities[best]),
            "probabilities": probabilities.tolist(),
        }

    uvicorn.run(app, port=port, log_level="warning", access_log=False)


main()

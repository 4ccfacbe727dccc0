"""Classify pictures with an exported model. Needs onnxruntime, numpy and pillow; headstart is not used.

python onnx_predict.py photos-model.onnx new.jpg other.png
"""

import json
import sys

import numpy as np
import onnxruntime
from PIL import Image

TURNS = {2: 0, 3: 3, 4: 1, 5: 5, 6: 4, 7: 6, 8: 2}  # from EXIF orientation to Image.Transpose


def pixels(file, how):
    """What the network gets of a picture file: [s, s, 3], the same bytes as in headstart."""
    with Image.open(file) as image:
        enough = 2 * how["resize_px"]
        drafted = image.draft(None, (enough, enough))  # a large JPEG at 1/2, 1/4 or 1/8 of its size
        image.load()
        across, down = drafted[1][2:] if drafted else image.size
        try:
            turn = TURNS.get(image.getexif().get(0x0112))
        except Exception:  # a damaged EXIF block: the picture itself can be read
            turn = None
        if image.mode.startswith("I"):  # greys of 16 bits
            wide, clear = np.asarray(image).astype(int), image.info.get("transparency")
            layers = Image.fromarray(((wide + 128) // 257).astype(np.uint8)).convert("RGBA")
            if clear is not None:
                layers.putalpha(Image.fromarray(np.where(wide == clear, 0, 255).astype(np.uint8)))
        else:
            layers = image.convert("RGBA")
    flat = Image.new("RGB", layers.size, tuple(how["background"]))
    flat.paste(layers, mask=layers)
    half = min(across, down) * how["size_px"] / how["resize_px"] / 2
    box = (across / 2 - half, down / 2 - half, across / 2 + half, down / 2 + half)
    size, method = (how["size_px"],) * 2, Image.Resampling[how["interpolation"].upper()]
    square = flat.resize(size, method, box=box, reducing_gap=3.0)
    return np.asarray(square if turn is None else square.transpose(turn))


def main(model, files):
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    about = json.loads(session.get_modelmeta().custom_metadata_map["headstart"])
    for file in files:
        batch = pixels(file, about["preprocess"])[None]
        probabilities, score = session.run(["probabilities", "unknown_score"], {"pixels": batch})
        best = int(probabilities[0].argmax())
        answer = {
            "path": file,
            "label": about["classes"][best],
            "probability": float(probabilities[0, best]),
            "unknown": bool(score[0] > about["unknown"]["threshold"]),
        }
        print(json.dumps(answer))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])

"""Recordings as pictures: log-mel spectrograms look like nothing that a network for photographs saw."""

import wave
from pathlib import Path

import numpy as np
from PIL import Image

SECONDS = 1.0  # of each recording, from its start; what is shorter ends in silence
WINDOW_S, HOP_S = 0.025, 0.010
BANDS = 96
RANGE_DB = 80.0  # below the loudest point of a recording all is black


def drawn(source: Path, target: Path) -> Path:
    """A grey PNG for each WAV file below `source`, in the same folders. Time runs to the right, pitch up."""
    for file in sorted(source.rglob("*.wav")):
        place = (target / file.relative_to(source)).with_suffix(".png")
        place.parent.mkdir(parents=True, exist_ok=True)
        with wave.open(str(file)) as sound:
            rate = sound.getframerate()
            samples = np.frombuffer(sound.readframes(sound.getnframes()), "<i2").astype(np.float64)
        Image.fromarray(spectrogram(samples, rate)).save(place)
    return target


def spectrogram(samples: "np.ndarray", rate: int) -> "np.ndarray":
    """Levels [bands, frames] of one channel of samples at `rate` Hz, 0 to 255.

    Triangles of equal width on the mel scale (Stevens, Volkmann and Newman 1937, as 2595 log10(1 + f / 700)).
    """
    window, hop = round(WINDOW_S * rate), round(HOP_S * rate)
    whole = np.zeros(round(SECONDS * rate) + window)
    whole[: min(len(samples), len(whole) - window)] = samples[: len(whole) - window]
    starts = np.arange(0, len(whole) - window, hop)
    frames = whole[starts[:, None] + np.arange(window)] * np.hanning(window)
    power = np.abs(np.fft.rfft(frames, 512)) ** 2
    hertz = np.linspace(0, rate / 2, power.shape[1])
    mel = 2595 * np.log10(1 + hertz / 700)
    middles = np.linspace(0, mel[-1], BANDS + 2)
    width = middles[1]
    bands = np.maximum(0, 1 - np.abs(mel[:, None] - middles[None, 1:-1]) / width)
    level = 10 * np.log10(power @ bands + 1e-9)
    shown = np.clip((level - level.max()) / RANGE_DB + 1, 0, 1)
    return np.ascontiguousarray((255 * shown).round().astype(np.uint8).T[::-1])

"""The pictures of a page: each is embedded once, as a class of the style sheet, and used wherever wanted."""

from collections.abc import Iterable
from typing import Any

from headstart.report.markup import mark, sure, text
from headstart.report.material import Judged, Material


class Album:
    """Pictures by path, and how they stand on the page."""

    def __init__(self, material: Material) -> None:
        self.material = material
        self._place = {one.path: at for at, one in enumerate(material.judged)}
        self._others = [path for path in material.thumbs if path not in self._place]
        self._place |= {path: len(material.judged) + at for at, path in enumerate(self._others)}
        self._thumb = {path: at for at, path in enumerate(material.thumbs)}

    def name(self, label: int) -> str:
        """A class as people call it: its title where it has one."""
        own = self.material.classes[label]
        info = self.material.infos.get(own)
        return info.title if info and info.title else own

    def has(self, path: str) -> bool:
        """Whether this picture is embedded."""
        return path in self._thumb

    def picture(self, path: str, *, size: str = "") -> str:
        """A picture that opens its card when it is clicked; where it is not embedded, its name on a tile."""
        at = self._place.get(path)
        said = path.rpartition("/")[2]
        known = self.material.known.get(path)
        if known is not None:
            said = f"{self.name(known[0])}: {said}"
        if path not in self._thumb:
            return f'<span class="pic none {size}"><span>{text(path.rpartition("/")[2])}</span></span>'
        return (
            f'<button type="button" class="pic t{self._thumb[path]} {size}" data-pic="{at}" '
            f'aria-label="{text(said)}" title="{text(said)}"></button>'
        )

    def strip(self, paths: Iterable[str], *, size: str = "") -> str:
        """Pictures in a row; those that are not embedded are left out."""
        return f'<div class="strip">{"".join(self.picture(p, size=size) for p in paths if self.has(p))}</div>'

    def tile(self, path: str, said: str) -> str:
        """A picture with a line of HTML under it."""
        return f"<figure>{self.picture(path)}<figcaption>{said}</figcaption></figure>"

    def answer(self, one: Judged) -> str:
        """What the model said, with the sign for right or wrong."""
        label, probability = one.answers[0]
        kind = "good" if one.is_right else "bad"
        return (
            f'<span class="answer {kind}">{mark(right=one.is_right)}{text(self.name(label))} '
            f"{text(sure(probability))}</span>"
        )

    def data(self) -> dict[str, Any]:
        """What the page's script knows: classes, and a row for every picture it can show or name."""
        of = self.material
        rows = []
        for one in of.judged:
            row: dict[str, Any] = {
                "f": one.path,
                "t": one.truth,
                "a": [[label, round(1000 * p)] for label, p in one.answers],
                "i": self._thumb.get(one.path, -1),
            }
            if row["i"] >= 0:
                row["g"] = [[name, round(1000 * p)] for name, p in one.guesses]
            near = [self._place[path] for path in one.near if path in self._place]
            rows.append(row | ({"n": near} if near else {}))
        for path in self._others:
            label, part = of.known.get(path, (-1, ""))
            rows.append({"f": path, "t": label, "k": part, "i": self._thumb[path]})
        return {"classes": [self.name(at) for at in range(len(of.classes))], "pics": rows}

"""Chapter 6: a network that is trained on a second task forgets the first; a frozen one has nothing to forget."""

from dataclasses import dataclass, replace

import numpy as np

from headstart.evaluate import accuracy_interval
from headstart.tour import draw
from headstart.tour.learn import Pace, answers, inputs_of, train_on
from headstart.tour.pictures import Material, encoded
from headstart.tour.section import Effort, Section
from headstart.values import Floats, Halves, Ints

A, B = (0, 1), (2, 3)


@dataclass(frozen=True)
class Score:
    """Right answers on the judged pictures of one task."""

    right: int
    n: int
    ci95: tuple[float, float]

    @property
    def accuracy(self) -> float:
        """The share."""
        return self.right / self.n


@dataclass(frozen=True)
class Learnt:
    """What became of task A in one way of learning B after it. Answers may name any class that was learnt."""

    before: Score  # on A, after A was learnt
    after: Score  # on A, after B was learnt as well
    on_b: Score
    between: Score  # on A after B, when only A's two answers are allowed


@dataclass(frozen=True)
class Forgetting:
    """The chapter's numbers."""

    task_a: tuple[str, str]
    task_b: tuple[str, str]
    per_class: int
    naive: Learnt  # all stages trained on A, then on B
    probe: Score  # on A, by a new head on the features of the network that was trained so
    frozen: Learnt  # B's classes added to the head on a frozen network
    called_b: int  # of A's pictures, how many the frozen network's head then calls one of B's classes
    features_equal: bool  # the frozen network's features of A's pictures, before and after, bit by bit


def measured(material: Material, effort: Effort, *, seed: int = 0) -> Forgetting | None:
    """Both ways on the same four classes and pictures; None where there are fewer classes."""
    if len(material.classes) < len(A) + len(B):
        return None
    per_class = min(effort.task, material.sizes[-1])
    naive, probe = _naive(material, per_class, effort, seed)
    first, second = (material.first(per_class, own) for own in (A, B))
    judged_a, judged_b = material.judged_of(A), material.judged_of(B)
    before = encoded(material.spec, material.pixels[judged_a])
    head_a = means(material.features.last(), material.features.y, first)
    before_words = said(before[:, -material.spec.dim :], head_a)
    added = np.concatenate([head_a, means(material.features.last(), material.features.y, second)])
    after = encoded(material.spec, material.pixels[judged_a])
    after_words = said(after[:, -material.spec.dim :], added)
    b_words = said(material.features.last()[judged_b], added)
    between = said(after[:, -material.spec.dim :], added[: len(A)])
    frozen = Learnt(
        _score(material, judged_a, before_words),
        _score(material, judged_a, after_words),
        _score(material, judged_b, b_words),
        _score(material, judged_a, between),
    )
    first_a, second_a, first_b, second_b = material.classes[: len(A) + len(B)]
    called_b = int((after_words >= len(A)).sum())
    equal = bool(np.array_equal(before, after))
    return Forgetting(
        (first_a, second_a), (first_b, second_b), per_class, naive, probe, frozen, called_b, equal
    )


def means(features: Halves, y: Ints, rows: Ints) -> Floats:
    """A head that never forgets: one mean direction for each class. A new class is a new row, no more."""
    found = [_unit(features[rows[y[rows] == label]]).mean(0) for label in np.unique(y[rows])]
    return _unit(np.stack(found))


def said(features: Floats | Halves, head: Floats) -> Ints:
    """The class whose mean direction is nearest."""
    found: Ints = (_unit(features) @ head.T).argmax(1)
    return found


def rendered(found: Forgetting | None) -> Section:
    """The chapter as HTML."""
    title = "Forgetting, and how a frozen network does not"
    code = (
        "from headstart.tour.forgetting import measured\n"
        "from headstart.tour.pictures import gather\n"
        "from headstart.tour.section import QUICK\n\n"
        "print(measured(gather(None, QUICK), QUICK))"
    )
    look = (
        "Compare the first two rows: the accuracy on task A before and after task B was learnt. Nobody told "
        "the network to forget; nobody told it to remember, either."
    )
    if found is None:
        body = (
            "<p>This chapter needs four classes, two for each task, and these pictures have fewer. Leave out "
            "--data to see it on the embedded digits.</p>"
        )
        return Section("forgetting", title, look, body, code)
    a, b = (draw.text(" and ".join(own)) for own in (found.task_a, found.task_b))
    rows = [
        ("all stages trained on A", "task A", *_shown(found.naive.before), ""),
        ("… then on B", "task A", *_shown(found.naive.after), _fell(found.naive.before, found.naive.after)),
        ("", "task B", *_shown(found.naive.on_b), ""),
        ("frozen, head with A", "task A", *_shown(found.frozen.before), ""),
        (
            "… B added to the head",
            "task A",
            *_shown(found.frozen.after),
            _fell(found.frozen.before, found.frozen.after),
        ),
        ("", "task B", *_shown(found.frozen.on_b), ""),
    ]
    bars = draw.bars(
        f"Accuracy on task A before and after task B: trained on {found.naive.before.accuracy:.0%} and "
        f"{found.naive.after.accuracy:.0%}, frozen {found.frozen.before.accuracy:.0%} and "
        f"{found.frozen.after.accuracy:.0%}",
        "right on task A, %",
        [
            ("trained", (100 * found.naive.before.accuracy, 100 * found.naive.after.accuracy)),
            ("frozen", (100 * found.frozen.before.accuracy, 100 * found.frozen.after.accuracy)),
        ],
        ("after task A", "after task B"),
    )
    same = (
        "equal bit by bit" if found.features_equal else "not equal, which should not happen: please report it"
    )
    body = (
        "<p>The story tells of apples and oranges, and then of bananas and strawberries. Here task A is to "
        f"tell <b>{a}</b> apart, task B <b>{b}</b>; {found.per_class} training pictures per class.</p>"
        "<p>First, the pretrained network is trained on A, all stages, and then goes on with pictures of B "
        "alone. Then the same with a frozen network, where only the head learns: a mean direction for each "
        "class, so that B's classes are two more rows and A's rows stay as they are.</p>"
        + bars
        + draw.table(("what was learnt", "judged on", "right", "95 % sure", ""), rows)
        + "<h3>What was lost, exactly?</h3>"
        f"<p><b>In the trained network:</b> asked only “{draw.text(found.task_a[0])} or "
        f"{draw.text(found.task_a[1])}?”, with B's answers forbidden, it is right on "
        f"{_said(found.naive.between)} (guessing gives half). A new head fitted to its features after B is right on "
        f"{_said(found.probe)}. What that head finds was not lost from the stages, but could no longer be "
        "said: training on B alone made the head answer B.</p>"
        f"<p><b>With the frozen network:</b> the features of A's pictures before and after are {same}. That "
        "does not make it free: a head with four answers has more ways to be wrong. "
        f"{_called(found)} Between A's own two answers it is right on {_said(found.frozen.between)}, as before."
        "</p>"
    )
    return Section("forgetting", title, look, body, code)


def _naive(material: Material, per_class: int, effort: Effort, seed: int) -> tuple[Learnt, Score]:
    from headstart.finetune.thawed import Start, Thawed
    from headstart.heads._choose import choose

    spec, y = material.spec, material.features.y
    last = spec.depths[-1]
    known = material.features.last()[material.order].astype(np.float32)
    scale = 1 / np.maximum(known.std(0), 1e-2)
    k = len(A) + len(B)
    start = Start(
        last.start, known.mean(0), scale, np.zeros((spec.dim, k), np.float32), np.zeros(k, np.float32)
    )
    network = Thawed(spec, 0, start)
    pace = Pace(effort.task_steps, 3e-4, 3e-3)
    judged = [material.judged_of(own) for own in (A, B)]
    seen = [inputs_of(spec, material.pixels[own], 0) for own in judged]
    found = []
    for task in (A, B):
        rows = material.first(per_class, task)
        train_on(network, inputs_of(spec, material.pixels[rows], 0), y[rows], pace, seed=seed)
        found.append([answers(network, own) for own in seen])
    (before, _), (after, after_b) = found
    rows = material.first(per_class, A)
    x = [
        answers(network.features, own).astype(np.float16)
        for own in (inputs_of(spec, material.pixels[rows], 0), seen[0])
    ]
    own = material.features.take(rows)
    probe = choose(replace(own, x=x[0]), head="ridge", seed=seed).logits(x[1])
    a, b = judged
    learnt = Learnt(
        _score(material, a, before.argmax(1)),
        _score(material, a, after.argmax(1)),
        _score(material, b, after_b.argmax(1)),
        _score(material, a, after[:, : len(A)].argmax(1)),
    )
    return learnt, _score(material, a, probe.argmax(1))


def _score(material: Material, rows: Ints, words: Ints) -> Score:
    right = words == material.features.y[rows]
    return Score(int(right.sum()), len(right), accuracy_interval(right, material.features.groups[rows]))


def _unit(x: Floats | Halves) -> Floats:
    found = x.astype(np.float32)
    return np.asarray(found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-12))


def _shown(own: Score) -> tuple[str, str]:
    return f"{own.right} of {own.n}", draw.between(own.ci95)


def _said(own: Score) -> str:
    return f"{own.right} of {own.n}"


def _fell(before: Score, after: Score) -> draw.Html:
    change = 100 * (after.accuracy - before.accuracy)
    kind = "bad" if change < -10 else "good"
    return draw.Html(
        f'<span class="{kind}">{change:+.0f} points {"✗" if kind == "bad" else "✓"}</span>'.replace(
            ">-", ">\N{MINUS SIGN}"
        )
    )


def _called(found: Forgetting) -> str:
    n = found.called_b
    if not n:
        return "Here none of A's pictures is called one of B's classes, but that is luck and not law."
    return f"{n} of A's {found.frozen.after.n} pictures {'is' if n == 1 else 'are'} now called one of B's classes."

"""How many tokens a request will take, before a provider has counted them.

Input is bytes times a ratio, which is learned for each model, route and caller from what providers report (an
exponentially weighted mean). Short requests are mostly JSON around little text, so that nothing is learned from them
for long ones: each class of sizes has a ratio of its own. Tokenizers of single models would be exact for these, and 10
to 75 MB each. Output is what 95 of 100 requests of the model, route and caller stayed within; until there are so many,
at least what it is for the middle one of the callers. Where an answer is cut, what was delivered is its text times a
ratio of its own, learned from answers that were whole.

What a caller sends, and so what is reported of it, is its own choice: it changes the estimates of nobody else.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right as bisect
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from math import log
from typing import Final, Literal, NamedTuple

OutputReserve = Literal["learned", "requested"]

START_RATIO: Final = 0.27  # tokens per byte of JSON
WEIGHT: Final = 0.1  # of the newest report
SIZES: Final = (1024, 8192, 65_536)  # bytes at which another class begins
TEXT_SIZE: Final = 400  # bytes of an answer that count in full: in shorter ones, what is no text weighs too much
BOUNDS: Final = ((0.005, 2.0), (0.02, 2.0), (0.1, 0.5), (0.1, 0.5))
"""Between these are the ratios of each class: in short requests there may be pictures, or much that is added to them,
and long ones are text, however much of what they hold is not read."""

LOWEST_OF_TEXT: Final = 0.1
HIGHEST_OF_TEXT: Final = 2.0
OUTPUT_FLOOR: Final = 256
OUTPUT_LIMIT: Final = 8192  # what a request without a limit of its own may answer where nothing else says so
OUTPUTS_KEPT: Final = 128  # of each caller of a model and route
CALLERS_ASKED: Final = 16  # of a model and route: the latest, of whose answers the middle one counts
FEWEST_CALLERS: Final = 3  # among fewer one of them could decide
ALL_READ: Final = 200  # reports of each caller of a model and route; of those that follow one in `ONE_OF`
ONE_OF: Final = 8
PERCENT: Final = 95
MOST_SUBJECTS: Final = 10_000  # callers of models and routes: about 15 MB
MOST_ROUTES: Final = 500  # models and routes whose callers' answers are compared
MOST_TOKENS: Final = 10**9  # of one request: larger reports are taken for this


class Estimate(NamedTuple):
    """Statistics of one model and route, of all callers."""

    ratio: float  # tokens per byte, of requests of the most frequent sizes
    error: float  # mean of |estimate - reported| / reported
    reports: int
    output_p95: int


class _Subject:
    __slots__ = (
        "_nearest",
        "_p95",
        "error",
        "left_out",
        "next",
        "outputs",
        "ratios",
        "reports",
        "text_ratio",
        "texts",
        "total",
    )

    def __init__(self) -> None:
        self.ratios = [START_RATIO] * (len(SIZES) + 1)
        self.reports = [0] * (len(SIZES) + 1)
        self.total = 0  # of reports
        self.left_out = 0  # answers since the last one
        self._nearest = list(range(len(SIZES) + 1))  # for each class, the one whose ratio it has
        self.error = 0.0
        self.outputs = array("q")
        self.next = 0
        self._p95 = 0  # -1: not known, since there is another one
        self.text_ratio = START_RATIO
        self.texts = 0

    def ratio(self, size: int) -> float:
        """That of the class of this size; where nothing was reported of it, that of the nearest but the smallest."""
        own = bisect(SIZES, size)
        lowest, highest = BOUNDS[own]
        return min(max(self.ratios[self._nearest[own]], lowest), highest)

    def learn_input(self, size: int, tokens: int) -> None:
        own = bisect(SIZES, size)
        # The first reports count for more, so that a model that differs is known after a few.
        lowest, highest = BOUNDS[own]
        estimated = size * min(max(self.ratios[self._nearest[own]], lowest), highest)
        self.error += max(WEIGHT, 1 / (self.total + 1)) * (abs(estimated - tokens) / tokens - self.error)
        weight = max(WEIGHT, 1 / (self.reports[own] + 1))
        self.ratios[own] += weight * (min(max(tokens / size, lowest), highest) - self.ratios[own])
        self.reports[own] += 1
        self.total += 1
        if self.reports[own] == 1:
            self._nearest = [self._nearest_of(each) for each in range(len(self.ratios))]

    def _nearest_of(self, own: int) -> int:
        others = sorted(range(1, len(self.ratios)), key=lambda each: abs(each - own))
        return next((each for each in (own, *others) if self.reports[each]), own)

    def learn_text(self, size: int, counts: Sequence[int]) -> None:
        """Of these counts the one that is more likely: of hidden reasoning there is no text, of other there is."""
        found = min((count / size for count in counts), key=lambda ratio: abs(log(ratio / self.text_ratio)))
        self.texts += 1
        weight = max(WEIGHT, 1 / self.texts) * min(1.0, size / TEXT_SIZE)
        self.text_ratio += weight * (min(max(found, LOWEST_OF_TEXT), HIGHEST_OF_TEXT) - self.text_ratio)

    @property
    def usual(self) -> float:
        """The ratio of the class that most reports were of."""
        return self.ratios[self.reports.index(max(self.reports))]

    def learn_output(self, tokens: int) -> None:
        if len(self.outputs) < OUTPUTS_KEPT:
            self.outputs.append(tokens)
        else:
            self.outputs[self.next] = tokens
            self.next = (self.next + 1) % OUTPUTS_KEPT
        self._p95 = -1

    @property
    def p95(self) -> int:
        """The 95th percentile of the sizes of answers."""
        if self._p95 < 0:
            self._p95 = sorted(self.outputs)[(len(self.outputs) * PERCENT - 1) // 100]
        return self._p95


class Estimator:
    """Learns from every answer. All in one thread, that of the event loop."""

    def __init__(self, most: int = MOST_SUBJECTS) -> None:
        self._most = most
        self._subjects: OrderedDict[tuple[str, str, str], _Subject] = OrderedDict()  # the longest unused first
        self._latest: OrderedDict[tuple[str, str], OrderedDict[str, _Subject]] = OrderedDict()  # callers of each

    def input_tokens(self, size: int, model: str, route: str, caller: str = "") -> int:
        """Of a request of so many bytes of JSON, rounded up."""
        subject = self._subjects.get((model, route, caller))
        return -int(-size * (START_RATIO if subject is None else subject.ratio(size)) // 1)

    def text_tokens(self, size: int, model: str, route: str, caller: str = "") -> int:
        """Of so many bytes of text that were delivered, rounded up."""
        subject = self._subjects.get((model, route, caller))
        return -int(-size * (START_RATIO if subject is None else subject.text_ratio) // 1)

    def learn_text(
        self, size: int, model: str, route: str, caller: str = "", *, output_tokens: int, reasoning: int = 0
    ) -> None:
        """Learn from the reported usage of a whole answer, with so many bytes of text."""
        subject = self._subjects.get((model, route, caller))
        counts = [min(count, MOST_TOKENS) for count in (output_tokens - reasoning, output_tokens) if count > 0]
        if subject is not None and size > 0 and counts:
            subject.learn_text(size, counts)

    def output_reserve(self, model: str, route: str, limit: int | None, mode: OutputReserve, caller: str = "") -> int:
        """Tokens to hold for the answer. `limit`: the maximum of the request, or else of the profile; None: no
        limit."""
        most = OUTPUT_LIMIT if limit is None else min(limit, MOST_TOKENS)
        if mode == "requested":
            return most
        subject = self._subjects.get((model, route, caller))
        learned = 0 if subject is None else subject.p95
        if subject is None or len(subject.outputs) < OUTPUTS_KEPT:
            learned = max(learned, self._usual_output(model, route))
        return min(most, max(OUTPUT_FLOOR, learned))

    def wants(self, model: str, route: str, caller: str = "") -> bool:
        """Whether to learn from another answer: from all of the first ones, and from some of many."""
        subject = self._subjects.get((model, route, caller))
        if subject is None or subject.total < ALL_READ:
            return True
        subject.left_out = (subject.left_out + 1) % ONE_OF
        return not subject.left_out

    def learn(
        self,
        size: int,
        model: str,
        route: str,
        caller: str = "",
        *,
        input_tokens: int,
        output_tokens: int | None,
    ) -> None:
        """Learn from the reported usage of a request of so many bytes. None: its answer was incomplete."""
        key = model, route, caller
        subject = self._subjects.get(key)
        if subject is None:
            if len(self._subjects) >= self._most:
                self._subjects.popitem(last=False)
            subject = self._subjects[key] = _Subject()
        self._subjects.move_to_end(key)
        if size > 0 and input_tokens > 0:
            subject.learn_input(size, min(input_tokens, MOST_TOKENS))
        if output_tokens is not None and output_tokens >= 0:
            subject.learn_output(min(output_tokens, MOST_TOKENS))
            if (model, route) not in self._latest:
                if len(self._latest) >= MOST_ROUTES:
                    self._latest.popitem(last=False)
                self._latest[model, route] = OrderedDict()
            callers = self._latest[model, route]
            callers[caller] = subject
            callers.move_to_end(caller)
            if len(callers) > CALLERS_ASKED:
                callers.popitem(last=False)
            self._latest.move_to_end((model, route))

    def known(self) -> dict[tuple[str, str], Estimate]:
        """By model and route, the latest used last."""
        found: dict[tuple[str, str], list[_Subject]] = {}
        for (model, route, _), subject in self._subjects.items():
            of_all = found.pop((model, route), [])
            of_all.append(subject)
            found[model, route] = of_all
        return {key: _together(subjects) for key, subjects in found.items()}

    def _usual_output(self, model: str, route: str) -> int:
        """What answers to the middle one of the callers stay within; 0 where there are too few of them."""
        callers = self._latest.get((model, route))
        if callers is None or len(callers) < FEWEST_CALLERS:
            return 0
        return _middle(subject.p95 for subject in callers.values())


def _together(subjects: Sequence[_Subject]) -> Estimate:
    reports = sum(subject.total for subject in subjects)

    def mean(value: Callable[[_Subject], float]) -> float:
        return sum(value(subject) * subject.total for subject in subjects) / reports if reports else 0.0

    ratio = mean(lambda subject: subject.usual) if reports else START_RATIO
    return Estimate(ratio, mean(lambda subject: subject.error), reports, _middle(each.p95 for each in subjects))


def _middle(values: Iterable[int]) -> int:
    ordered = sorted(values)
    return ordered[(len(ordered) - 1) // 2]

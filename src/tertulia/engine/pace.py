"""How much a pass may do, so that those who are being answered wait little for it."""

from tertulia.engine.batch import BLOCK
from tertulia.engine.scheduler import Pass

IDLE = 0.05
"""Seconds of other work at a time while nobody is answered."""


class Pace:
    """How many prompt tokens a pass may read beside running answers, so that none of them stutters.

    Learns from each pass's duration what a pass of answers alone takes and what each prompt token adds, and allows as
    many as keep a mixed pass under ``stretch`` times the quiet one. Where several short prompts wait, and half as many
    as there are answers, it allows all it may: in such a burst most gain by it, and it is soon over. Passes that
    something else held up teach it little.
    """

    def __init__(self, most: int = 512, stretch: float = 4.0) -> None:
        self.most = most
        self._stretch = stretch
        self._quiet: dict[int, float] = {}
        self._token = 0.001

    def budget(self, answering: int, beginning: int) -> int:
        """Prompt tokens for the next pass, a multiple of the block."""
        if not answering or 2 * beginning > max(answering, 2):
            return self.most
        allowed = (self._stretch - 1) * self._alone(answering) / self._token
        return int(min(max(allowed // BLOCK, 1) * BLOCK, self.most))

    def spare(self, answering: int) -> float:
        """Seconds for which other work may hold up so many answers; with none of them, whoever comes next."""
        return (self._stretch / 2) * self._alone(answering) if answering else IDLE

    def learn(self, done: Pass, seconds: float) -> None:
        read, answers = done.prefilled, done.answers
        alone = self._alone(answers) if answers else 0.0
        if read:
            self._token += 0.3 * (max(seconds - alone, 1e-6) / read - self._token)
        else:
            size = answers.bit_length()
            known = self._quiet.get(size, seconds)
            self._quiet[size] = known + min(0.1 * (seconds - known), 0.003 * known)

    def _alone(self, answering: int) -> float:
        """Seconds that a pass of so many answers takes, as far as known: from passes of about as many."""
        size = answering.bit_length()
        if size in self._quiet:
            return self._quiet[size]
        near = min(self._quiet, key=lambda known: abs(known - size), default=None)
        return 0.02 if near is None else self._quiet[near]

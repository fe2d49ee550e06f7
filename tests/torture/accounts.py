"""The accounting: whether what became of each call goes with how often it ran.

A call is judged once its outcome is old; then it is forgotten, so that a run of hours needs
no more memory than one of minutes.  If it runs later all the same, it is a call that
nobody has made.
"""

from collections import Counter, deque
from math import inf

from journal import BEGAN, ENDED, MADE, OUTCOME, VIOLATION, maker

__all__ = ['Accounts']

# Outcomes after which a call has run exactly once, and how its function has ended.
ONCE = {'result': 'returned', 'raised': 'raised', 'ran': 'returned'}
# Outcomes that promise that it did not run, and never will.
NEVER = {
    'LocalProtocolError',
    'MessageTooLargeError',
    'NotSentError',
    'NotSentTimeoutError',
    'OverloadedError',
    'SerializationError',
    'ServiceNotFoundError',
    'UnauthorizedError',
    'UsageError',
}
# Outcomes after which it has run once or not at all.
PERHAPS = {'PeerLostError', 'TimeoutError', 'cancelled', 'rubbish'}

# Outcomes are old after so many milliseconds: what may run has run by then.
OLD = 120_000


class Call:
    """What is known of a call.

    Attributes:
        made: how often who made it says so.
        due: when its timeout is over, in milliseconds.
        outcomes: what it ended with.
        ran: the processes that ran it, once for each time.
        ended: how these runs ended.
        last: when its last line was written.
        lines: all of them, for people.
    """

    __slots__ = ('due', 'ended', 'last', 'lines', 'made', 'outcomes', 'ran', 'wrong')

    def __init__(self):
        self.made = 0
        self.due = inf
        self.outcomes = []
        self.ran = []
        self.ended = []
        self.wrong = []
        self.last = 0
        self.lines = []


class Accounts:
    """Takes in lines of journals, and judges.

    Attributes:
        made: how many calls were made, by function.
        outcomes: how many ended how.
        runs: how many functions began to run.
        late: how many ended how long after their timeouts.
        cut_short: calls without outcome, as who made them was killed.
        findings: texts about what must not be.
    """

    def __init__(self):
        self.calls = {}
        self.queue = deque()  # ids in the order of their first lines
        self.dead = set()
        self.made = Counter()
        self.outcomes = Counter()
        self.runs = 0
        self.late = Counter()
        self.cut_short = 0
        self.findings = []

    def add(self, process, line):
        """Take in one line."""
        what, when, call_id, text = line
        call = self.calls.get(call_id)
        if call is None:
            call = self.calls[call_id] = Call()
            self.queue.append(call_id)
        call.last = max(call.last, int(when))
        call.lines.append((int(when), process, f'{what} {text}'))
        if what == MADE:
            call.made += 1
            *_, function, timeout = text.split()
            self.made[function] += 1
            if timeout != 'None':
                call.due = int(when) + float(timeout) * 1000
        elif what == OUTCOME:
            call.outcomes.append(text)
            self.outcomes[text] += 1
            self.late[_span(int(when) - call.due)] += 1
        elif what == BEGAN:
            call.ran.append(process)
            self.runs += 1
        elif what == ENDED:
            call.ended.append(text)
        elif what == VIOLATION:
            call.wrong.append(text)

    def killed(self, process):
        """A process was killed: what it would have written is missing."""
        self.dead.add(process)

    def settle(self, now):
        """Judge and forget the calls whose last line is older than `OLD`."""
        for _ in range(len(self.queue)):
            call_id = self.queue[0]
            call = self.calls[call_id]
            if call.last > now - OLD:
                break  # those behind it are younger, or can wait
            self.queue.popleft()
            if call.outcomes or not call.made or maker(call_id) in self.dead:
                self._judge(call_id, self.calls.pop(call_id))
            else:
                self.queue.append(call_id)  # under way

    def close(self):
        """Judge all that is left: everything has ended."""
        while self.queue:
            call_id = self.queue.popleft()
            self._judge(call_id, self.calls.pop(call_id))

    def _judge(self, call_id, call):
        wrong = [*call.wrong, *self._wrong(call_id, call)]
        if not call.outcomes:
            self.cut_short += 1
        if wrong:
            self.findings.append(_history(call_id, call, wrong))

    def _wrong(self, call_id, call):
        """Yield what is wrong with a call."""
        killed = maker(call_id) in self.dead
        if call.made != 1:
            yield f'made {call.made} times'
        if len(call.outcomes) != 1 and not (killed and not call.outcomes):
            yield f'it has {len(call.outcomes)} outcomes'
        if len(call.ran) > 1:
            yield f'it ran {len(call.ran)} times'
        for outcome in call.outcomes:
            if outcome in ONCE:
                if len(call.ran) != 1 or call.ended != [ONCE[outcome]]:
                    yield f'{outcome}, but it ran {_runs(call)}'
            elif outcome in NEVER:
                if call.ran:
                    yield f'{outcome}, but it ran {_runs(call)}'
            elif outcome not in PERHAPS:
                yield f'{outcome} is no outcome'
        if len(call.ended) != len(call.ran) and self.dead.isdisjoint(call.ran):
            yield f'{len(call.ran)} runs, of which {len(call.ended)} ended'


def _span(milliseconds):
    """For a table."""
    for most in (0, 100, 1000, 5000, 20000):
        if milliseconds <= most:
            return f'up to {most / 1000:g} s late' if most else 'in time'
    return 'more than 20 s late'


def _runs(call):
    return f'{len(call.ran)} times ({", ".join(call.ended) or "no end"})'


def _history(call_id, call, wrong):
    lines = [f'call {call_id}: {"; ".join(wrong)}']
    for when, process, text in sorted(call.lines):
        lines.append(f'    {when / 1000:9.3f} s  {process:8} {text}')
    return '\n'.join(lines)

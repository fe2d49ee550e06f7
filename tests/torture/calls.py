"""Making calls: each with an id, an entry when it is made and one for what became of it."""

from config import STRANGER
from functions import TOO_LARGE
from journal import OUTCOME

from pseud import errors

__all__ = ['Calls', 'outcome_of', 'plan']

OURS = {getattr(errors, name) for name in errors.__all__ if name[0].isupper()}


class Calls:
    """The calls that one client or server makes.

    Args:
        process: where that is.
        me: the user id, or the service.
        service: whom clients call.
    """

    def __init__(self, process, me, service):
        self.driver = process.driver
        self.journal = process.journal
        self.rng = process.rng
        self.me = me
        self.service = service
        self.tasks = set()

    def spawn(self, generator):
        """Run one that nobody waits for; `unsettled` knows of it."""
        self.tasks = {task for task in self.tasks if not task.done()}
        self.tasks.add(self.driver.spawn(generator))

    def unsettled(self):
        """What is not over yet, as texts."""
        self.tasks = {task for task in self.tasks if not task.done()}
        left = len(self.tasks)
        return [f'{self.me} still makes {left} calls'] if left else []

    def call(
        self, caller, function, to, *args, expected=None, timeout=5.0, cancel_after=None
    ):
        """``yield from`` this: make a call; returns its outcome as `accounts` knows it.

        Args:
            caller: whose functions are called.
            function: name.
            to: user id or service that it is for.
            args: of the function, beside id, caller and `to`.
            expected: what it returns if it returns.
            timeout: seconds, or None.
            cancel_after: seconds, or None.
        """
        call_id = self.journal.new_id()
        self.journal.made(call_id, self.me, to, function, timeout)
        caller = caller.with_options(timeout=timeout)
        try:
            result = caller.call(function, call_id, self.me, to, *args)
        except errors.PseudError as error:  # the client was stopped
            return self._ended(call_id, outcome_of(error, call_id))
        if cancel_after is not None:
            self.spawn(self._cancel(result, cancel_after))
        try:
            value = yield result
        except (self.driver.cancelled, self.driver.result_cancelled):
            self._ended(call_id, 'cancelled')
            if (
                cancel_after is None
            ):  # it was not we who did: the handler that calls ends
                raise
            return 'cancelled'
        except Exception as error:
            outcome = outcome_of(error, call_id)
        else:
            outcome = outcome_of_value(value, call_id, to, expected)
        if to == STRANGER and ' ' in outcome:  # who may say anything
            outcome = 'rubbish'
        return self._ended(call_id, outcome)

    def hail(self, caller, to):
        """``yield from`` this: many calls in a row, soon due: they may fill a pipe."""
        value = self.rng.randbytes(self.rng.choice((10, 10_000)))
        timeout = self.rng.uniform(0.05, 1)
        for _ in range(self.rng.randrange(60)):
            call = self.call(caller, 'echo', to, value, expected=value, timeout=timeout)
            self.spawn(call)
            yield self.driver.sleep(self.rng.choice((0.001, 0.01, 0.03)))

    def each(self, server, users, value, timeout):
        """``yield from`` this: call many clients at once."""
        call_id = self.journal.new_id()
        ids = {user: f'{call_id}/{user}' for user in users}
        for user in users:
            self.journal.made(ids[user], self.me, user, 'each', timeout)
        caller = server.with_options(timeout=timeout).send_to_many(users)
        outcomes = yield caller.each(call_id, self.me, None, value)
        for user, what in outcomes.items():
            if isinstance(what, Exception):
                outcome = outcome_of(what, ids[user])
            else:
                outcome = outcome_of_value(what, call_id, user, value)
            self._ended(ids[user], outcome)

    def _cancel(self, result, seconds):
        yield self.driver.sleep(seconds)
        result.cancel()

    def _ended(self, call_id, outcome):
        self.journal.write(OUTCOME, call_id, outcome)
        return outcome


def outcome_of(error, call_id):
    """The outcome that an exception is."""
    if type(error) in OURS:
        return 'ran' if ' ran, but ' in str(error) else type(error).__name__
    if str(error) == call_id:
        return 'raised'
    return f'the error {error!r:.300}'


def outcome_of_value(value, call_id, to, expected):
    """The outcome 'result', or what is wrong with what was returned."""
    if value == (call_id, to, expected):
        return 'result'
    return f'the result {value!r:.200}'


# ---------------------------------------------------------------- what is called


def plan(rng):
    """A call by chance: function, arguments, and how; see `Calls.call`."""
    make = rng.choices(list(KINDS), KINDS.values())[0]
    return make(rng)


def echo(rng):
    value = (rng.getrandbits(60), 'a' * rng.randrange(200), (None, 1.5), {'k': b'v'})
    return 'echo', (value,), {'expected': value}


def patient_echo(rng):
    """Without a timeout: what ends it is the answer, or the loss of the peer."""
    return 'echo', (1,), {'expected': 1, 'timeout': None}


def large(rng):
    """Some of its buffers are frames of their own."""
    sizes = [rng.choice((1000, 70_000, 300_000)) for _ in range(rng.randrange(1, 4))]
    if rng.random() < 0.05:
        sizes = [3_000_000]
    value = tuple(rng.randbytes(1) * size for size in sizes)
    return 'echo', (value,), {'expected': value}


def nap(rng):
    return 'nap', (rng.uniform(0, 0.3),), {}


def overdue(rng):
    return 'nap', (rng.uniform(0.05, 1),), {'timeout': rng.uniform(0.001, 0.2)}


def given_up(rng):
    """Cancelled while it is sent, while it runs or when it has ended."""
    seconds = rng.choice((0, 0.001, 0.01, 0.1, 0.3))
    return 'nap', (0.2,), {'cancel_after': seconds}


def failing(rng):
    return 'fail', (rng.random() < 0.5,), {}


def nested(rng):
    depth = rng.randrange(1, 4)
    return 'nest', (depth,), {'expected': depth}


def busy(rng):
    return 'spin', (rng.uniform(0, 0.2),), {}


def odd_result(rng):
    return 'odd', (), {}


def odd_argument(rng):
    return 'echo', (object(),), {}


def large_result(rng):
    return 'swell', (), {}


def large_argument(rng):
    return 'echo', (bytes(TOO_LARGE),), {}


def forbidden(rng):
    return 'forbidden', (1,), {}


def missing(rng):
    return 'missing', (1,), {}


KINDS = {
    echo: 100,
    patient_echo: 5,
    large: 6,
    nap: 40,
    overdue: 10,
    given_up: 10,
    failing: 10,
    nested: 20,
    busy: 0.5,
    odd_result: 2,
    odd_argument: 2,
    large_result: 0.3,
    large_argument: 1,
    forbidden: 2,
    missing: 2,
}

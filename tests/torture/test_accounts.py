"""The accounting notices each lie, and nothing else; and forgets in time."""

import pytest
from accounts import OLD, Accounts
from journal import LINES, Journal, Reader

MADE = 'M 10 c1.0-1 u1 > plain nap 5.0'
BEGAN, AGAIN = 'B 20 c1.0-1 ', 'B 21 c1.0-1 '
RETURNED, RAISED, CANCELLED = (
    f'E 30 c1.0-1 {how}' for how in ('returned', 'raised', 'cancelled')
)


def outcome(text, when=40):
    return f'O {when} c1.0-1 {text}'


def accounts_of(*lines, killed=()):
    """The accounts after these lines; those of calls are of c1.0, of runs of s0.0."""
    accounts = Accounts()
    for line in lines:
        process = 'c1.0' if line[0] in 'MO' else 's0.0'
        accounts.add(process, line.split(' ', 3))
    for process in killed:
        accounts.killed(process)
    return accounts


def found(*lines, killed=()):
    """What is wrong, as the first line about it says."""
    accounts = accounts_of(*lines, killed=killed)
    accounts.close()
    return [text.splitlines()[0] for text in accounts.findings]


@pytest.mark.parametrize(
    'lines',
    [
        (MADE, BEGAN, RETURNED, outcome('result')),
        (BEGAN, RETURNED, MADE, outcome('result')),  # read in another order
        (MADE, BEGAN, RAISED, outcome('raised')),
        (MADE, BEGAN, RETURNED, outcome('ran')),
        (MADE, outcome('NotSentError')),
        (MADE, outcome('OverloadedError')),
        (MADE, outcome('UnauthorizedError')),
        (MADE, outcome('PeerLostError')),
        (MADE, BEGAN, RETURNED, outcome('PeerLostError')),
        (MADE, BEGAN, CANCELLED, outcome('TimeoutError')),
        (MADE, BEGAN, RAISED, outcome('cancelled')),
    ],
)
def test_what_may_be(lines):
    assert found(*lines) == []


@pytest.mark.parametrize(
    ('lines', 'wrong'),
    [
        ((MADE,), '0 outcomes'),
        ((MADE, BEGAN, RETURNED), '0 outcomes'),
        ((MADE, BEGAN, RETURNED, *[outcome('result')] * 2), '2 outcomes'),
        ((MADE, *[outcome('PeerLostError')] * 2), '2 outcomes'),
        ((MADE, outcome('result')), 'result, but it ran 0 times'),
        ((MADE, BEGAN, outcome('result')), 'result, but it ran 1 times (no end)'),
        (
            (MADE, BEGAN, RAISED, outcome('result')),
            'result, but it ran 1 times (raised)',
        ),
        ((MADE, BEGAN, RETURNED, outcome('raised')), 'raised, but'),
        ((MADE, outcome('ran')), 'ran, but it ran 0 times'),
        ((MADE, BEGAN, RETURNED, outcome('NotSentError')), 'NotSentError, but'),
        ((MADE, BEGAN, RETURNED, outcome('OverloadedError')), 'OverloadedError, but'),
        ((MADE, BEGAN, CANCELLED, outcome('NotSentTimeoutError')), 'but it ran'),
        ((MADE, BEGAN, RETURNED, outcome('UnauthorizedError')), 'but it ran'),
        ((MADE, BEGAN, RETURNED, outcome('ServiceNotFoundError')), 'but it ran'),
        ((MADE, BEGAN, RETURNED, AGAIN, RETURNED, outcome('cancelled')), 'ran 2 times'),
        ((MADE, BEGAN, outcome('PeerLostError')), '1 runs, of which 0 ended'),
        ((MADE, outcome("the result ['x']")), 'is no outcome'),
        ((MADE, outcome('KeyError')), 'is no outcome'),
        ((MADE, MADE, outcome('NotSentError')), 'made 2 times'),
        ((BEGAN, RETURNED), 'made 0 times'),
        ((MADE, 'V 20 c1.0-1 it was bob', outcome('PeerLostError')), 'it was bob'),
    ],
)
def test_what_must_not_be(lines, wrong):
    (text,) = found(*lines)
    assert wrong in text


def test_what_was_killed_may_be_unfinished():
    assert found(MADE, BEGAN, RETURNED, killed=['c1.0']) == []
    assert found(MADE, BEGAN, outcome('PeerLostError'), killed=['s0.0']) == []
    accounts = accounts_of(MADE, killed=['c1.0'])
    accounts.close()
    assert accounts.cut_short == 1


@pytest.mark.parametrize(
    'lines',
    [
        (MADE,),  # who made it lives
        (MADE, outcome('result')),  # or had heard of the end
        (MADE, BEGAN, RETURNED, AGAIN, RETURNED, outcome('PeerLostError')),
    ],
)
def test_what_was_killed_excuses_nothing_else(lines):
    assert len(found(*lines, killed=['s0.0'])) == 1


def test_old_calls_are_forgotten():
    """What runs afterwards is a call that nobody made."""
    accounts = accounts_of(MADE, BEGAN, RETURNED, outcome('result'))
    accounts.settle(OLD + 39)
    assert len(accounts.calls) == 1
    accounts.settle(OLD + 41)
    assert not accounts.calls
    assert not accounts.findings
    accounts.add('s0.0', BEGAN.split(' ', 3))
    accounts.close()
    (text,) = accounts.findings
    assert 'made 0 times' in text


def test_calls_under_way_are_not_forgotten():
    accounts = accounts_of(MADE, BEGAN)
    for _ in range(3):
        accounts.settle(9 * OLD)
    assert len(accounts.calls) == 1
    accounts.killed('c1.0')
    accounts.settle(9 * OLD)
    assert not accounts.calls


def test_how_late_calls_end():
    accounts = accounts_of(MADE, outcome('TimeoutError', 5011), outcome('x', 4900))
    assert accounts.late == {'up to 0.1 s late': 1, 'in time': 1}


def test_the_history_is_told():
    accounts = accounts_of(MADE, outcome('result'))
    accounts.close()
    first, *history = accounts.findings[0].splitlines()
    assert first == 'call c1.0-1: result, but it ran 0 times (no end)'
    assert [line.split() for line in history] == [
        ['0.010', 's', 'c1.0', 'M', 'u1', '>', 'plain', 'nap', '5.0'],
        ['0.040', 's', 'c1.0', 'O', 'result'],
    ]


def test_journals_are_read_once_and_deleted(tmp_path):
    journal, reader = Journal(tmp_path, 'c1.0', 0), Reader(tmp_path)
    assert list(reader.read()) == []
    for number in range(LINES + 3):
        journal.write('B', f'c1.0-{number}', 'in\ntwo lines')
    lines = list(reader.read())
    assert [line[2] for _, line in lines] == [f'c1.0-{n}' for n in range(LINES + 3)]
    assert {process for process, _ in lines} == {'c1.0'}
    assert {line[3] for _, line in lines} == {'in two lines'}
    assert [path.name for path in tmp_path.iterdir()] == ['c1.0,1']
    journal.write('E', 'c1.0-1')
    assert [line[0] for _, line in reader.read()] == ['E']


def test_half_a_line_is_read_later(tmp_path):
    path, reader = tmp_path / 'c1.0,0', Reader(tmp_path)
    path.write_bytes(b'B 1 c1.0-1 \nB 2 c1')
    assert [line[1] for _, line in reader.read()] == ['1']
    with path.open('ab') as file:
        file.write(b'.0-2 \n')
    assert [line[1:3] for _, line in reader.read()] == [['2', 'c1.0-2']]

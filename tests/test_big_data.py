"""Much data, in programs of their own: what it does to their memory."""

import os

import pytest
from service import BACKENDS, Service

import pseud

MIB = 1 << 20
SIZE = 16 * MIB
ALLOWED = 4 * SIZE  # of growth, where 56 such calls would make it 896 MiB

pytestmark = pytest.mark.skipif(
    not os.path.exists('/proc/self/statm'), reason='reads the memory in use from /proc'
)


def in_use(pid):
    with open(f'/proc/{pid}/statm') as file:
        return int(file.read().split()[1]) * os.sysconf('SC_PAGE_SIZE')


@pytest.mark.parametrize('backend', BACKENDS)
def test_a_gibibyte_leaves_nothing_behind(backend):
    pytest.importorskip(backend)
    service = Service(backend)
    data = os.urandom(SIZE)
    with pseud.SyncClient('service', timeout=60) as client:
        client.connect(service.address)
        pids = os.getpid(), client.pid()
        for _ in range(8):
            assert client.same(data) == data
        before = [in_use(pid) for pid in pids]
        for _ in range(56):
            client.same(data)
        after = [in_use(pid) for pid in pids]
    service.close()
    for was, became in zip(before, after, strict=True):
        assert became - was < ALLOWED

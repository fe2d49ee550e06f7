"""A short torture run on each backend; `make torture` is for longer ones."""

import pathlib
import sys

import pytest
from programs import Program

RUN = pathlib.Path(__file__).parent / 'torture' / 'run.py'

pytestmark = pytest.mark.skipif(
    sys.platform != 'linux', reason='what a process has is counted in /proc'
)


@pytest.mark.timeout(300)  # all of its processes share the processor with other tests
@pytest.mark.parametrize('backend', ['tornado', 'gevent'])
def test_a_short_torture(backend):
    pytest.importorskip(backend)
    run = Program([str(RUN), '--backend', backend, '--size', 'small', '--seconds', '4'])
    try:
        status = run.process.wait(280)
    finally:
        run.close()
    said = '\n'.join(run.rest())
    assert status == 0, f'{said}\n{run.stderr}'
    assert 'clean: every call accounted for' in said

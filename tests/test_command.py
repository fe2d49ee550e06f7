"""``python -m pseud``, as processes of its own."""

import os
import pathlib
import pty
import re
import select
import shlex
import stat
import subprocess
import sys

import pytest
import zmq.auth
from backends import PATIENCE

import pseud
from pseud import SyncClient, UnauthorizedError
from pseud.keys import KeyDirectory
from pseud.passwords import PasswordFile

ROOT = pathlib.Path(__file__).parent.parent
COMMAND = [sys.executable, '-m', 'pseud']


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """Run in a directory of its own, and find this pseud from there."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv('PYTHONPATH', str(ROOT))
    return tmp_path


def run(*arguments, stdin='', umask=0o022, traceback=False, warnings='error'):
    """The process that has ended."""
    if isinstance(stdin, str):
        stdin = stdin.encode()
    done = subprocess.run(
        [*COMMAND, *arguments],
        env={**os.environ, 'PYTHONWARNINGS': warnings},
        input=stdin,
        capture_output=True,
        timeout=PATIENCE,
        umask=umask,
        check=False,
    )
    done.stdout, done.stderr = done.stdout.decode(), done.stderr.decode()
    assert traceback or 'Traceback' not in done.stderr
    return done


def good(*arguments, **how):
    """What it prints."""
    done = run(*arguments, **how)
    assert (done.returncode, done.stderr) == (0, '')
    return done.stdout


def bad(*arguments, status=1, **how):
    """The one line of its error."""
    done = run(*arguments, **how)
    assert (done.returncode, done.stdout) == (status, '')
    (line,) = done.stderr.splitlines()
    assert line.startswith('python -m pseud')
    return line


# ---------------------------------------------------------------- in general


def test_help():
    for arguments in ([], ['--help']):
        text = good(*arguments)
        for command in ('keygen', 'passwd', 'ping', 'call'):
            assert f'\n    {command}  ' in text
    assert '--remove' in good('passwd', '--help')


def test_version():
    assert good('--version') == f'pseud {pseud.__version__}\n'


@pytest.mark.parametrize(
    'arguments',
    [
        ['frob'],
        ['--frob'],
        ['keygen'],
        ['passwd', 'users'],
        ['passwd', 'a', 'b', 'c'],
        ['ping'],
        ['ping', 'a', 'b'],
        ['ping', 'a', '--timeout', '0'],
        ['ping', 'a', '--timeout', 'nan'],
        ['ping', 'a', '--key', 'a.key_secret'],
        ['ping', 'a', '--server-key', 'a.key'],
        ['ping', 'a', '--password-file', '-'],
        ['call', 'a'],
        ['call', 'a', 'f', '--kwarg', 'name'],
        ['call', 'a', 'f', '--kwarg', '=1'],
    ],
)
def test_wrong_usage(arguments):
    assert '--help' in bad(*arguments, status=2)
    assert not os.listdir()


WITHOUT_LOOPS = """
    import runpy
    sys.modules.update(tornado=None, gevent=None)
    sys.argv = ['pseud', *ARGUMENTS]
    try:
        runpy.run_module('pseud', run_name='__main__', alter_sys=True)
    except SystemExit as end:
        say(end.code)
"""


def test_it_loads_no_event_loop(program):
    """Nor does it need one: neither can be imported here."""
    source = WITHOUT_LOOPS.replace('ARGUMENTS', "['keygen', 'alice']")
    assert program(source).rest()[-1] == '0'
    assert sorted(os.listdir()) == ['alice.key', 'alice.key_secret']


# ---------------------------------------------------------------- keygen


@pytest.mark.parametrize('umask', [0, 0o022])
def test_keygen(here, umask):
    (here / 'clients').mkdir()
    text = good('keygen', 'alice', '--directory', 'clients', umask=umask)
    public, secret = (
        here / 'clients' / 'alice.key',
        here / 'clients' / 'alice.key_secret',
    )
    key, secret_key = zmq.auth.load_certificate(secret)
    assert key.decode() in text
    assert secret_key.decode() not in text
    assert f'{os.path.relpath(public)}\n' in text
    assert f'{os.path.relpath(secret)}\n' in text
    assert len(text.splitlines()) == 5
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    assert KeyDirectory('clients').user_of(key) == 'alice'


def test_keygen_overwrites_nothing():
    good('keygen', 'alice')
    before = pathlib.Path('alice.key_secret').read_bytes()
    assert 'alice.key_secret: ' in bad('keygen', 'alice')
    assert pathlib.Path('alice.key_secret').read_bytes() == before


def test_keygen_that_can_not():
    assert 'nowhere' in bad('keygen', 'alice', '--directory', 'nowhere')
    assert 'leave out' in bad('keygen', 'a/b')
    bad('keygen', 'a\nb')
    assert not os.listdir()


# ---------------------------------------------------------------- passwd


@pytest.mark.parametrize('end', ['', '\n', '\r\n', '\nnext line\n'])
def test_passwd_from_a_pipe(end):
    assert good('passwd', 'users', 'alice', stdin=f' wön:der land {end}', umask=0) == ''
    assert stat.S_IMODE(os.stat('users').st_mode) == 0o600
    assert PasswordFile('users').check('alice', ' wön:der land ')
    assert not PasswordFile('users').check('alice', 'wön:der land')


def test_passwd_remove():
    good('passwd', 'users', 'alice', stdin='wonderland')
    good('passwd', 'users', 'bob', stdin='builder')
    good('passwd', '--remove', 'users', 'alice')
    users = PasswordFile('users')
    assert users.entry('alice') is None
    assert users.check('bob', 'builder')
    assert "no user 'alice'" in bad('passwd', '--remove', 'users', 'alice')
    assert 'others' in bad('passwd', '--remove', 'others', 'alice')
    assert os.listdir() == ['users']


@pytest.mark.parametrize('stdin', ['', '\n', 'x' * 256, b'secret\xff\n', b'sec\0ret'])
def test_no_passwords(stdin):
    assert 'secret' not in bad('passwd', 'users', 'alice', stdin=stdin)
    assert not os.listdir()


def test_passwd_that_can_not():
    assert 'user id' in bad('passwd', 'users', 'a:b', stdin='secret')
    assert 'nowhere: ' in bad('passwd', 'nowhere/users', 'alice', stdin='secret')
    pathlib.Path('users').write_text('# staff\nalice:secret\n')
    line = bad('passwd', 'users', 'alice', stdin='secret')
    assert 'line 2' in line
    assert 'secret' not in line
    assert pathlib.Path('users').read_text() == '# staff\nalice:secret\n'


class Terminal:
    """A command at a terminal; `seen` is all that the terminal shows."""

    def __init__(self, *arguments):
        self.end, slave = pty.openpty()
        self.seen = ''
        self.process = subprocess.Popen(
            [*COMMAND, *arguments],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            # no terminal of ours may answer
            start_new_session=True,
        )
        os.close(slave)

    def read(self):
        ready, _, _ = select.select([self.end], [], [], PATIENCE)
        assert ready, f'in vain after {self.seen!r}'
        try:
            data = os.read(self.end, 4096)
        except OSError:  # EIO: nobody has it open any more
            data = b''
        self.seen += data.decode()
        return data

    def answer(self, question, words):
        before = len(self.seen)
        while question not in self.seen[before:]:
            assert self.read(), f'ended: {self.seen}'
        os.write(self.end, words)

    def wait(self):
        while self.read():
            pass
        return self.process.wait(PATIENCE)

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.end)


@pytest.fixture
def terminal():
    """Starts ``passwd users alice``, or what is said, at a terminal of its own."""
    made = []

    def start(*arguments):
        made.append(Terminal(*(arguments or ('passwd', 'users', 'alice'))))
        return made[-1]

    yield start
    for each in made:
        each.close()


def test_passwd_asks_twice(terminal):
    passwd = terminal()
    passwd.answer('Password: ', b'wonderland\n')
    passwd.answer('Once more: ', b'wonderland\n')
    assert passwd.wait() == 0
    assert PasswordFile('users').check('alice', 'wonderland')
    assert 'wonderland' not in passwd.seen


def test_passwd_with_a_slip(terminal):
    passwd = terminal()
    passwd.answer('Password: ', b'wonderland\n')
    passwd.answer('Once more: ', b'wonderlnad\n')
    assert passwd.wait() == 1
    assert 'nothing was changed' in passwd.seen
    assert 'wonder' not in passwd.seen
    assert not os.listdir()


def test_passwd_without_an_answer(terminal):
    passwd = terminal()
    passwd.answer('Password: ', b'\4')  # Ctrl-D
    assert passwd.wait() == 1
    assert 'no password was given' in passwd.seen
    assert 'Traceback' not in passwd.seen
    assert not os.listdir()


def test_passwd_interrupted(terminal):
    passwd = terminal()
    passwd.answer('Password: ', b'')
    passwd.process.send_signal(2)
    assert passwd.wait() == 1
    assert 'nothing was changed' in passwd.seen
    assert 'Traceback' not in passwd.seen


# ---------------------------------------------------------------- together


SERVER = """
    from pseud import Server

    server = Server('service', security_plugin='plain', passwords='users')
    server.register_rpc(lambda user_id: user_id, name='whoami', with_identity=True)
    say(server.bind('tcp://127.0.0.1:*'))
    server.serve_forever()
"""


@pytest.mark.parametrize(
    ('requires', 'no_tornado'), [('tornado', None), ('gevent', '1')]
)
def test_a_new_password_counts(program, requires, no_tornado):
    pytest.importorskip(requires)
    good('passwd', 'users', 'alice', stdin='wonderland')
    address = program(SERVER, env={'NO_TORNADO': no_tornado}).line()

    def whoami(password):
        login = {'security_plugin': 'plain', 'user_id': 'alice', 'password': password}
        with SyncClient('service', **login) as client:
            client.connect(address)
            return client.whoami()

    assert whoami('wonderland') == 'alice'
    with pytest.raises(UnauthorizedError):
        whoami('looking-glass')
    good('passwd', 'users', 'alice', stdin='looking-glass')
    assert whoami('looking-glass') == 'alice'
    with pytest.raises(UnauthorizedError):
        whoami('wonderland')
    good('passwd', '--remove', 'users', 'alice')
    with pytest.raises(UnauthorizedError):
        whoami('looking-glass')


def test_the_documented_commands():
    """howto/keys"""
    page = (ROOT / 'docs' / 'howto' / 'keys.rst').read_text()
    lines = re.findall(r'^   \$ python -m pseud (.*)$', page, re.MULTILINE)
    assert len(lines) == 5
    for line in lines:
        good(*shlex.split(line), stdin='secret\n')
    names = {
        f'{name}{end}'
        for name in ('service', 'alice')
        for end in ('.key', '.key_secret')
    }
    assert set(os.listdir()) == {'users.txt', *names}
    assert PasswordFile('users.txt').check('alice', 'secret')
    assert PasswordFile('users.txt').entry('bob') is None

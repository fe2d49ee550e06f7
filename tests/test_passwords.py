"""Files of hashed passwords: written, checked, changed while servers read them."""

import contextlib
import hashlib
import os
import stat
import threading

import pytest
from backends import scenario

from pseud import UnauthorizedError, passwords
from pseud.passwords import PasswordFile, remove_user, set_password

nobody = passwords._nobody


@pytest.fixture
def cheap(monkeypatch):
    """New passwords are hashed in no time."""
    monkeypatch.setattr(passwords, '_nobody', lambda *_: nobody(16, 1, 1))


@pytest.fixture
def path(tmp_path, cheap):
    """A file with alice's and bob's passwords."""
    path = tmp_path / 'users'
    set_password(path, 'alice', 'wonderland')
    set_password(path, 'bob', 'builder')
    return path


def line_of(user_id, password, *, n=16, r=1, p=1, salt=b'saltsalt', size=32):
    key = hashlib.scrypt(password.encode(), salt=salt, n=n, r=r, p=p, dklen=size)
    return f'{user_id}:scrypt:{n}:{r}:{p}:{salt.hex()}:{key.hex()}\n'


def mode(path):
    return stat.S_IMODE(os.stat(path).st_mode)


# ---------------------------------------------------------------- writing


def test_what_is_written(tmp_path):
    path = tmp_path / 'users'
    set_password(path, 'alice', 'wonderland')
    (line,) = path.read_text().splitlines()
    user_id, name, n, r, p, salt, key = line.split(':')
    assert (user_id, name, n, r, p) == ('alice', 'scrypt', '16384', '8', '1')
    salt = bytes.fromhex(salt)
    assert len(salt) == 16
    expected = hashlib.scrypt(b'wonderland', salt=salt, n=2**14, r=8, p=1, dklen=32)
    assert bytes.fromhex(key) == expected
    users = PasswordFile(path)
    assert users.check('alice', 'wonderland')
    assert not users.check('alice', 'Wonderland')
    assert not users.check('bob', 'wonderland')


def test_salt_differs(path):
    set_password(path, 'bob', 'wonderland')
    alice, bob = path.read_text().splitlines()
    assert alice.split(':')[5:] != bob.split(':')[5:]


@pytest.mark.parametrize('umask', [0, 0o022, 0o077])
def test_a_new_file_is_for_its_owner(tmp_path, cheap, umask):
    before = os.umask(umask)
    try:
        set_password(tmp_path / 'users', 'alice', 'wonderland')
    finally:
        os.umask(before)
    assert mode(tmp_path / 'users') == 0o600
    assert os.listdir(tmp_path) == ['users']


def test_mode_and_owner_stay(path):
    path.chmod(0o640)
    before = os.stat(path)
    set_password(path, 'alice', 'other')
    after = os.stat(path)
    assert after.st_ino != before.st_ino, 'it is replaced as a whole'
    for what in ('st_mode', 'st_uid', 'st_gid'):
        assert getattr(after, what) == getattr(before, what)


@pytest.mark.skipif(os.getuid() != 0, reason='only root gives files away')
def test_the_owner_stays(path, monkeypatch):
    os.chown(path, 12, 34)
    set_password(path, 'alice', 'other')
    assert (os.stat(path).st_uid, os.stat(path).st_gid) == (12, 34)

    def refuse(*_):
        raise PermissionError

    monkeypatch.setattr(os, 'fchown', refuse)
    before = path.read_text()
    with pytest.raises(PermissionError, match=r'as its owner.*users'):
        set_password(path, 'alice', 'third')
    assert path.read_text() == before
    assert os.listdir(path.parent) == ['users']


@pytest.mark.parametrize('end', ['\n', ''])
def test_everything_else_stays(path, end):
    alice, bob = path.read_text().splitlines()
    text = f'# staff\n\n{alice}\n  # bob: left in May\n{bob}{end}'
    path.write_text(text)
    set_password(path, 'carol', 'christmas')
    assert path.read_text().startswith(text)
    set_password(path, 'alice', 'other')
    lines = path.read_text().splitlines()
    assert lines[:2] == ['# staff', '']
    assert lines[2] != alice
    assert lines[3:5] == ['  # bob: left in May', bob]
    assert lines[5].startswith('carol:')
    remove_user(path, 'bob')
    assert path.read_text().splitlines() == lines[:4] + lines[5:]
    assert path.read_text().endswith('\n')


def test_links_stay(path):
    link = path.parent / 'link'
    link.symlink_to(path)
    set_password(link, 'alice', 'other')
    assert link.is_symlink()
    assert PasswordFile(path).check('alice', 'other')


def test_remove_whom_nobody_knows(path):
    before = path.read_text()
    with pytest.raises(LookupError, match="users has no user 'carol'"):
        remove_user(path, 'carol')
    assert path.read_text() == before
    with pytest.raises(FileNotFoundError, match='passwd makes one'):
        remove_user(path.parent / 'others', 'alice')
    assert os.listdir(path.parent) == ['users']


def test_no_directory(tmp_path):
    with pytest.raises(FileNotFoundError) as caught:
        set_password(tmp_path / 'nowhere' / 'users', 'alice', 'secret')
    assert caught.value.filename == str(tmp_path / 'nowhere')


@pytest.mark.parametrize(
    'user_id',
    ['', 'a:b', 'a\nb', 'a\0', '\x7f', '#a', ' a', 'a ', 'é' * 128, '\udcff', b'a'],
)
def test_no_user_ids(path, user_id):
    with pytest.raises(ValueError, match='user id'):
        set_password(path, user_id, 'secret')


def test_user_ids(path):
    for user_id in ('é' * 127, 'a b', 'a@b.c', '日本', 'a#'):
        set_password(path, user_id, 'pass:word#')
    users = PasswordFile(path)
    assert users.check('日本', 'pass:word#')
    assert users.check('é' * 127, 'pass:word#')


@pytest.mark.parametrize(
    'password', ['', 'x' * 256, 'é' * 128, 'sec\udcffret', 'sec\0ret']
)
def test_no_passwords(path, password):
    with pytest.raises(ValueError, match='password') as caught:
        set_password(path, 'alice', password)
    assert not password or password not in str(caught.value)
    assert 'sec' not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or not caught.value.__context__


def test_a_broken_file_is_not_written_to(path):
    path.write_text('alice:plain:secret\n')
    for change in (
        lambda: set_password(path, 'bob', 'x'),
        lambda: remove_user(path, 'a'),
    ):
        with pytest.raises(ValueError, match='users, line 1: not user:scrypt'):
            change()
    assert path.read_text() == 'alice:plain:secret\n'
    assert os.listdir(path.parent) == ['users']


def test_a_failed_write_leaves_everything(path, monkeypatch):
    def full(_):
        raise OSError('disk full')

    before = path.read_text()
    monkeypatch.setattr(os, 'fsync', full)
    with pytest.raises(OSError, match='disk full'):
        set_password(path, 'alice', 'other')
    assert path.read_text() == before
    assert os.listdir(path.parent) == ['users']


def test_no_change_is_lost_to_another(path):
    """Several programs, here threads, change it at the same time."""
    names = [f'user{number}' for number in range(20)]
    threads = [
        threading.Thread(target=set_password, args=(path, name, name)) for name in names
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    users = PasswordFile(path)
    assert all(users.check(name, name) for name in [*names[:3], names[-1]])
    assert all(users.entry(name) for name in names)


# ---------------------------------------------------------------- reading


def test_parameters_are_read_from_the_line(tmp_path):
    path = tmp_path / 'users'
    path.write_text(
        '# staff\n\n'
        + line_of('alice', 'a', n=2**10, r=4, p=3, salt=b's' * 33, size=64)
        + line_of('bob', 'b', size=16).replace('\n', '\r\n')
        + line_of('carol', 'c', n=2**15, r=1)
    )
    users = PasswordFile(path)
    for user_id in ('alice', 'bob', 'carol'):
        assert users.check(user_id, user_id[0])
        assert not users.check(user_id, 'x')


GOOD = line_of('alice', 'wonderland').strip()
FIELDS = GOOD.split(':')


def changed(**fields):
    names = ['user', 'scheme', 'n', 'r', 'p', 'salt', 'hash']
    return ':'.join(
        fields.get(name, now) for name, now in zip(names, FIELDS, strict=True)
    )


BROKEN = [
    'alice',
    'alice:secret',
    GOOD + ':',
    changed(scheme='md5'),
    changed(user=''),
    changed(user='a\x07'),
    ' ' + GOOD,
    changed(n='many'),
    changed(n='0'),
    changed(n='1'),
    changed(n='-16'),
    changed(n='17'),
    changed(n=str(2**16), r='1'),
    changed(n=str(2**21), r='8'),
    changed(n='9' * 5000),
    changed(r='0'),
    changed(p='0'),
    changed(p=str(2**20)),
    changed(salt=''),
    changed(salt='zz' * 8),
    changed(salt='aa' * 65),
    changed(hash=''),
    changed(hash='aa' * 15),
    changed(hash='aa' * 65),
]


@pytest.mark.parametrize('line', BROKEN)
def test_broken_lines(tmp_path, line):
    path = tmp_path / 'users'
    path.write_text(f'# staff\n{line}\n')
    with pytest.raises(ValueError, match=r'/users, line 2: ') as caught:
        PasswordFile(path)
    assert 'secret' not in str(caught.value).partition(', line')[2]
    assert 'aa' not in str(caught.value)


def test_a_user_twice(tmp_path):
    path = tmp_path / 'users'
    path.write_text(f'{GOOD}\n{GOOD}\n')
    with pytest.raises(ValueError, match="line 2: a second line of 'alice'"):
        PasswordFile(path)


def test_no_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'passwd makes one.*users') as caught:
        PasswordFile(tmp_path / 'users')
    assert caught.value.filename == str(tmp_path / 'users')
    with pytest.raises(ValueError, match='is not a file'):
        PasswordFile(tmp_path)
    os.mkfifo(tmp_path / 'pipe')
    with pytest.raises(ValueError, match='is not a file'):
        PasswordFile(tmp_path / 'pipe')
    (tmp_path / 'users').write_bytes(b'\xff\n')
    with pytest.raises(ValueError, match='is not UTF-8'):
        PasswordFile(tmp_path / 'users')


def test_strangers_take_as_long(tmp_path, monkeypatch):
    """For a user that is not there, as much is computed as for the others."""
    path = tmp_path / 'users'
    path.write_text(line_of('alice', 'a', n=2**10, r=4, p=3))
    users = PasswordFile(path)
    work = []
    scrypt = hashlib.scrypt

    def count(password, **parameters):
        work.append({**parameters, 'salt': None})
        return scrypt(password, **parameters)

    monkeypatch.setattr(hashlib, 'scrypt', count)
    assert not users.check('alice', 'b')
    assert not users.check('bob', 'b')
    known, unknown = work
    assert known == unknown


def test_hostile_words(path):
    users = PasswordFile(path)
    for user_id in ('', 'alice:scrypt', '\udcff', '#', 'alice\n', '\0'):
        assert not users.check(user_id, 'wonderland')
    for password in ('', '\udcff', '\0', 'wonderland\0', 'x' * 100_000):
        assert not users.check('alice', password)


def test_secrets_stay_out_of_reprs(path):
    users = PasswordFile(path)
    for shown in (repr(users), repr(users.entry('alice'))):
        for line in path.read_text().splitlines():
            assert not any(word in shown for word in line.split(':')[5:])
    assert str(path) in repr(users)


def test_entries(path):
    users = PasswordFile(path)
    alice, bob = users.entry('alice'), users.entry('bob')
    assert alice is not None
    assert users.entry('alice') == alice
    assert users.entry('carol') is None
    set_password(path, 'alice', 'wonderland')  # the same: old logins end all the same
    assert users.entry('alice') not in (alice, None)
    assert users.entry('bob') == bob
    remove_user(path, 'alice')
    assert users.entry('alice') is None
    assert users.entry('bob') == bob


# ---------------------------------------------------------------- changes


def test_it_is_read_again_only_when_it_changes(path, monkeypatch):
    users = PasswordFile(path)
    reads = []
    read = passwords._read_lines
    monkeypatch.setattr(
        passwords, '_read_lines', lambda path: reads.append(path) or read(path)
    )
    for _ in range(3):
        assert users.check('alice', 'wonderland')
        assert users.entry('bob')
    assert not reads
    set_password(path, 'alice', 'other')
    del reads[:]
    assert users.check('alice', 'other')
    assert not users.check('alice', 'wonderland')
    assert len(reads) == 1


def test_changes_in_place(path):
    """The same size, the same file, even the same time of modification."""
    users = PasswordFile(path)
    before = os.stat(path)
    text = path.read_text()
    last = text.rstrip()[-1]
    path.write_text(text.rstrip()[:-1] + ('0' if last != '0' else '1') + '\n')
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 1))
    assert not users.check('bob', 'builder')
    path.write_text(text)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert users.check('bob', 'builder')


def test_an_interrupted_read_is_made_up_for(path, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    users = PasswordFile(path)
    remove_user(path, 'alice')
    with monkeypatch.context() as patch:
        patch.setattr(passwords, '_parse', interrupt)
        with pytest.raises(KeyboardInterrupt):
            users.check('alice', 'wonderland')
    assert not users.check('alice', 'wonderland')


def test_a_relative_path_stays_the_same_file(path, monkeypatch):
    monkeypatch.chdir(path.parent)
    users = PasswordFile('users')
    monkeypatch.chdir('/')
    set_password(path, 'alice', 'other')
    assert users.check('alice', 'other')


def vanish(path):
    path.unlink()


def become_a_directory(path):
    path.unlink()
    path.mkdir()


def get_a_broken_line(path):
    # mallory is new, bob is gone, and the rest can not be believed either
    path.write_text(line_of('mallory', 'm') + 'alice:secret\n')


def become_binary(path):
    path.write_bytes(b'\xff\xfe\0' * 20)


@pytest.mark.parametrize(
    'fall_ill', [vanish, become_a_directory, get_a_broken_line, become_binary]
)
def test_what_was_known_stays(path, logs, fall_ill):
    users = PasswordFile(path)
    fall_ill(path)
    for _ in range(3):
        assert users.check('alice', 'wonderland')
        assert users.check('bob', 'builder')
        assert not users.check('mallory', 'm')
        assert users.entry('mallory') is None
    (text,) = logs.texts()
    assert 'stay as they were' in text
    assert str(path) in text
    assert 'secret' not in text

    if path.is_dir():
        path.rmdir()
    path.write_text(line_of('alice', 'other'))
    assert users.check('alice', 'other')
    assert users.entry('bob') is None
    assert len(logs.texts()) == 1


@contextlib.contextmanager
def not_root():
    """Root may read everything; who is root already is somebody else here."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    yield
    os.seteuid(user)


def test_no_permission_to_read(path, logs):
    users = PasswordFile(path)
    path.chmod(0)
    with not_root():
        assert users.check('alice', 'wonderland')
    assert len(logs.texts()) == 1
    path.chmod(0o600)
    remove_user(path, 'alice')
    assert not users.check('alice', 'wonderland')


@pytest.mark.parametrize(
    ('bits', 'warned'), [(0o600, 0), (0o644, 0), (0o660, 1), (0o602, 1)]
)
def test_who_may_write(path, logs, bits, warned):
    path.chmod(bits)
    users = PasswordFile(path)
    for _ in range(3):
        assert users.check('alice', 'wonderland')
    assert len(logs.texts()) == warned
    assert all('chmod 600' in text for text in logs.texts())


def test_threads_share_it(path):
    users = PasswordFile(path)
    set_password(path, 'carol', '0')
    stop = threading.Event()
    wrong = []

    def look():
        while not stop.is_set():
            if not users.check('alice', 'wonderland') or users.check('bob', 'x'):
                wrong.append('check')
            if users.entry('carol') is None:
                wrong.append('entry')

    threads = [threading.Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    for number in range(30):
        set_password(path, 'carol', str(number))
    stop.set()
    for thread in threads:
        thread.join()
    assert not wrong
    assert users.check('carol', '29')


# ---------------------------------------------------------------- servers


@scenario
def test_a_server_takes_the_path_of_a_file(net, path):
    server, address = net.serve(security_plugin='plain', passwords=str(path))
    server.register_rpc(lambda user_id: user_id, name='whoami', with_identity=True)
    assert (yield net.user(address, 'alice', 'wonderland').whoami()) == 'alice'
    for user_id, password in [
        ('alice', 'builder'),
        ('carol', 'wonderland'),
        ('bob', ''),
    ]:
        yield from net.raises(
            UnauthorizedError, net.user(address, user_id, password).whoami()
        )

    set_password(path, 'alice', 'looking-glass')
    yield from net.raises(
        UnauthorizedError, net.user(address, 'alice', 'wonderland').whoami()
    )
    assert (yield net.user(address, 'alice', 'looking-glass').whoami()) == 'alice'

    remove_user(path, 'bob')
    yield from net.raises(
        UnauthorizedError, net.user(address, 'bob', 'builder').whoami()
    )


@scenario
def test_a_server_without_its_file(net, tmp_path):
    with pytest.raises(FileNotFoundError, match='passwd makes one'):
        net.server(security_plugin='plain', passwords=tmp_path / 'users')
    with pytest.raises(ValueError, match='path of a file'):
        net.server(security_plugin='plain', passwords=3)
    yield None


def test_settings_take_a_path(tmp_path):
    from pseud.settings import Settings

    assert 'users' not in repr(Settings(passwords=tmp_path / 'users'))

"""CURVE keys: read in any form, made so that nobody else reads them, known by user."""

import os
import pathlib
import stat
import threading

import pytest
import zmq
import zmq.auth
from zmq.utils import z85

from pseud import UsageError, keys
from pseud.keys import KeyDirectory, make_keys, read_key

PUBLIC, SECRET = zmq.curve_keypair()
OTHER, _ = zmq.curve_keypair()


def mode(path):
    return stat.S_IMODE(os.stat(path).st_mode)


@pytest.fixture
def pair(tmp_path):
    """The paths of a public and a secret certificate."""
    return tuple(map(pathlib.Path, make_keys(tmp_path, 'alice')))


# ---------------------------------------------------------------- reading


@pytest.mark.parametrize('form', [bytes, bytes.decode, z85.decode])
def test_forms_of_a_key(form):
    assert read_key(form(PUBLIC), 'public_key', secret=False) == PUBLIC
    assert read_key(form(SECRET), 'secret_key', secret=True) == SECRET


def test_certificates(tmp_path, logs):
    public, secret = zmq.auth.create_certificates(tmp_path, 'alice')
    os.chmod(secret, 0o600)
    known = zmq.auth.load_certificate(secret)
    for path in map(pathlib.Path, (public, secret)):
        assert read_key(path, 'public_key', secret=False) == known[0]
    assert read_key(pathlib.Path(secret), 'secret_key', secret=True) == known[1]
    assert not logs.texts()


@pytest.mark.parametrize('bits', [0o644, 0o640, 0o602])
def test_secrets_that_others_can_read(pair, logs, bits):
    pair[1].chmod(bits)
    read_key(pair[1], 'secret_key', secret=True)
    (text,) = logs.texts()
    assert text == f'secret_key: others can get at {pair[1]}: chmod 600 it'


BAD = [
    (None, 'not NoneType'),
    (40, 'not int'),
    (bytearray(PUBLIC), 'not bytearray'),
    ('', 'not 0 characters'),
    (SECRET[:-1], 'not 39 bytes'),
    (SECRET.decode() + '\n', 'not 41 characters'),
    (SECRET.decode()[:32], 'not 32 characters'),
    (z85.decode(SECRET)[:-1], 'not 31 bytes'),
    ('alice.key', r'must be a pathlib\.Path'),
    ("'" + SECRET.decode()[1:], 'are not Z85'),
    (b'\xff' + SECRET[1:], 'are not Z85'),
    ('é' + SECRET.decode()[1:], 'are not Z85'),
    ('#####' + SECRET.decode()[5:], 'are not Z85'),  # more than 32 bits
]


@pytest.mark.parametrize(('value', 'words'), BAD, ids=[words for _, words in BAD])
def test_no_keys(value, words):
    with pytest.raises(ValueError, match=f'^secret_key: .*{words}') as caught:
        read_key(value, 'secret_key', secret=True)
    assert 'python -m pseud keygen' in str(caught.value)
    error = caught.value
    while error:
        assert SECRET.decode()[8:16] not in str(error)
        assert error.__suppress_context__ or not error.__context__
        error = error.__cause__


def test_no_certificates(tmp_path, pair):
    def refused(name, words, *, secret=False):
        with pytest.raises(ValueError, match=words) as caught:
            read_key(tmp_path / name, 'peer_public_key', secret)
        assert str(caught.value).startswith('peer_public_key: ')
        assert name in str(caught.value)

    refused('bob.key', 'No such file.*keygen')
    refused(
        'alice.key',
        r'no secret key: name the file that ends in \.key_secret',
        secret=True,
    )
    refused('', 'is no certificate')
    for number, content in enumerate(
        [
            b'',
            b'public-key\n',
            b'public-key = "short"\n',
            b'public-key = "' + z85.decode(PUBLIC).hex()[:32].encode() + b'"\n',
            b'public-key = "' + b'~' * 40 + b'"\n',
            b'\0' * 100_000 + b'\npublic-key = "' + PUBLIC + b'"\n',
        ]
    ):
        name = f'{number}.key'
        (tmp_path / name).write_bytes(content)
        refused(name, 'is no certificate')
    os.mkfifo(tmp_path / 'pipe.key')
    refused('pipe.key', 'is no certificate')


# ---------------------------------------------------------------- making


@pytest.mark.parametrize('umask', [0, 0o022, 0o077])
def test_what_is_made(tmp_path, umask):
    before = os.umask(umask)
    try:
        public, secret = make_keys(tmp_path, 'alice')
    finally:
        os.umask(before)
    assert (public, secret) == (f'{tmp_path}/alice.key', f'{tmp_path}/alice.key_secret')
    assert mode(secret) == 0o600
    assert mode(public) == 0o644 & ~umask
    assert sorted(os.listdir(tmp_path)) == ['alice.key', 'alice.key_secret']
    key = read_key(pathlib.Path(secret), 'secret_key', secret=True)
    assert zmq.curve_public(key) == read_key(pathlib.Path(public), 'key', secret=False)
    assert key not in pathlib.Path(public).read_bytes()


def test_nobody_reads_a_secret_while_it_is_written(tmp_path, monkeypatch):
    """Whenever pyzmq writes, the file is closed to others already."""
    modes = []
    create = zmq.auth.create_certificates

    def watch(*arguments):
        modes.append((mode(tmp_path / 'alice.key_secret'), os.listdir(tmp_path)))
        paths = create(*arguments)
        modes.append((mode(tmp_path / 'alice.key_secret'), os.listdir(tmp_path)))
        return paths

    monkeypatch.setattr(zmq.auth, 'create_certificates', watch)
    before = os.umask(0)
    try:
        inode = os.stat(make_keys(tmp_path, 'alice')[1]).st_ino
    finally:
        os.umask(before)
    assert [bits for bits, _ in modes] == [0o600, 0o600]
    assert os.stat(tmp_path / 'alice.key_secret').st_ino == inode
    assert all(len(names) == 2 for _, names in modes)


@pytest.mark.parametrize('there', ['alice.key', 'alice.key_secret'])
def test_keys_are_not_overwritten(tmp_path, there):
    (tmp_path / there).write_text('precious')
    with pytest.raises(FileExistsError, match='move it away') as caught:
        make_keys(tmp_path, 'alice')
    assert caught.value.filename == str(tmp_path / there)
    assert os.listdir(tmp_path) == [there]
    assert (tmp_path / there).read_text() == 'precious'


def test_links_are_not_followed(tmp_path):
    target = tmp_path / 'target'
    (tmp_path / 'alice.key_secret').symlink_to(target)
    with pytest.raises(FileExistsError):
        make_keys(tmp_path, 'alice')
    assert not target.exists()


def test_a_failure_leaves_nothing(tmp_path, monkeypatch):
    def full(*_):
        raise OSError('disk full')

    monkeypatch.setattr(zmq.auth, 'create_certificates', full)
    with pytest.raises(OSError, match='disk full'):
        make_keys(tmp_path, 'alice')
    assert not os.listdir(tmp_path)
    with pytest.raises(FileNotFoundError):
        make_keys(tmp_path / 'nowhere', 'alice')


@pytest.mark.parametrize('name', ['', '.', '..', '.alice', 'a/b', '/a', 'a\n', 'a\0b'])
def test_no_names(tmp_path, name):
    with pytest.raises(ValueError):
        make_keys(tmp_path, name)
    assert not os.listdir(tmp_path)


def test_no_curve(tmp_path, monkeypatch):
    monkeypatch.setattr(zmq, 'has', lambda _: False)
    with pytest.raises(UsageError, match='wheels'):
        make_keys(tmp_path, 'alice')


# ---------------------------------------------------------------- a mapping


def test_a_mapping(pair):
    alice = read_key(pair[0], 'key', secret=False)
    users = KeyDirectory(
        {'alice': pair[0], 'bob': z85.decode(PUBLIC), 'é': OTHER.decode()}
    )
    assert [users.user_of(key) for key in (alice, PUBLIC, OTHER)] == [
        'alice',
        'bob',
        'é',
    ]
    assert [users.entry(name) for name in ('alice', 'bob', 'é')] == [
        alice,
        PUBLIC,
        OTHER,
    ]
    for key in (SECRET, b'', z85.decode(PUBLIC), PUBLIC[:-1]):
        assert users.user_of(key) is None
    assert users.entry('carol') is None
    assert KeyDirectory({}).user_of(PUBLIC) is None


@pytest.mark.parametrize(
    ('wrong', 'words'),
    [
        ({'alice': 'short'}, "key of user 'alice': a key has 40"),
        ({'alice': None}, "key of user 'alice': .*NoneType"),
        ({'': PUBLIC}, 'no user id'),
        ({'a\n': PUBLIC}, 'no user id'),
        ({b'a': PUBLIC}, 'a user id is a str'),
        ({'alice': PUBLIC, 'bob': PUBLIC.decode()}, "several users.*'alice', 'bob'"),
        ([PUBLIC], 'not list'),
        (None, 'not NoneType'),
    ],
)
def test_no_mappings(wrong, words):
    with pytest.raises(ValueError, match=words):
        KeyDirectory(wrong)


def test_a_mapping_that_changes(logs):
    source = {'alice': PUBLIC}
    users = KeyDirectory(source)
    source['bob'] = OTHER
    assert users.user_of(OTHER) == 'bob'
    del source['alice']
    assert users.entry('alice') is None
    assert users.user_of(PUBLIC) is None
    source['bob'] = PUBLIC.decode()
    assert users.entry('bob') == PUBLIC
    assert users.user_of(OTHER) is None
    source['carol'] = OTHER
    assert users.entry('carol') == OTHER
    source.update(bob=OTHER, carol=PUBLIC)
    assert users.user_of(OTHER) == 'bob'
    assert users.user_of(PUBLIC) == 'carol'
    assert not logs.texts()


def test_a_mapping_that_gets_worse(logs):
    source = {'alice': PUBLIC, 'bob': OTHER}
    users = KeyDirectory(source)
    source['bob'] = 'rubbish'
    for _ in range(3):
        assert users.entry('bob') is None
        assert users.user_of(OTHER) is None
        assert users.user_of(PUBLIC) == 'alice'
    (text,) = logs.texts()
    assert text.startswith("key of user 'bob': ")

    source['bob'] = z85.decode(PUBLIC)
    for _ in range(3):
        assert users.user_of(PUBLIC) is None
        assert users.entry('alice') is None
        assert users.entry('bob') is None
    assert len(logs.texts()) == 2
    assert "'alice', 'bob'" in logs.texts()[1]
    del source['alice']
    assert users.user_of(PUBLIC) == 'bob'
    source['alice'] = PUBLIC
    assert users.user_of(PUBLIC) is None
    assert len(logs.texts()) == 3, 'it is news again'


# ---------------------------------------------------------------- a directory


def put(directory, user_id, key):
    """Write a certificate over the one that is there."""
    path = directory / f'{user_id}.key'
    path.write_text(f'curve\n    public-key = "{key.decode()}"\n')
    return path


def later(path):
    """As if it had been written some time after what is there now."""
    time = os.stat(path).st_mtime_ns + 10**9
    os.utime(path, ns=(time, time))


@pytest.mark.parametrize('form', [str, pathlib.Path])
def test_a_directory(tmp_path, logs, form):
    make_keys(tmp_path, 'alice')
    (tmp_path / 'notes').write_text('nothing')
    (tmp_path / 'old').mkdir()
    put(tmp_path, 'bob.b', PUBLIC)
    users = KeyDirectory(form(tmp_path))
    alice = read_key(tmp_path / 'alice.key', 'key', secret=False)
    assert users.user_of(alice) == 'alice'
    assert users.entry('alice') == alice
    assert users.user_of(PUBLIC) == 'bob.b'
    assert users.user_of(OTHER) is None
    assert users.entry('notes') is None
    assert users.entry('../alice') is None
    assert not logs.texts()


def test_no_directory(tmp_path):
    with pytest.raises(FileNotFoundError, match='nowhere'):
        KeyDirectory(tmp_path / 'nowhere')
    put(tmp_path, 'alice', PUBLIC)
    with pytest.raises(NotADirectoryError):
        KeyDirectory(tmp_path / 'alice.key')


def test_a_directory_that_changes(tmp_path):
    users = KeyDirectory(tmp_path)
    path = put(tmp_path, 'alice', PUBLIC)
    assert users.user_of(PUBLIC) == 'alice'
    assert users.entry('alice') == PUBLIC

    put(tmp_path, 'alice', OTHER)  # in place, of the same size
    later(path)
    assert users.user_of(PUBLIC) is None
    assert users.entry('alice') == OTHER
    put(tmp_path, 'alice', PUBLIC)
    later(path)
    assert users.entry('alice') == PUBLIC

    new = put(tmp_path, 'new', OTHER)
    new.rename(path)  # replaced as a whole
    assert users.entry('alice') == OTHER
    assert users.entry('new') is None

    path.rename(tmp_path / 'bob.key')
    assert users.entry('alice') is None
    assert users.user_of(OTHER) == 'bob'
    (tmp_path / 'bob.key').unlink()
    assert users.user_of(OTHER) is None
    assert users.entry('bob') is None


def test_a_removed_user_is_noticed_by_key(tmp_path):
    path = put(tmp_path, 'alice', PUBLIC)
    users = KeyDirectory(tmp_path)
    assert users.user_of(PUBLIC) == 'alice'
    path.unlink()
    assert users.user_of(PUBLIC) is None


def test_broken_files_leave_their_user_out(tmp_path, logs):
    put(tmp_path, 'alice', PUBLIC)
    (tmp_path / 'bob.key').write_text('public-key = "secret"')
    (tmp_path / 'dangling.key').symlink_to('nowhere')
    (tmp_path / '.key').write_text('')
    users = KeyDirectory(tmp_path)
    for _ in range(3):
        assert users.user_of(PUBLIC) == 'alice'
        assert users.user_of(OTHER) is None
        assert users.entry('bob') is None
    assert len(logs.texts()) == 3
    assert sum("'bob'" in text for text in logs.texts()) == 1
    assert not any('secret' in text for text in logs.texts())

    later(put(tmp_path, 'bob', OTHER))
    assert users.user_of(OTHER) == 'bob'
    put(tmp_path, 'alice', b'rubbish')
    assert users.entry('alice') is None
    assert len(logs.texts()) == 4


def test_files_with_one_key(tmp_path, logs):
    put(tmp_path, 'alice', PUBLIC)
    users = KeyDirectory(tmp_path)
    assert users.user_of(PUBLIC) == 'alice'
    bob = put(tmp_path, 'bob', PUBLIC)
    later(tmp_path)
    for _ in range(3):
        assert users.user_of(PUBLIC) is None
        assert users.entry('alice') is None
        assert users.entry('bob') is None
    (text,) = logs.texts()
    assert "'alice', 'bob'" in text
    bob.unlink()
    later(tmp_path)
    assert users.user_of(PUBLIC) == 'alice'


def test_a_directory_that_goes_away(tmp_path, logs):
    directory = tmp_path / 'clients'
    directory.mkdir()
    put(directory, 'alice', PUBLIC)
    users = KeyDirectory(directory)
    directory.rename(tmp_path / 'away')
    for _ in range(3):
        assert users.user_of(PUBLIC) == 'alice'
        assert users.entry('alice') == PUBLIC
        assert users.user_of(OTHER) is None
    (text,) = logs.texts()
    assert 'stay as they were' in text
    assert str(directory) in text
    directory.mkdir()
    put(directory, 'bob', OTHER)
    assert users.entry('alice') is None
    assert users.user_of(OTHER) == 'bob'
    assert len(logs.texts()) == 1


def test_lookups_read_no_files(tmp_path, monkeypatch):
    put(tmp_path, 'alice', PUBLIC)
    put(tmp_path, 'bob', OTHER)
    users = KeyDirectory(tmp_path)
    reads = []
    load = zmq.auth.load_certificate
    monkeypatch.setattr(
        zmq.auth, 'load_certificate', lambda path: reads.append(path) or load(path)
    )
    for _ in range(3):
        assert users.user_of(PUBLIC) == 'alice'
        assert users.entry('bob') == OTHER
        assert users.user_of(SECRET) is None
    assert not reads
    later(tmp_path / 'bob.key')
    assert users.entry('bob') == OTHER
    assert users.entry('alice') == PUBLIC
    assert len(reads) == 1


def test_an_interrupted_read_is_made_up_for(tmp_path, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    source = {'alice': PUBLIC}
    put(tmp_path, 'alice', PUBLIC)
    mapped, listed = KeyDirectory(source), KeyDirectory(tmp_path)
    source['alice'] = OTHER
    later(put(tmp_path, 'alice', OTHER))
    for users in (mapped, listed):
        with monkeypatch.context() as patch:
            patch.setattr(keys, 'read_key', interrupt)
            with pytest.raises(KeyboardInterrupt):
                users.user_of(PUBLIC)
        assert users.user_of(PUBLIC) is None
        assert users.entry('alice') == OTHER


def test_threads_share_it(tmp_path):
    put(tmp_path, 'alice', PUBLIC)
    beside = tmp_path / 'beside'
    beside.mkdir()
    source = {'alice': PUBLIC}
    users = [KeyDirectory(tmp_path), KeyDirectory(source)]
    stop = threading.Event()
    wrong = []

    def look():
        while not stop.is_set():
            for each in users:
                if each.user_of(PUBLIC) != 'alice' or each.entry('alice') != PUBLIC:
                    wrong.append(each)
                if each.user_of(OTHER) not in (None, 'bob'):
                    wrong.append(each)

    threads = [threading.Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(100):
        source['bob'] = OTHER
        # put in place when it is whole, from where nobody looks
        put(beside, 'bob', OTHER).rename(tmp_path / 'bob.key')
        del source['bob']
        (tmp_path / 'bob.key').unlink()
    stop.set()
    for thread in threads:
        thread.join()
    assert not wrong
    assert users[0].user_of(OTHER) is None
    assert users[1].user_of(OTHER) is None

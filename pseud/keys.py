"""CURVE keys (ZMTP CURVE, RFC 26): read in any form, made, and known by their users.

A certificate is a file as pyzmq's ``zmq.auth`` writes and reads it: ``NAME.key`` with the
public key, ``NAME.key_secret`` with both.
"""

import errno
import logging
import os
import pathlib
import stat
from collections.abc import Mapping
from typing import Any

import zmq
from zmq import auth as certificates
from zmq.utils import z85

from .errors import UsageError
from .native import allocate_lock
from .users import check_user_id, look

__all__ = ['KeyDirectory', 'make_keys', 'read_key']

logger = logging.getLogger(__name__)

HINT = 'python -m pseud keygen NAME makes keys'
PUBLIC, SECRET = '.key', '.key_secret'  # as zmq.auth.create_certificates names them
MAX_FILE = 65536  # bytes of a certificate; they have some 400

Path = str | os.PathLike[str]


def read_key(value: Any, what: str, secret: bool) -> bytes:
    """A CURVE key, in whatever form it was given.

    Args:
        value: 40 characters of Z85 (str or bytes), 32 bytes, or a ``pathlib.Path`` of a
            certificate.
        what: how errors call it: the name of the argument.
        secret: whether the secret part of a certificate is meant, not the public one.

    Returns:
        40 bytes of Z85.

    Raises:
        ValueError: it is no key, or can not be read; says why, and never shows it.
    """
    try:
        if isinstance(value, os.PathLike):
            return _read_certificate(os.fspath(value), what, secret)
        return _as_z85(value)
    except ValueError as error:
        raise ValueError(f'{what}: {error}') from None


def _as_z85(value: Any) -> bytes:
    if isinstance(value, bytes) and len(value) == 32:
        return z85.encode(value)
    if not isinstance(value, str | bytes):
        raise ValueError(
            f'a key is 40 characters of Z85, 32 bytes, or the pathlib.Path of a '
            f'certificate, not {type(value).__name__}; {HINT}'
        )
    if len(value) != 40:
        unit = 'characters' if isinstance(value, str) else 'bytes'
        raise ValueError(
            f'a key has 40 characters of Z85, or 32 bytes, not {len(value)} {unit} '
            f'(the path of a certificate must be a pathlib.Path); {HINT}'
        )
    try:
        encoded = value.encode('ascii') if isinstance(value, str) else value
        z85.decode(encoded)
    except Exception:  # struct.error, KeyError...; they would show some of it
        raise ValueError(f'40 characters, but they are not Z85; {HINT}') from None
    return encoded


def _read_certificate(path: Any, what: str, secret: bool) -> bytes:
    try:
        status = os.stat(path)
        # to open a pipe may block
        if not stat.S_ISREG(status.st_mode) or status.st_size > MAX_FILE:
            raise ValueError(f'{path} is no certificate; {HINT}')
        public_key, secret_key = certificates.load_certificate(path)
    except OSError as error:
        raise ValueError(f'can not read {path}: {error.strerror}; {HINT}') from None
    except (IndexError, ValueError):
        raise ValueError(f'{path} is no certificate; {HINT}') from None
    if secret and secret_key is None:
        raise ValueError(
            f'{path} holds no secret key: name the file that ends in {SECRET}'
        )
    key = secret_key if secret else public_key
    try:
        if key is None or len(key) != 40:  # 32 bytes of text are no key
            raise ValueError
        _as_z85(key)
    except ValueError:
        raise ValueError(f'{path} is no certificate; {HINT}') from None
    if secret and status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        logger.warning('%s: others can get at %s: chmod 600 it', what, path)
    return key


def make_keys(directory: Path, name: str) -> tuple[str, str]:
    """Make a pair of CURVE keys, as two certificates.

    Nobody but the user who runs this can read the secret one, at any time.

    Args:
        directory: where to put ``name.key`` and ``name.key_secret``.
        name: of whom they are; for a client, its user id.

    Returns:
        The paths of the public and of the secret certificate.

    Raises:
        FileExistsError: one of the files is there already.
        OSError: they can not be written.
        ValueError: the name can not be that of a user and a file.
        UsageError: this libzmq knows no CURVE.
    """
    check_user_id(name)
    if name.startswith('.') or any(c in name for c in (os.sep, os.altsep, '/') if c):
        raise ValueError(
            f'{name[:40]!r} can not name files: leave out {os.sep!r} and a leading dot '
            '(the directory is an argument of its own)'
        )
    if not zmq.has('curve'):
        raise UsageError("this libzmq knows no CURVE: install one of pyzmq's wheels")
    base = os.path.join(directory, name)
    made = []
    try:
        # Secret first: files that are there keep their mode when they are written to.
        for path, mode in ((base + SECRET, 0o600), (base + PUBLIC, 0o644)):
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode))
            made.append(path)
        return certificates.create_certificates(directory, name)
    except BaseException as error:
        for path in made:
            os.unlink(path)
        if isinstance(error, FileExistsError):
            hint = 'there is such a key already: move it away, or take another name'
            raise FileExistsError(errno.EEXIST, hint, error.filename) from None
        raise


class KeyDirectory:
    """Users and their public keys: a directory of certificates, or a mapping.

    In a directory, ``alice.key`` is the certificate of alice; files with other endings
    mean nothing.  It is read again when it changes, and so is each file.  A file that is no
    certificate leaves its user out, with a warning in the log.  While the directory can not
    be listed, what was known stays.

    A mapping ``{user id: key}`` takes keys as `read_key` does.  Later changes of it count;
    what is wrong then leaves its user out, with a warning.  A certificate that it names
    is read once.

    Users with the same key are all left out, as nobody can tell them apart.  Threads may
    share it.

    Args:
        source: path of a directory, or a mapping.

    Raises:
        OSError: the directory can not be listed.
        ValueError: a mapping has what is no user id or no key, or one key twice.
    """

    def __init__(self, source: Path | Mapping[str, Any]) -> None:
        self._lock = allocate_lock()
        self._users: _Users
        if isinstance(source, Mapping):
            self._users = _Mapped(source)
            self._users.refresh()
            if self._users.warnings:
                raise ValueError('; '.join(self._users.warnings))
        elif isinstance(source, str | os.PathLike):
            self._users = _Listed(os.path.abspath(source))
            self._users.refresh()
            self._log()
        else:
            raise ValueError(
                'public keys of users are {user id: key}, or the path of a directory of '
                f'certificates, not {type(source).__name__}'
            )

    def user_of(self, public_key: bytes) -> str | None:
        """Whose key this is, as 40 bytes of Z85; None if nobody's."""
        with self._lock:
            user_id = self._users.user_of(public_key)
        self._log()
        return user_id

    def entry(self, user_id: str) -> bytes | None:
        """The public key of a user now, as 40 bytes of Z85; None if there is none."""
        with self._lock:
            key = self._users.entry(user_id)
        self._log()
        return key

    def _log(self) -> None:
        # not under the lock: to log may switch greenlets
        with self._lock:
            warnings, self._users.warnings = self._users.warnings, []
        for warning in warnings:
            logger.warning('%s', warning)


class _Users:
    """Keys by user and users by key, of a source that changes.

    Attributes:
        seen: {user id: (what it was read from, key or None)}; who stays the same is not
            read again, and not warned of again.
        warnings: what nobody was told yet.
    """

    def __init__(self) -> None:
        self.seen: dict[Any, tuple[Any, bytes | None]] = {}
        self.keys: dict[str, bytes] = {}
        self.users: dict[bytes, str] = {}
        self.shared: set[tuple[str, ...]] = set()
        self.warnings: list[str] = []

    def refresh(self) -> None:
        """Look whether the source has changed."""
        raise NotImplementedError

    def user_of(self, key: bytes) -> str | None:
        raise NotImplementedError

    def entry(self, user_id: str) -> bytes | None:
        raise NotImplementedError

    def update(self, found: Mapping[Any, tuple[Any, Any]]) -> None:
        """Take what the source has now: {user id: (what changes, what to read)}."""
        seen: dict[Any, tuple[Any, bytes | None]] = {}
        for user_id, (origin, value) in found.items():
            before = self.seen.get(user_id)
            if before is not None and before[0] == origin:
                seen[user_id] = before
            else:
                seen[user_id] = origin, self.read(user_id, value)
        self.seen = seen
        holders: dict[bytes, list[str]] = {}
        for user_id, (_, key) in seen.items():
            if key is not None:
                holders.setdefault(key, []).append(user_id)
        shared = {tuple(sorted(each)) for each in holders.values() if len(each) > 1}
        for names in sorted(shared - self.shared):
            self.warnings.append(
                f'one public key of several users, none of whom is admitted: '
                f'{", ".join(map(repr, names))}'
            )
        self.shared = shared
        self.users = {key: each[0] for key, each in holders.items() if len(each) == 1}
        self.keys = {user_id: key for key, user_id in self.users.items()}

    def read(self, user_id: Any, value: Any) -> bytes | None:
        try:
            return read_key(value, f'key of user {check_user_id(user_id)!r}', False)
        except ValueError as error:
            self.warnings.append(str(error))
            return None


class _Mapped(_Users):
    def __init__(self, source: Mapping[str, Any]) -> None:
        super().__init__()
        self.source = source
        self.copy: dict[str, Any] = {}

    def refresh(self) -> None:
        # a new connection is worth comparing all: any change may have to do with it
        now = dict(self.source)
        if now != self.copy:
            self.update({user_id: (value, value) for user_id, value in now.items()})
        self.copy = now  # last: what was interrupted is done the next time

    def user_of(self, key: bytes) -> str | None:
        self.refresh()
        return self.users.get(key)

    def entry(self, user_id: str) -> bytes | None:
        if self.source.get(user_id) is not self.copy.get(user_id):
            self.refresh()
        return self.keys.get(user_id)


class _Listed(_Users):
    def __init__(self, directory: str) -> None:
        super().__init__()
        self.directory = directory
        self.stamp: tuple[int, ...] | None = None

    def refresh(self) -> None:
        stamp = look(self.directory)  # before it is read: nothing may be missed
        try:
            names = os.listdir(self.directory)
        except OSError as error:
            if self.stamp is None:
                raise
            if stamp != self.stamp:
                self.warnings.append(f'users and their keys stay as they were: {error}')
            self.stamp = stamp
            return
        self.update(
            {
                name.removesuffix(PUBLIC): (look(path), path)
                for name in names
                if name.endswith(PUBLIC)
                for path in [os.path.join(self.directory, name)]
            }
        )
        self.stamp = stamp  # last: what was interrupted is done the next time

    def read(self, user_id: Any, value: Any) -> bytes | None:
        return super().read(user_id, pathlib.Path(value))

    def user_of(self, key: bytes) -> str | None:
        user_id = self.users.get(key)
        # of an unknown key, any file may have the news
        if user_id is None or self.changed(user_id):
            self.refresh()
        return self.users.get(key)

    def entry(self, user_id: str) -> bytes | None:
        if self.changed(user_id):
            self.refresh()
        return self.keys.get(user_id)

    def changed(self, user_id: str) -> bool:
        if look(self.directory) != self.stamp:
            return True
        path = os.path.join(self.directory, user_id + PUBLIC)
        return user_id in self.seen and look(path) != self.seen[user_id][0]

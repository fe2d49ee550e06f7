"""Files of hashed passwords: checked by servers, written by `set_password`.

One line a user, ``user:scrypt:n:r:p:salt:hash``, the last two as hexadecimal digits;
lines that begin with ``#`` and empty ones mean nothing.
"""

import contextlib
import dataclasses
import errno
import hashlib
import hmac
import logging
import os
import secrets
import stat
import tempfile
from collections.abc import Iterator, Mapping

from .native import allocate_lock
from .users import check_user_id, look

__all__ = ['PasswordFile', 'remove_user', 'set_password']

logger = logging.getLogger(__name__)

N, R, P = 2**14, 8, 1  # 16 MiB, some 50 ms
SALT_SIZE = 16  # bytes
HASH_SIZE = 32
MAX_PASSWORD = 255  # bytes; libzmq's PLAIN mechanism can not send more
# What a line may ask for: 128 MiB, and some seconds.
MAX_MEMORY = 2**20  # n * r, units of 128 bytes
MAX_WORK = 2**21  # n * r * p

Path = str | os.PathLike[str]


@dataclasses.dataclass(frozen=True, slots=True)
class _Hashed:
    """A password, hashed."""

    n: int
    r: int
    p: int
    salt: bytes = dataclasses.field(repr=False)
    key: bytes = dataclasses.field(repr=False)

    def matches(self, password: bytes) -> bool:
        return hmac.compare_digest(self.key, self.hash(password))

    def hash(self, password: bytes) -> bytes:
        return hashlib.scrypt(
            password,
            salt=self.salt,
            n=self.n,
            r=self.r,
            p=self.p,
            dklen=len(self.key),
            maxmem=128 * self.r * (self.n + self.p + 2) + 1024,
        )

    @property
    def work(self) -> int:
        return self.n * self.r * self.p

    def line(self, user_id: str) -> str:
        numbers = f'{self.n}:{self.r}:{self.p}'
        return f'{user_id}:scrypt:{numbers}:{self.salt.hex()}:{self.key.hex()}'


def _nobody(n: int = N, r: int = R, p: int = P) -> _Hashed:
    """What no password matches, though it takes as long to say so."""
    salt, key = secrets.token_bytes(SALT_SIZE), secrets.token_bytes(HASH_SIZE)
    return _Hashed(n, r, p, salt, key)


class PasswordFile:
    """The users and hashed passwords in a file, which is read again when it changes.

    While it can not be read, or has a line that is none, what was known stays, and a
    warning is logged.  Threads may share it.

    Args:
        path: of the file.

    Raises:
        OSError: it can not be read; ``FileNotFoundError`` if there is none.
        ValueError: it has a line that is none; says which.
    """

    def __init__(self, path: Path) -> None:
        self._path = os.path.abspath(path)
        self._lock = allocate_lock()
        self._seen = look(self._path)
        _warn(self._load())

    def __repr__(self) -> str:
        return f'{type(self).__name__}({self._path!r})'

    def check(self, user_id: str, password: str) -> bool:
        """Whether this is the user's password; takes as long if there is no such user."""
        users, nobody = self._current()
        hashed = users.get(user_id)
        # set_password takes no lone surrogates, so what has them matches nothing
        same = (hashed or nobody).matches(password.encode(errors='surrogatepass'))
        # scrypt can not tell a password from one with NULs after it
        return same and hashed is not None and '\0' not in password

    def entry(self, user_id: str) -> object | None:
        """What compares different once the password was set; None if the user is gone."""
        return self._current()[0].get(user_id)

    def _current(self) -> tuple[Mapping[str, _Hashed], _Hashed]:
        """The users, and who stands for those that are not there."""
        warning = ''
        with self._lock:
            seen = look(self._path)
            if seen != self._seen:
                try:
                    warning = self._load()
                except (OSError, ValueError) as error:
                    warning = f'passwords stay as they were: {error}'
                # Last, but from before: what was interrupted, or has changed while it
                # was read, is read the next time.
                self._seen = seen
            known = self._known
        # not under the lock: to log may switch greenlets
        _warn(warning)
        return known

    def _load(self) -> str:
        """Read the file; returns what to warn of."""
        lines, status = _read_lines(self._path)
        users = _parse(lines, self._path)
        slow = max(users.values(), key=lambda hashed: hashed.work, default=_nobody())
        self._known = users, _nobody(slow.n, slow.r, slow.p)
        if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            return f'others can write to the passwords in {self._path}: chmod 600 it'
        return ''


def set_password(path: Path, user_id: str, password: str) -> None:
    """Give a user a password, a new one if there is one; servers notice.

    The file is made with mode 0600 if there is none.  Otherwise it keeps its mode, its
    owner and everything else that stands in it.  It is replaced as a whole.

    Args:
        path: of the file.
        user_id: without ``:``, not beginning with ``#``; at most 255 bytes of UTF-8.
        password: 1 to 255 bytes of UTF-8, without NUL.

    Raises:
        OSError: the file can not be read or written.
        ValueError: the user id or the password can not be one; or the file has a line
            that is none, and was left as it is.
    """
    _check_user_id(user_id)
    line = _hash(password).line(user_id)
    with _rewriting(path, make=True) as (lines, users):
        if user_id in users:
            lines[_index(lines, user_id)] = line
        else:
            if not lines[-1]:  # there was a line end
                lines.pop()
            lines += [line, '']


def remove_user(path: Path, user_id: str) -> None:
    """Take a user out of a file of passwords; servers notice.

    Args:
        path: of the file.
        user_id: who must go.

    Raises:
        LookupError: there is no such user.
        OSError: the file can not be read or written.
        ValueError: the file has a line that is none, and was left as it is.
    """
    with _rewriting(path, make=False) as (lines, users):
        if user_id not in users:
            raise LookupError(f'{os.fspath(path)} has no user {user_id[:40]!r}')
        del lines[_index(lines, user_id)]


def _warn(text: str) -> None:
    if text:
        logger.warning('%s', text)


def _check_user_id(user_id: str) -> str:
    check_user_id(user_id)
    if ':' in user_id or user_id.startswith('#') or user_id != user_id.strip():
        raise ValueError(
            f'{user_id[:40]!r} can not stand in a file of passwords: a user id there has '
            "no ':', no '#' at its beginning and no space at its ends"
        )
    return user_id


def _hash(password: str) -> _Hashed:
    try:
        encoded = password.encode()
    except UnicodeEncodeError:  # which would show it
        raise ValueError('the password is no valid text') from None
    if not 0 < len(encoded) <= MAX_PASSWORD or b'\0' in encoded:
        raise ValueError(
            f'a password has 1 to {MAX_PASSWORD} bytes and no NUL, not {len(encoded)}'
        )
    fresh = _nobody()
    return dataclasses.replace(fresh, key=fresh.hash(encoded))


# ---------------------------------------------------------------- the file


def _read_lines(path: str) -> tuple[list[str], os.stat_result]:
    """The lines of a file, the last one as it ends: empty after a line end."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # to open a pipe may block
            raise ValueError(f'{path} is not a file')
        with open(path, 'rb') as file:
            content, status = file.read(), os.fstat(file.fileno())
    except FileNotFoundError:
        hint = 'no such file of passwords (python -m pseud passwd makes one)'
        raise FileNotFoundError(errno.ENOENT, hint, path) from None
    try:
        # not splitlines(), for which there are more line ends than this one
        return content.decode().split('\n'), status
    except UnicodeDecodeError:
        raise ValueError(f'{path} is not UTF-8') from None


def _parse(lines: list[str], path: str) -> dict[str, _Hashed]:
    """The users that lines name; no error shows what a line says, it may be a secret."""
    users: dict[str, _Hashed] = {}
    for number, line in enumerate(lines, 1):
        if _means_nothing(line):
            continue
        try:
            user_id, hashed = _parse_line(line.rstrip())
            if user_id in users:
                raise ValueError(f'a second line of {user_id!r}')
        except ValueError as error:
            raise ValueError(f'{path}, line {number}: {error}') from None
        users[user_id] = hashed
    return users


def _means_nothing(line: str) -> bool:
    return line.strip()[:1] in ('', '#')


def _parse_line(line: str) -> tuple[str, _Hashed]:
    user_id, *fields = line.split(':')
    if len(fields) != 6 or fields[0] != 'scrypt':
        raise ValueError(
            'not user:scrypt:n:r:p:salt:hash (python -m pseud passwd writes such lines)'
        )
    try:
        n, r, p = (int(field) for field in fields[1:4])
        salt, key = (bytes.fromhex(field) for field in fields[4:])
    except ValueError:
        raise ValueError('n, r, p, salt or hash is no number') from None
    if n < 2 or n & (n - 1) or r < 1 or p < 1 or n.bit_length() > 16 * r:
        raise ValueError('no scrypt has such n, r, p')
    if n * r > MAX_MEMORY or n * r * p > MAX_WORK:
        raise ValueError('n, r, p would take too much memory or time')
    # an empty hash would match everything
    if not 8 <= len(salt) <= 64 or not 16 <= len(key) <= 64:
        raise ValueError('salt must have 8 to 64 bytes, hash 16 to 64')
    return _check_user_id(user_id), _Hashed(n, r, p, salt, key)


def _index(lines: list[str], user_id: str) -> int:
    return next(i for i, line in enumerate(lines) if line.startswith(f'{user_id}:'))


@contextlib.contextmanager
def _rewriting(
    path: Path, make: bool
) -> Iterator[tuple[list[str], Mapping[str, _Hashed]]]:
    """The lines of a file, to change, and its users; then replaces the file."""
    path = os.path.realpath(path)  # a link stays one
    directory, name = os.path.split(path)
    with _locked(directory):
        lines, status = [''], None
        try:
            lines, status = _read_lines(path)
        except FileNotFoundError:
            if not make:
                raise
            os.stat(directory)  # if that is what is missing, say so
        yield lines, _parse(lines, path)
        descriptor, temporary = tempfile.mkstemp(prefix=f'.{name}.', dir=directory)
        try:
            with open(descriptor, 'w', encoding='utf-8', newline='') as file:
                file.write('\n'.join(lines))
                file.flush()
                if status is not None:
                    _keep_access(path, file.fileno(), status)
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            os.unlink(temporary)
            raise


def _keep_access(path: str, descriptor: int, status: os.stat_result) -> None:
    """Owner and mode as they were: the server must still be able to read it."""
    now = os.fstat(descriptor)
    if (now.st_uid, now.st_gid) != (status.st_uid, status.st_gid):
        try:
            os.fchown(descriptor, status.st_uid, status.st_gid)
        except PermissionError:
            hint = 'the file of another user or group: change it as its owner'
            raise PermissionError(errno.EPERM, hint, path) from None
    os.fchmod(descriptor, stat.S_IMODE(status.st_mode))


@contextlib.contextmanager
def _locked(directory: str) -> Iterator[None]:
    """One at a time: a change must not be lost to another."""
    import fcntl  # not there on Windows, where servers only read

    try:
        descriptor = os.open(directory, os.O_RDONLY)
    except OSError:  # an error about the file says more
        yield
        return
    try:
        with contextlib.suppress(OSError):  # some network file systems have no locks
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)

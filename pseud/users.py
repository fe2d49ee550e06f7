"""What user ids may look like, and when a file that names users has changed."""

import os

__all__ = ['MAX_USER_ID', 'check_user_id', 'look']

MAX_USER_ID = 255  # bytes; libzmq's metadata allows no more

Stamp = tuple[int, ...]


def check_user_id(user_id: object) -> str:
    """Return a user id if it can be one.

    Raises:
        ValueError: it is empty, longer than 255 bytes of UTF-8, or not printable.
    """
    if not isinstance(user_id, str):
        raise ValueError(f'a user id is a str, not {type(user_id).__name__}')
    # printable leaves out control characters, line ends and lone surrogates
    if not user_id.isprintable() or not 0 < len(user_id.encode()) <= MAX_USER_ID:
        raise ValueError(
            f'{user_id[:40]!r} is no user id: take 1 to {MAX_USER_ID} bytes without '
            'control characters'
        )
    return user_id


def look(path: str) -> Stamp:
    """What is different when a file has changed; of one that can not be seen, why.

    The time of the last status change is there for files that keep their time, as
    ``cp -p`` and ``touch -r`` do, and for changed permissions.
    """
    try:
        status = os.stat(path)
    except OSError as error:
        return (error.errno or -1,)
    return (status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino)

"""Exceptions across the wire: what a function raised arrives as itself, or as its name.

With it travel its notes, its cause and context, and the members of groups: a tree, as a
list with references by index.  Both directions are bounded and neither recurses.  What
travels of one exception is the business of `describe`; which classes may be raised here,
that of `raisable`.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import msgpack

from . import errors
from ._core import v1, wire
from .describe import (
    MAX_NOTES,
    MAX_TEXT,
    MAX_TRACEBACK,
    class_name,
    describe,
    get_field,
    set_field,
    text_of,
    traceback_of,
)
from .packer import PackerV2
from .raisable import (
    FATE,
    MAX_NAME,
    build,
    find,
    find_bare,
    is_registered,
    name_for_v1,
    name_of,
)

__all__ = ['dump', 'load']

# Exceptions of a tree, the raised one included.
MAX_EXCEPTIONS = 64


# ---------------------------------------------------------------- to the wire


def dump(error: BaseException, packer: PackerV2, protocol: int, *, show: bool) -> bytes:
    """The body of the ERROR that tells a caller what its function raised.

    Whatever the exception's class does, there is a body.

    Args:
        error: the exception.
        packer: for its arguments.
        protocol: 1 or 2.
        show: whether the caller may see the traceback, and cause and context.
    """
    try:
        return _dump(error, packer, protocol, show)
    except KeyboardInterrupt:
        raise
    except BaseException as failure:  # nobody answers the caller otherwise
        name, why = (class_name(each) for each in (error, failure))
        text = f'(no description: making it failed with {why})'
        if protocol == 1:
            return v1.encode_error(name_for_v1(name), text)
        return wire.error_body(name, text)


def _dump(error: BaseException, packer: PackerV2, protocol: int, show: bool) -> bytes:
    trace = traceback_of(error) if show else None
    if protocol == 1:
        return v1.encode_error(name_for_v1(name_of(error)), text_of(error), trace)
    fields, *others = _flatten(error, packer, chains=show)
    if trace is not None:
        fields['traceback'] = trace
    if others:
        fields['others'] = others
    packed: bytes = msgpack.packb(fields, unicode_errors='surrogatepass')
    return packed


def _flatten(
    error: BaseException, packer: PackerV2, chains: bool
) -> list[dict[str, Any]]:
    """The fields of each exception of a tree, that of ``error`` first."""
    found = [error]
    places = {id(error): 0}

    def refer(others: Iterable[Any]) -> list[int]:
        for other in others:
            if id(other) not in places and len(found) < MAX_EXCEPTIONS:
                places[id(other)] = len(found)
                found.append(other)
        return [places[id(other)] for other in others if id(other) in places]

    described = []
    for each in found:  # which grows meanwhile: what is nearer comes first
        fields = describe(each, packer)
        described.append(fields)
        if issubclass(type(each), BaseExceptionGroup):
            members = get_field(each, 'exceptions', BaseExceptionGroup)
            fields['group'] = refer(members)
            if missing := len(members) - len(fields['group']):
                notes = [f'{missing} more sub-exceptions', *fields.get('notes', ())]
                fields['notes'] = notes[:MAX_NOTES]
        if chains:
            for field in ('cause', 'context'):
                other = get_field(each, f'__{field}__')
                # the text of a RemoteTraceback is part of our traceback already
                if other is not None and type(other) is not errors.RemoteTraceback:
                    for at in refer([other]):
                        fields[field] = at
            if get_field(each, '__suppress_context__'):
                fields['suppress'] = True
    return described


# ---------------------------------------------------------------- from the wire


def load(body: wire.Buffer, packer: PackerV2, protocol: int) -> Exception:
    """The exception to raise for the body of an ERROR; never raises itself."""
    try:
        value = msgpack.unpackb(body, unicode_errors='replace', timestamp=3)
        fields = _fields_v1(value) if protocol == 1 else value
        if not _is_readable(fields):
            raise ValueError('it is not a map with a type')
        error = _rebuild(fields, packer)
        trace = fields.get('traceback')
        if isinstance(trace, str) and trace:
            _hang(error, errors.RemoteTraceback(trace[-MAX_TRACEBACK:]))
        return error
    except Exception as problem:
        return errors.RemoteProtocolError(
            'the call failed, and the description of the error can not be read: '
            f'{problem!s:.200}'
        )


def _fields_v1(value: Any) -> dict[str, Any]:
    name, message, trace = value
    return {'type': find_bare(name), 'message': message, 'traceback': trace}


def _is_readable(fields: Any) -> bool:
    return type(fields) is dict and type(fields.get('type')) is str


def _rebuild(fields: dict[str, Any], packer: PackerV2) -> Exception:
    """The exception, and those it refers to."""
    others = fields.get('others')
    if type(others) is not list:
        others = []
    entries = [fields, *others[: MAX_EXCEPTIONS - 1]]
    built: dict[int, Exception] = {}
    for at, links in _order(entries):
        members = [built[to] for field, to in links if field == 'group']
        error = built[at] = _make(entries[at], members, packer, nested=at > 0)
        for field, to in links:
            if field != 'group':
                set_field(error, f'__{field}__', built[to])
        # setting a cause sets this as well
        set_field(error, '__suppress_context__', entries[at].get('suppress') is True)
    return built[0]


Links = list[tuple[str, int]]


def _order(entries: list[Any]) -> Iterator[tuple[int, Links]]:
    """In what order to build exceptions, each with its references to those before.

    A reference that closes a circle is left out, as programs that follow chains do not
    expect one; so is that to a member of two groups, as what walks through groups would
    take exponential time.
    """
    seen, members = {0}, set()
    under_way: dict[int, tuple[Links, Iterator[tuple[str, int]]]]
    under_way = {0: ([], _references(entries, 0))}
    while under_way:
        at, (links, references) = next(reversed(under_way.items()))
        for field, to in references:  # goes on where it stopped
            if to in under_way or (field == 'group' and to in members):
                continue
            if field == 'group':
                members.add(to)
            links.append((field, to))
            if to not in seen:
                seen.add(to)
                under_way[to] = ([], _references(entries, to))
                break
        else:
            del under_way[at]
            yield at, links


def _references(entries: list[Any], at: int) -> Iterator[tuple[str, int]]:
    """What one exception refers to, as far as it is there."""
    group = entries[at].get('group')
    wanted = (
        [('group', to) for to in group[:MAX_EXCEPTIONS]] if type(group) is list else []
    )
    wanted += [(field, entries[at].get(field)) for field in ('cause', 'context')]
    for field, to in wanted:
        if type(to) is int and 0 <= to < len(entries) and _is_readable(entries[to]):
            yield field, to


def _make(
    fields: dict[str, Any], members: list[Exception], packer: PackerV2, nested: bool
) -> Exception:
    name, message = fields['type'][:MAX_NAME], fields.get('message')
    message = message[:MAX_TEXT] if isinstance(message, str) else ''
    notes = fields.get('notes')
    notes = notes[:MAX_NOTES] if isinstance(notes, list) else []
    notes = [note[:MAX_TEXT] for note in notes if isinstance(note, str)]
    args: tuple[Any, ...] = (message,) if message else ()
    sent = _unpack(fields.get('args'), packer)
    if isinstance(sent, list | tuple):
        args = tuple(sent)
    cls = find(name)
    if nested and cls is not None and issubclass(cls, FATE):
        # only of the call itself may it be said whether it ran
        name, cls = f'pseud.errors.{cls.__name__}', None
    if members and cls is None:
        cls = ExceptionGroup
        if name != 'ExceptionGroup':
            notes.append(f'remote class: {name}')
    error = None
    if cls is not None:
        error = _build(cls, args, message, members, fields, packer)
    if error is None:
        error = errors.make_remote_error(name, message, args)
    if notes:
        get_field(error, '__dict__')['__notes__'] = notes
    return error


def _build(
    cls: type[Exception],
    args: tuple[Any, ...],
    message: str,
    members: list[Exception],
    fields: dict[str, Any],
    packer: PackerV2,
) -> Exception | None:
    """An exception of a known class; None if what came does not fit it."""
    if issubclass(cls, BaseExceptionGroup):
        text = args[0] if args and isinstance(args[0], str) else message
        args = (text, members)
    attributes = _unpack(fields.get('attributes'), packer) if is_registered(cls) else {}
    try:
        return build(cls, args, attributes if isinstance(attributes, dict) else {})
    except Exception:  # its name still travels
        return None


def _unpack(packed: Any, packer: PackerV2) -> Any:
    if not isinstance(packed, bytes):
        return None
    try:
        return packer.unpack(packed)
    except errors.SerializationError:
        return None


def _hang(error: BaseException, trace: errors.RemoteTraceback) -> None:
    """Put the remote traceback, which is that of the whole chain, at the chain's end."""
    while True:
        following = get_field(error, '__cause__')
        if following is None and not get_field(error, '__suppress_context__'):
            following = get_field(error, '__context__')
        if following is None:
            break
        error = following
    set_field(error, '__cause__', trace)

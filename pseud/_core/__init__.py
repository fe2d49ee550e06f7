"""The protocol, pure: frames and ``now`` go in; frames, events and a due time come out.

Nothing here does I/O, knows a clock, or imports what could.  `Endpoint` is the one
object the engine talks to; `wire` and `v1` are the two forms on the wire.
"""

"""When to log what others can cause as often as they like."""

__all__ = ['Seldom']


class Seldom:
    """Counts; it is time to say so at the first time, the second, the fourth and so on.

    So the log is not the damage.
    """

    __slots__ = ('count',)

    def __init__(self) -> None:
        self.count = 0

    def __call__(self) -> int:
        """One more: how many they are by now, or 0 if nobody needs to hear of it."""
        self.count += 1
        return 0 if self.count & (self.count - 1) else self.count

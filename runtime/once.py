"""Values that are made once in a process, also where several threads ask for them first.

`functools.cache` lets two threads that ask at once make a value each, and since Python 3.12
`functools.cached_property` does too. That is a fault where the value has an identity: an operator
of one thread is then unknown to another, and buffers of two contexts do not go together.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class Once(Generic[P, T]):
    """`function` with its results kept, as by `functools.cache`; who asks while a result is made
    waits for it.

    >>> @Once
    ... def found(name: str) -> list[str]:
    ...     return [name]
    >>> found("a") is found("a")
    True
    """

    def __init__(self, function: Callable[P, T]) -> None:
        functools.update_wrapper(self, function)
        self._cached: Any = functools.cache(function)
        self._lock = threading.RLock()  # a function may need itself

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> T:
        """The result for these arguments, made by whoever asks first."""
        with self._lock:
            result: T = self._cached(*args, **kwargs)
            return result

    def cache_clear(self) -> None:
        """Forget all results."""
        self._cached.cache_clear()


if TYPE_CHECKING:
    once_property = functools.cached_property
else:

    class once_property(functools.cached_property):
        """A `functools.cached_property` that is computed once for all threads."""

        def __init__(self, function: Callable[[Any], Any]) -> None:
            super().__init__(function)
            self._once = threading.RLock()

        def __get__(self, instance: Any, owner: type[Any] | None = None) -> Any:
            """The value, made by whoever asks first."""
            with self._once:
                # another thread may have made it since this one looked into the instance
                known = {} if instance is None else instance.__dict__
                if self.attrname in known:
                    return known[self.attrname]
                return super().__get__(instance, owner)

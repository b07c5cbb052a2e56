"""A thread of its own for a connection: calls in order, errors to their callers, few wake-ups."""

from __future__ import annotations

import asyncio
import threading
import weakref
from functools import partial

import pytest

from sttbatch.core.threads import SerialThread, computed


def test_calls_run_one_after_another_in_one_thread() -> None:
    seen: list[tuple[int, int]] = []

    def note(number: int) -> int:
        seen.append((number, threading.get_ident()))
        return number

    async def main() -> list[int]:
        thread = SerialThread("notes")
        results = await asyncio.gather(*(thread.run(partial(note, n)) for n in range(600)))
        thread.close()
        return results

    assert asyncio.run(main()) == list(range(600))
    assert [number for number, _ in seen] == list(range(600))
    assert {ident for _, ident in seen} != {threading.get_ident()}
    assert len({ident for _, ident in seen}) == 1


def test_what_a_call_raises_is_raised_to_who_awaits_it() -> None:
    async def main() -> tuple[object, object]:
        thread = SerialThread("errors")
        first, second = thread.run(lambda: 1 / 0), thread.run(lambda: "well")
        return await asyncio.gather(first, second, return_exceptions=True)

    error, result = asyncio.run(main())
    assert isinstance(error, ZeroDivisionError)
    assert result == "well"


def test_a_call_runs_though_nobody_waits_and_others_are_answered() -> None:
    done: list[str] = []

    async def main() -> str:
        thread, held = SerialThread("abandoned"), threading.Event()
        holding = thread.run(held.wait)
        abandoned = thread.run(lambda: done.append("abandoned"))
        last = thread.run(lambda: "last")
        abandoned.cancel()
        held.set()
        assert await holding
        return await last

    assert asyncio.run(main()) == "last"
    assert done == ["abandoned"]


def test_a_loop_that_has_ended_is_told_nothing() -> None:
    held, thread = threading.Event(), SerialThread("late")

    async def leave() -> None:
        thread.run(held.wait)

    asyncio.run(leave())
    held.set()

    async def go_on() -> int:
        return await thread.run(lambda: 7)

    assert asyncio.run(go_on()) == 7


@pytest.mark.parametrize("small", [True, False])
def test_what_is_small_stays_in_the_loop(small: bool) -> None:
    ident = asyncio.run(computed(threading.get_ident, small=small))
    assert (ident == threading.get_ident()) is small


def test_no_error_keeps_others_from_their_results() -> None:
    def stop() -> None:
        raise StopIteration

    async def main() -> tuple[object, object]:
        thread, held = SerialThread("stopping"), threading.Event()
        holding, stopped, last = thread.run(held.wait), thread.run(stop), thread.run(lambda: "well")
        held.set()
        _, *results = await asyncio.gather(holding, stopped, last, return_exceptions=True)
        return results[0], results[1]

    error, result = asyncio.run(main())
    assert isinstance(error, RuntimeError)
    assert result == "well"


def test_nothing_is_kept_while_a_thread_waits() -> None:
    class Result:
        pass

    async def main() -> weakref.ref[Result]:
        thread = SerialThread("waiting")
        known = weakref.ref(await thread.run(Result))
        # It waits for another call once this one is answered.
        await thread.run(lambda: None)
        return known

    assert asyncio.run(main())() is None


def test_an_ended_thread_takes_no_calls() -> None:
    async def main() -> None:
        thread = SerialThread("ended")
        await thread.run(lambda: None)
        thread.close()
        with pytest.raises(RuntimeError, match="has ended"):
            thread.run(lambda: None)

    asyncio.run(main())

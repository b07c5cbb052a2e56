"""Watches orders until workers have fulfilled them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sttbatch.core import events
from sttbatch.core.jobs import Worker
from sttbatch.core.orders import CANCELLED, Order
from sttbatch.core.ports import OrderStore
from sttbatch.kinds.ordering import PlacedOrder
from sttbatch.kinds.report import Outcome
from sttbatch.queue.job_queue import Pace
from sttbatch.queue.worker import WorkerRegistry


async def watch_orders(
    orders: OrderStore,
    registry: WorkerRegistry,
    placed: Sequence[PlacedOrder],
    emit: events.Emit,
    show: Callable[[int, Sequence[Worker]], None],
) -> None:
    """Emit the end of each order, as a run of its own does; returns when all have ended.

    `show` is called with the number of pending orders and the living workers.
    """
    pending = {each.order.id: each for each in placed}
    pace, warned = Pace(), False
    while True:
        found = await orders.find(list(pending))
        for order_id, waiting in list(pending.items()):
            order = found.get(order_id)
            if order is None or order.done_at is not None:
                del pending[order_id]
                _report(waiting, order, emit)
                pace = Pace()
        if not pending:
            return
        workers = await registry.of_routes({each.order.route for each in pending.values()})
        if not workers and not warned:
            warned = True
            others = await registry.living([each.id for each in await registry.store.list()])
            why = " for this engine and address" * any(each.load.route for each in others.values())
            emit(events.Warned("", f"no worker{why} is running; `sttbatch worker` starts one"))
        show(len(pending), workers)
        await pace.pause()


def _report(placed: PlacedOrder, order: Order | None, emit: events.Emit) -> None:
    """Emit how an order ended; None: it is gone."""
    path, audio_s = placed.display_path, placed.audio_s
    if order is not None and order.written is not None:
        emit(events.FileProcessingCompleted(path, (order.written,)))
    if order is None:
        emit(events.JobFailed(path, audio_s, "its job was purged; submit it again"))
    elif order.error is None:
        emit(events.JobCompleted(path, audio_s, False, placed.how))
    elif order.error == CANCELLED:
        emit(events.JobSkipped(path, audio_s, Outcome.CANCELLED, CANCELLED))
    else:
        emit(events.JobFailed(path, audio_s, order.error))

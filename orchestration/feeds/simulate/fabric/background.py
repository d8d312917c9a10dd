"""The ordering service in a process of its own: signing takes as long as all the rest.

What belongs here: starting and ending that process and getting blocks to it. Blocks go through a
pipe, which holds its writer back when the reader is behind: memory holds a block on either side.
"""

from __future__ import annotations

import signal
import traceback
from multiprocessing import current_process, get_context
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Self

from orchestration.feeds.simulate.fabric.ordering import (
    BlockStore,
    CommittedBlock,
    OrderedChain,
    Orderer,
)


def may_start_a_process() -> bool:
    """Whether this process may have children: a daemonic one may not."""
    return not current_process().daemon


class BackgroundOrderer:
    """An ``Orderer`` in another process, with the same methods; its errors are raised here.

    An error may surface some blocks later than its cause. Leaving the context without ``finish``
    stops the process.
    """

    def __init__(self, store: BlockStore) -> None:
        # Spawned, not forked: Arrow's threads do not survive a fork.
        context = get_context("spawn")
        source, self._blocks = context.Pipe(duplex=False)
        self._outcome, answer = context.Pipe(duplex=False)
        self._process = context.Process(
            target=_serve, args=(store, source, answer), name="simulated orderer", daemon=True
        )
        self._process.start()
        # Without these ends here, the death of one process ends the other's waiting.
        source.close()
        answer.close()

    def order(self, block: CommittedBlock) -> None:
        """Hand a block over; waits while the process is behind.

        Raises:
            FileExistsError: If the folder already holds a block file of that name.
            RuntimeError: If the process has ended.
        """
        self._send(block)

    def finish(self) -> OrderedChain:
        """Wait for the last block and return what was written; errors as in ``order``."""
        self._send(None)
        return self._result()

    def _send(self, block: CommittedBlock | None) -> None:
        try:
            self._blocks.send(block)
        except OSError as broken:
            self._result()
            raise RuntimeError("the simulated orderer stopped before the last block") from broken

    def _result(self) -> OrderedChain:
        try:
            outcome: OrderedChain | BaseException = self._outcome.recv()
        except EOFError:
            self._process.join()
            raise RuntimeError(
                f"the process of the simulated orderer ended with exit code "
                f"{self._process.exitcode} and no result; look for a lack of memory and run again"
            ) from None
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None:
            self._process.terminate()
        self._blocks.close()
        self._outcome.close()
        self._process.join()
        self._process.close()


def _serve(store: BlockStore, source: Connection, answer: Connection) -> None:
    """Order the blocks that come in until None comes; send the outcome or the error."""
    # An interrupt reaches the whole group of processes: the parent decides, its end ends this one.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with Orderer(store) as orderer:
            while (block := source.recv()) is not None:
                orderer.order(block)
        answer.send(orderer.finish())  # after the last file is closed
    except EOFError:
        return  # the parent is gone or gave up
    except Exception as error:  # noqa: BLE001 - whatever it is, the parent raises it
        error.add_note(f"in the process of the simulated orderer:\n{traceback.format_exc()}")
        answer.send(error)

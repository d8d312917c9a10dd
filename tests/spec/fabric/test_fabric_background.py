"""The ordering service in a process of its own: the same bytes, its errors, and its end."""

from __future__ import annotations

from collections.abc import Iterator
from multiprocessing import active_children, get_context
from pathlib import Path

import pytest

from orchestration.feeds.simulate.fabric_network import SimTransaction, write_channel


def orderers() -> list:
    return [child for child in active_children() if child.name == "simulated orderer"]


def test_a_parallel_channel_has_the_same_bytes_and_summary(
    small_channel, small_payroll, tmp_path: Path
):
    parallel = write_channel(
        tmp_path, small_payroll, seed=7, block_size=6, clients=5, is_parallel=True
    )
    assert parallel.files[0].read_bytes() == small_channel.files[0].read_bytes()
    assert parallel.head_header_hash == small_channel.head_header_hash
    assert parallel.head_commit_hash == small_channel.head_commit_hash
    assert parallel.transactions == small_channel.transactions
    assert not orderers()


def test_an_error_of_the_other_process_is_raised_here(small_channel, small_payroll):
    folder = small_channel.files[0].parent
    before = small_channel.files[0].read_bytes()
    with pytest.raises(FileExistsError) as raised:
        write_channel(folder, small_payroll * 20, seed=9, clients=5, is_parallel=True)
    assert "in the process of the simulated orderer" in raised.value.__notes__[0]
    assert small_channel.files[0].read_bytes() == before
    assert not orderers()


def test_an_error_here_ends_the_other_process(small_payroll, tmp_path: Path):
    with pytest.raises(ValueError, match="creator 4 is not one of 4 clients"):
        write_channel(tmp_path, small_payroll, seed=1, clients=4, is_parallel=True)
    assert not orderers()


def test_the_death_of_the_other_process_is_an_error_and_not_a_wait(small_payroll, tmp_path: Path):
    def killing() -> Iterator[SimTransaction]:
        for number, transaction in enumerate(small_payroll):
            if number == 20:
                (orderer,) = orderers()
                orderer.kill()
            yield transaction

    with pytest.raises(RuntimeError, match="ended with exit code -9 and no result"):
        write_channel(tmp_path, killing(), seed=1, clients=5, block_size=6, is_parallel=True)
    assert not orderers()


def _write_parallel(folder: Path, transactions: list[SimTransaction]) -> None:
    write_channel(folder, transactions, seed=7, block_size=6, clients=5, is_parallel=True)


def test_a_daemonic_process_writes_without_a_second_one(
    small_channel, small_payroll, tmp_path: Path
):
    process = get_context("spawn").Process(
        target=_write_parallel, args=(tmp_path, small_payroll), daemon=True
    )
    process.start()
    process.join(60)
    assert process.exitcode == 0
    written = (tmp_path / "blockfile_000000").read_bytes()
    assert written == small_channel.files[0].read_bytes()

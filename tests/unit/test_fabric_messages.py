"""The .proto text is read by our own parser, into a pool of its own."""

from __future__ import annotations

import pytest
from google.protobuf import descriptor_pool

from orchestration.feeds.fabric import messages


def test_messages_live_outside_the_shared_pool():
    with pytest.raises(KeyError):
        descriptor_pool.Default().FindMessageTypeByName("tracient.fabric.Block")


def test_a_message_reads_back_as_it_was_written():
    header = messages.ChannelHeader(type=3, channel_id="wages", tx_id="ab")
    header.timestamp.seconds = 5
    again = messages.ChannelHeader.FromString(header.SerializeToString())
    assert (again.type, again.channel_id, again.tx_id, again.timestamp.seconds) == (
        3,
        "wages",
        "ab",
        5,
    )


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("map<string, bytes> entries = 1;", "map<string"),
        ("oneof kind {", "oneof"),
        ("bytes data;", "bytes data"),
        ("import 'other.proto';", "import"),
    ],
)
def test_what_the_parser_does_not_know_is_refused_with_its_line(line: str, found: str):
    with pytest.raises(ValueError, match=f"line 2: expected .* found {found}"):
        messages.parse_proto(f"message A {{\n{line}\n}}")


def test_a_field_of_an_unknown_type_cannot_be_loaded():
    file = messages.parse_proto("message A {\n  Absent other = 1;\n}")
    pool = descriptor_pool.DescriptorPool()
    with pytest.raises(TypeError):
        pool.Add(file)

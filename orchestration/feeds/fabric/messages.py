"""Fabric's protobuf messages, from ``messages.proto``, in a descriptor pool of their own.

What belongs here: turning the .proto text into message classes. The pool is private, so that no
other package's Fabric messages can clash with these; the text is read by the small parser below,
so that neither protoc nor generated modules are needed. The parser knows what ``messages.proto``
uses (messages with scalar and message fields, single or repeated) and refuses everything else.
"""

from __future__ import annotations

import re
from importlib import resources
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_PACKAGE = "tracient.fabric"
_FIELD = descriptor_pb2.FieldDescriptorProto
_SCALARS = {
    "bool": _FIELD.TYPE_BOOL,
    "bytes": _FIELD.TYPE_BYTES,
    "int32": _FIELD.TYPE_INT32,
    "int64": _FIELD.TYPE_INT64,
    "string": _FIELD.TYPE_STRING,
    "uint64": _FIELD.TYPE_UINT64,
}
_MESSAGE_LINE = re.compile(r"message (\w+) \{")
_FIELD_LINE = re.compile(r"(repeated )?(\w+) (\w+) = (\d+);")
_PREAMBLE = ('syntax = "proto3";', f"package {_PACKAGE};")


def parse_proto(text: str) -> descriptor_pb2.FileDescriptorProto:
    """Return the descriptor of a .proto text in the subset that this module knows.

    Raises:
        ValueError: On a line outside that subset, with its number.
    """
    file = descriptor_pb2.FileDescriptorProto(
        name="tracient/fabric/messages.proto", package=_PACKAGE, syntax="proto3"
    )
    message = None
    for number, line in enumerate(text.splitlines(), start=1):
        statement = line.partition("//")[0].strip()
        if not statement or statement in _PREAMBLE:
            continue
        if opened := _MESSAGE_LINE.fullmatch(statement):
            message = file.message_type.add(name=opened[1])
        elif message is not None and statement == "}":
            message = None
        elif message is not None and (declared := _FIELD_LINE.fullmatch(statement)):
            _add_field(message, declared)
        else:
            raise ValueError(f"line {number}: expected a message, a field or }}; found {statement}")
    return file


def _add_field(message: descriptor_pb2.DescriptorProto, declared: re.Match[str]) -> None:
    repeated, kind, name, number = declared.groups()
    field = message.field.add(name=name, number=int(number))
    field.label = _FIELD.LABEL_REPEATED if repeated else _FIELD.LABEL_OPTIONAL
    if kind in _SCALARS:
        field.type = _SCALARS[kind]
    else:
        field.type = _FIELD.TYPE_MESSAGE
        field.type_name = f".{_PACKAGE}.{kind}"


def _load() -> dict[str, Any]:
    text = resources.files(__package__).joinpath("messages.proto").read_text(encoding="utf-8")
    file = parse_proto(text)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        each.name: message_factory.GetMessageClass(
            pool.FindMessageTypeByName(f"{_PACKAGE}.{each.name}")
        )
        for each in file.message_type
    }


CLASSES = _load()

Block = CLASSES["Block"]
BlockHeader = CLASSES["BlockHeader"]
ChannelHeader = CLASSES["ChannelHeader"]
Envelope = CLASSES["Envelope"]
Metadata = CLASSES["Metadata"]
Payload = CLASSES["Payload"]
SerializedIdentity = CLASSES["SerializedIdentity"]
SignatureHeader = CLASSES["SignatureHeader"]

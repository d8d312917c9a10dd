"""From contract files to ``Contract`` objects. Reading and refusing happen here, nothing else."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from data_contracts.contract import Column, Contract, Rule, RuleKind
from data_contracts.errors import ContractError, UnknownContractError
from data_contracts.odcs import Document, Property, Quality, SchemaObject

CONTRACTS_FOLDER = Path(__file__).resolve().parent
SUFFIX = ".odcs.yaml"

_PHYSICAL_TYPES = {
    "string": ("VARCHAR", "BLOB"),
    "integer": ("BIGINT", "INTEGER"),
    "number": ("DOUBLE", "DECIMAL"),
    "boolean": ("BOOLEAN",),
    "date": ("DATE",),
    "timestamp": ("TIMESTAMP WITH TIME ZONE",),
}


class Contracts(dict[str, Contract]):
    """Contracts by dataset name; asking for an unknown one names those that exist."""

    def __missing__(self, name: str) -> Contract:
        raise UnknownContractError(name, sorted(self))


def load_contracts(folder: Path = CONTRACTS_FOLDER) -> Contracts:
    """Read every ``*.odcs.yaml`` below a folder.

    Args:
        folder: Where to look, subfolders included; the contracts of this package by default.

    Returns:
        Contracts by dataset name, in the order of their names.

    Raises:
        ContractError: A file is not a contract, or two contracts have one name.
    """
    found: dict[str, Contract] = {}
    for path in sorted(folder.rglob(f"*{SUFFIX}")):
        contract = load_contract(path)
        if contract.name in found:
            raise ContractError(
                file=path,
                path="name",
                expected="a name that no other contract has",
                found=f"{contract.name!r}, which {found[contract.name].path} has too",
            )
        found[contract.name] = contract
    return Contracts(sorted(found.items()))


def load_contract(path: Path) -> Contract:
    """Read one contract file.

    Raises:
        ContractError: The file cannot be read, is not YAML, or is not a contract that we can use.
    """
    return parse_contract(_read_yaml(path), path)


def parse_contract(content: Mapping[str, Any], path: Path) -> Contract:
    """Build a contract from the parsed content of its file.

    Args:
        content: The document, as YAML or JSON gives it.
        path: The file to name in errors.

    Raises:
        ContractError: A field is unknown, missing or wrong.
    """
    document = _validate(content, path)
    table = document.schema_[0]
    _check_name(document, table, path)
    columns = tuple(_column(table, index, path) for index in range(len(table.properties)))
    properties = {custom.property: custom.value for custom in document.customProperties}
    contract = Contract(
        id=document.id,
        name=document.name,
        version=document.version,
        domain=document.domain,
        status=document.status,
        owner=document.team.name,
        description=document.description.purpose,
        limitations=document.description.limitations,
        columns=columns,
        table_rules=tuple(_table_rules(table, path)),
        subject_column=properties.get("subjectColumn"),
        path=path,
    )
    _check_references(contract)
    return contract


def _read_yaml(path: Path) -> Mapping[str, Any]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ContractError(
            file=path, path="file", expected="a readable file", found=str(error.strerror)
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}, column {mark.column + 1}" if mark else "file"
        problem = getattr(error, "problem", None) or type(error).__name__
        raise ContractError(
            file=path, path=where, expected="YAML in UTF-8", found=str(problem)
        ) from error
    if not isinstance(content, dict):
        kind = type(content).__name__
        raise ContractError(file=path, path="file", expected="a mapping of fields", found=kind)
    return content


def _validate(content: Mapping[str, Any], path: Path) -> Document:
    try:
        # Strict, but sequences may be lists: YAML has no tuples.
        return Document.model_validate_json(_to_json(content))
    except ValidationError as error:
        first = error.errors()[0]
        where = _path_of(first["loc"])
        if first["type"] == "extra_forbidden":
            raise ContractError(
                file=path,
                path=where,
                expected="only fields of the part of ODCS v3 that Tracient reads",
                found=f"the unknown field {first['loc'][-1]!r}",
            ) from error
        if first["type"] == "missing":
            raise ContractError(
                file=path, path=where, expected="this required field", found="nothing"
            ) from error
        raise ContractError(
            file=path, path=where, expected=first["msg"], found=repr(first["input"])
        ) from error


def _to_json(content: Mapping[str, Any]) -> str:
    # YAML reads an unquoted 2024-01-01 as a date; contracts mean its text.
    return json.dumps(content, default=str)


def _path_of(location: Sequence[int | str]) -> str:
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else f".{part}"
    return text.lstrip(".")


def _check_name(document: Document, table: SchemaObject, path: Path) -> None:
    for where, name in (("schema[0].name", table.name), ("file", path.name.removesuffix(SUFFIX))):
        if name != document.name:
            raise ContractError(
                file=path, path=where, expected=f"the contract's name {document.name!r}", found=name
            )


def _column(table: SchemaObject, index: int, path: Path) -> Column:
    source = table.properties[index]
    where = f"schema[0].properties[{index}]"
    if source.physicalType.split("(")[0] not in _PHYSICAL_TYPES[source.logicalType]:
        raise ContractError(
            file=path,
            path=f"{where}.physicalType",
            expected=f"{' or '.join(_PHYSICAL_TYPES[source.logicalType])} for a logicalType "
            f"{source.logicalType!r}",
            found=source.physicalType,
        )
    if source.primaryKey and source.primaryKeyPosition < 1:
        raise ContractError(
            file=path,
            path=f"{where}.primaryKeyPosition",
            expected="a position from 1 on, because primaryKey is true",
            found=str(source.primaryKeyPosition),
        )
    rules = (*_own_rules(table.name, source), *_quality_rules(table.name, source, where, path))
    return Column(
        name=source.name,
        logical_type=source.logicalType,
        physical_type=source.physicalType,
        description=source.description,
        classification=source.classification,
        is_required=source.required or source.primaryKey,
        is_unique=source.unique,
        key_position=source.primaryKeyPosition if source.primaryKey else None,
        rules=rules,
    )


def _own_rules(table: str, source: Property) -> Iterator[Rule]:
    """Yield the rules that a column's own fields state."""
    options = source.logicalTypeOptions

    def rule(kind: RuleKind, description: str, **arguments: Any) -> Rule:
        rule_id = f"{table}.{source.name}.{kind}"
        return Rule(rule_id, kind, (source.name,), "blocking", arguments, description)

    if source.required or source.primaryKey:
        yield rule("required", "is never missing")
    if source.unique:
        yield rule("unique", "never repeats")
    if options.pattern is not None:
        yield rule("pattern", f"matches {options.pattern}", pattern=options.pattern)
    if options.minLength is not None or options.maxLength is not None:
        low, high = options.minLength, options.maxLength
        yield rule("length", f"has {low} to {high} characters", minimum=low, maximum=high)
    if options.minimum is not None or options.maximum is not None:
        low_value, high_value = options.minimum, options.maximum
        text = f"lies from {low_value} to {high_value}"
        yield rule("range", text, minimum=low_value, maximum=high_value)


def _quality_rules(table: str, source: Property, where: str, path: Path) -> Iterator[Rule]:
    for number, quality in enumerate(source.quality):
        kind, arguments = _kind_of(quality, f"{where}.quality[{number}]", path)
        rule_id = f"{table}.{quality.id}"
        yield Rule(rule_id, kind, (source.name,), quality.severity, arguments, quality.description)


def _table_rules(table: SchemaObject, path: Path) -> Iterator[Rule]:
    keyed = [column for column in table.properties if column.primaryKey]
    if keyed:
        names = tuple(c.name for c in sorted(keyed, key=lambda c: c.primaryKeyPosition))
        yield Rule(
            f"{table.name}.key.unique", "unique", names, "blocking", {}, "names exactly one row"
        )
    for number, quality in enumerate(table.quality):
        kind, arguments = _kind_of(quality, f"schema[0].quality[{number}]", path)
        columns = (arguments["not_after"], arguments["column"]) if kind == "column_order" else ()
        rule_id = f"{table.name}.{quality.id}"
        yield Rule(rule_id, kind, columns, quality.severity, arguments, quality.description)


def _kind_of(quality: Quality, where: str, path: Path) -> tuple[RuleKind, dict[str, Any]]:
    """Translate a quality entry to our kind of rule and its arguments.

    Raises:
        ContractError: The entry's parts do not make a rule.
    """

    def wrong(field: str, expected: str, found: object) -> ContractError:
        return ContractError(
            file=path, path=f"{where}.{field}", expected=expected, found=str(found)
        )

    if quality.type == "custom":
        if quality.implementation is None or quality.engine is None:
            raise wrong("implementation", "an engine and an implementation", None)
        arguments: dict[str, Any] = dict(quality.implementation.arguments)
        if quality.implementation.rule == "column_order" and set(arguments) != {
            "column",
            "not_after",
        }:
            raise wrong("implementation.arguments", "column and not_after", sorted(arguments))
        return quality.implementation.rule, arguments
    if quality.metric == "rowCount":
        if quality.mustBeGreaterThan is None:
            raise wrong("mustBeGreaterThan", "the number of rows to exceed", None)
        return "row_count", {"more_than": quality.mustBeGreaterThan}
    if quality.mustBe != 0:
        raise wrong("mustBe", "0, for a metric that counts bad rows", quality.mustBe)
    return _counting_rule(quality, wrong)


def _counting_rule(quality: Quality, wrong: Any) -> tuple[RuleKind, dict[str, Any]]:
    """Translate a library metric that counts bad rows."""
    if quality.metric == "nullValues":
        return "required", {}
    if quality.metric == "duplicateValues":
        return "unique", {}
    if quality.metric is None:
        raise wrong("metric", "a metric of the standard's library", None)
    if set(quality.arguments) == {"validValues"}:
        return "valid_values", {"values": tuple(quality.arguments["validValues"])}
    if set(quality.arguments) == {"pattern"}:
        return "pattern", {"pattern": str(quality.arguments["pattern"])}
    raise wrong("arguments", "either validValues or pattern", sorted(quality.arguments))


def _check_references(contract: Contract) -> None:
    """Refuse repeated names, unknown columns in rules, and patterns that do not compile."""
    for what, names in (
        ("column names", list(contract.column_names)),
        ("rule ids", [rule.rule_id for rule in contract.rules]),
    ):
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            raise ContractError(
                file=contract.path,
                path="schema[0]",
                expected=f"{what} that differ",
                found=str(repeated),
            )
    used = {name for rule in contract.rules for name in rule.columns}
    used |= {contract.subject_column} if contract.subject_column else set()
    unknown = sorted(used - set(contract.column_names))
    if unknown:
        raise ContractError(
            file=contract.path,
            path="customProperties or quality",
            expected=f"names of columns ({', '.join(contract.column_names)})",
            found=", ".join(unknown),
        )
    for rule in contract.rules:
        _check_pattern(rule, contract.path)


def _check_pattern(rule: Rule, path: Path) -> None:
    if rule.kind != "pattern":
        return
    try:
        re.compile(rule.arguments["pattern"])
    except re.error as error:
        raise ContractError(
            file=path, path=rule.rule_id, expected="a regular expression", found=str(error)
        ) from error

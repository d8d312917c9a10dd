"""The part of the Open Data Contract Standard (ODCS v3.1) that Tracient reads, as pydantic models.

Only the document's shape belongs here. What a contract means to the platform is in ``contract``.
A field of the standard that is not listed here is refused rather than ignored: a rule that nobody
enforces would be a promise that nobody keeps.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

SEMVER = r"^\d+\.\d+\.\d+$"
NAME = r"^[a-z][a-z0-9_]*$"
PHYSICAL_TYPE = (
    r"^(VARCHAR|BIGINT|INTEGER|DOUBLE|BOOLEAN|DATE|TIMESTAMP WITH TIME ZONE|BLOB"
    r"|DECIMAL\(\d{1,2},\d{1,2}\))$"
)

LogicalType = Literal["string", "integer", "number", "boolean", "date", "timestamp"]
Classification = Literal["public", "internal", "restricted"]
Severity = Literal["blocking", "warning"]
Status = Literal["proposed", "draft", "active", "deprecated", "retired"]
LibraryMetric = Literal["nullValues", "duplicateValues", "invalidValues", "rowCount"]
CustomRule = Literal["no_identity_number", "column_order"]


class OdcsModel(BaseModel):
    """A node of the document: strict types, no unknown fields, unchangeable."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class CustomProperty(OdcsModel):
    """A name and value that the standard leaves to its users."""

    property: str
    value: str
    description: str = ""


class Description(OdcsModel):
    """Why the table exists, how to use it and what it cannot say."""

    purpose: str
    usage: str = ""
    limitations: str = ""


class Team(OdcsModel):
    """Who answers for the table."""

    name: str
    description: str = ""


class LogicalTypeOptions(OdcsModel):
    """Limits on a column's values, each of which becomes a blocking rule."""

    pattern: str | None = None
    minLength: int | None = Field(default=None, ge=0)  # noqa: N815 - the standard's spelling
    maxLength: int | None = Field(default=None, ge=0)  # noqa: N815 - the standard's spelling
    minimum: int | float | None = None
    maximum: int | float | None = None
    format: str | None = None


class CustomImplementation(OdcsModel):
    """A rule of our own engine; its parameters are checked where the rule is built."""

    rule: CustomRule
    arguments: dict[str, str] = Field(default_factory=dict)


class Quality(OdcsModel):
    """One quality rule: of the standard's library, or of Tracient's engine."""

    id: str = Field(pattern=NAME)
    type: Literal["library", "custom"]
    description: str
    severity: Severity
    dimension: str | None = None
    metric: LibraryMetric | None = None
    arguments: dict[str, Any] = Field(default_factory=dict)
    mustBe: int | None = None  # noqa: N815 - the standard's spelling
    mustBeGreaterThan: int | None = None  # noqa: N815 - the standard's spelling
    engine: Literal["tracient"] | None = None
    implementation: CustomImplementation | None = None


class Property(OdcsModel):
    """One column."""

    name: str = Field(pattern=NAME)
    logicalType: LogicalType  # noqa: N815 - the standard's spelling
    physicalType: str = Field(pattern=PHYSICAL_TYPE)  # noqa: N815 - the standard's spelling
    description: str = Field(min_length=1)
    classification: Classification = "internal"
    required: bool = False
    unique: bool = False
    primaryKey: bool = False  # noqa: N815 - the standard's spelling
    primaryKeyPosition: int = -1  # noqa: N815 - the standard's spelling
    logicalTypeOptions: LogicalTypeOptions = LogicalTypeOptions()  # noqa: N815 - as above
    quality: tuple[Quality, ...] = ()
    examples: tuple[str, ...] = ()


class SchemaObject(OdcsModel):
    """One table."""

    name: str = Field(pattern=NAME)
    physicalType: Literal["table"] = "table"  # noqa: N815 - the standard's spelling
    logicalType: Literal["object"] = "object"  # noqa: N815 - the standard's spelling
    description: str = Field(min_length=1)
    properties: tuple[Property, ...] = Field(min_length=1)
    quality: tuple[Quality, ...] = ()


class Document(OdcsModel):
    """One contract file: exactly one table each, so that a version speaks for one table."""

    apiVersion: str = Field(pattern=r"^v3\.\d+\.\d+$")  # noqa: N815 - the standard's spelling
    kind: Literal["DataContract"]
    id: str = Field(min_length=1)
    name: str = Field(pattern=NAME)
    version: str = Field(pattern=SEMVER)
    status: Status
    domain: str = Field(pattern=NAME)
    description: Description
    team: Team
    schema_: tuple[SchemaObject] = Field(alias="schema")
    tags: tuple[str, ...] = ()
    customProperties: tuple[CustomProperty, ...] = ()  # noqa: N815 - the standard's spelling

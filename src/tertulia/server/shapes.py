"""The shapes of those fields that a request may say in several ways and that are read as plain objects: what
``/openapi.json`` tells of them. Nothing is decoded with these types; tests hold them to what is understood."""

from typing import Any, Literal

from msgspec import Struct


class TextFormat(Struct, tag_field="type", tag="text"):
    pass


class JsonObjectFormat(Struct, tag_field="type", tag="json_object"):
    schema: dict[str, Any] | None = None


class FormatSchema(Struct):
    name: str | None = None
    description: str | None = None
    schema: dict[str, Any] | None = None
    strict: bool | None = True


class JsonSchemaFormat(Struct, tag_field="type", tag="json_schema"):
    json_schema: FormatSchema


class JsonFormat(Struct, tag_field="type", tag="json"):
    value: dict[str, Any]


class RegexFormat(Struct, tag_field="type", tag="regex"):
    value: str


class StructuredOutputs(Struct):
    json: dict[str, Any] | str | None = None
    regex: str | None = None
    choice: list[str] | None = None
    grammar: str | None = None


class FunctionName(Struct):
    name: str


class NamedTool(Struct):
    function: FunctionName
    type: Literal["function"] = "function"


class Allowed(Struct):
    mode: Literal["auto", "required"]
    tools: list[NamedTool]


class AllowedTools(Struct, tag_field="type", tag="allowed_tools"):
    allowed_tools: Allowed


FORMATS = (TextFormat, JsonObjectFormat, JsonSchemaFormat, JsonFormat, RegexFormat)
"""What ``response_format`` may be."""
CHOICES = (NamedTool, AllowedTools)
"""What ``tool_choice`` may be beside a word."""
ALL = (*FORMATS, *CHOICES, StructuredOutputs)

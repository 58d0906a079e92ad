"""JSON Schemas of the four files, with which an editor completes and checks them."""

import re
from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core.core_schema import PlainValidatorFunctionSchema

from gateway.config.models import FILES, Model, RoutesFile, model_of
from gateway.config.models.base import Checking
from gateway.config.models.llm.file import ModelsFile
from gateway.config.yaml.compose import BARE_LIST

Schema = dict[str, Any]

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_UNDERSCORE = re.compile("_([a-z])")
_NOTES = ("description", "default", "examples")
_EXPANSION: Schema = {
    "type": "string",
    "pattern": r"\$\{[^}]+\}",
    "description": "${NAME}, ${NAME:-default} or ${file:path}, replaced when the file is read.",
}


class _Generate(GenerateJsonSchema):
    """With the models that are checked by their own validators."""

    def function_plain_schema(self, schema: PlainValidatorFunctionSchema) -> JsonSchemaValue:
        check = schema["function"]["function"]
        if not isinstance(check, Checking):
            return super().function_plain_schema(schema)
        check.model.model_rebuild()
        return self.generate_inner(check.model.__pydantic_core_schema__)


def schemas() -> dict[str, Schema]:
    """One JSON Schema (draft 2020-12) for each file, by its name."""
    return {file: _schema(file, model_of(file)) for file in FILES}


def _schema(file: str, model: type[Model]) -> Schema:
    generated = model.model_json_schema(schema_generator=_Generate)
    generated = {"$defs": {**generated.pop("$defs", {}), model.__name__: generated}}
    definitions: Schema = _adapt(generated)["$defs"]
    if model is ModelsFile:
        definitions = {name: _in_both_spellings(each) for name, each in definitions.items()}
    top: Schema = {"$ref": f"#/$defs/{model.__name__}"}
    if model is RoutesFile:
        top = {"anyOf": [top, definitions[model.__name__]["properties"][BARE_LIST]]}
    return {"$schema": _DIALECT, "title": file, **top, "$defs": {**definitions, "Expansion": _EXPANSION}}


def _in_both_spellings(definition: Schema) -> Schema:
    """With each key in camelCase, too."""
    if "properties" not in definition:
        return definition
    properties = definition["properties"]
    camel = {_UNDERSCORE.sub(lambda match: match[1].upper(), key): schema for key, schema in properties.items()}
    return {**definition, "properties": {**camel, **properties}}


def _adapt(schema: Schema) -> Schema:
    """Fit what pydantic generates to what the files may say: `${...}` for a value, no null for a key that is unset."""
    schema = _with_named_keys(schema)
    notes = {key: schema[key] for key in _NOTES if key in schema}
    shape = {key: _below(key, value) for key, value in schema.items() if key != "title" and key not in _NOTES}
    options: list[Schema] = shape.pop("anyOf", None) or [shape]
    if "default" in notes and notes["default"] is None:
        options = [option for option in options if option != {"type": "null"}]
    if not isinstance(notes.get("default"), bool | int | float | str) or notes["default"] == "":
        notes.pop("default", None)  # nothing that an editor should insert
    if any(
        option.get("type") in ("integer", "number", "boolean") or "pattern" in option or "enum" in option
        for option in options
    ):
        options.append({"$ref": "#/$defs/Expansion"})
    return {**notes, **(options[0] if len(options) == 1 else {"anyOf": options})}


def _with_named_keys(schema: Schema) -> Schema:
    """The schema of keys that match a pattern only, so that no other key passes."""
    if "patternProperties" not in schema:
        return schema
    rest = {key: value for key, value in schema.items() if key != "patternProperties"}
    ((pattern, values),) = schema["patternProperties"].items()
    return {**rest, "additionalProperties": values, "propertyNames": {"pattern": pattern}}


def _below(key: str, value: Any) -> Any:
    if key in ("properties", "$defs"):
        return {name: _adapt(schema) for name, schema in value.items()}
    if key == "anyOf":
        return [{name: _below(name, part) for name, part in option.items()} for option in value]
    return _adapt(value) if key in ("items", "additionalProperties") and isinstance(value, dict) else value

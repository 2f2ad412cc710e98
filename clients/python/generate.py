"""Writes task_inbox/models.py: the types that the client speaks, from the API's description and ../types.json.

Usage: python generate.py [FILE]
"""

import json
import keyword
import re
import sys
from pathlib import Path
from textwrap import indent, wrap
from typing import Any, Dict, List, Optional, Set

HERE = Path(__file__).parent
REFERENCE = re.compile(r'"#/components/schemas/(\w+)"')
SIMPLE = {"string": "str", "integer": "int", "number": "float", "boolean": "bool"}
WIDTH = 116

Schema = Dict[str, Any]


def schemas() -> Dict[str, Schema]:
    """All schemas that the client may need, by name."""
    description = json.loads((HERE / "../../openapi/openapi.json").read_text("utf-8"))
    wanted = json.loads((HERE / "../types.json").read_text("utf-8"))
    every: Dict[str, Schema] = {**description["components"]["schemas"], **wanted["schemas"]}
    for name, derived in wanted["without"].items():
        whole, left_out = every[derived["schema"]], derived["properties"]
        every[name] = {
            **whole,
            "description": derived["description"],
            "required": [key for key in whole["required"] if key not in left_out],
            "properties": {key: value for key, value in whole["properties"].items() if key not in left_out},
        }
    for name, properties in wanted["properties"].items():
        every[name] = {**every[name], "properties": {**every[name]["properties"], **properties}}

    reached: Set[str] = set()

    def take(name: str) -> None:
        if name not in reached:
            reached.add(name)
            for other in REFERENCE.findall(json.dumps(every[name])):
                take(other)

    for name in wanted["types"]:
        take(name)
    return {name: every[name] for name in sorted(reached)}


def type_of(schema: Schema) -> str:
    """What a schema is in Python, as an expression that Python 3.9 evaluates."""
    if "$ref" in schema:
        return f'"{schema["$ref"].rsplit("/", 1)[1]}"'
    if "enum" in schema:
        return listed("Literal", [json.dumps(value) for value in schema["enum"]])
    if "oneOf" in schema:
        return union([type_of(option) for option in schema["oneOf"]])
    kinds = schema.get("type")
    if kinds is None:
        return "Any"
    return union([simple(kind, schema) for kind in ([kinds] if isinstance(kinds, str) else kinds)])


def listed(generic: str, options: List[str]) -> str:
    line = f"{generic}[{', '.join(options)}]"
    return line if len(line) < WIDTH - 20 else f"{generic}[\n" + "".join(f"    {option},\n" for option in options) + "]"


def simple(kind: str, schema: Schema) -> str:
    if kind == "null":
        return "None"
    if kind == "array":
        return f"List[{type_of(schema['items'])}]"
    if kind == "object":
        return "Dict[str, Any]"
    return SIMPLE[kind]


def union(options: List[str]) -> str:
    rest = [option for option in options if option != "None"]
    if not rest:
        return "None"
    inner = rest[0] if len(rest) == 1 else f"Union[{', '.join(rest)}]"
    return inner if len(rest) == len(options) else f"Optional[{inner}]"


def text(description: str) -> str:
    """A docstring."""
    words = description.replace("\\", "\\\\").split()
    lines = wrap(" ".join(words), WIDTH - 10)
    return f'"""{lines[0]}"""' if len(lines) == 1 else '"""' + "\n".join(lines) + '\n"""'


def said(schema: Schema) -> Optional[str]:
    """A schema's description, which may stand at the option that is not null."""
    descriptions = [option.get("description") for option in [schema, *schema.get("oneOf", [])]]
    return next((description for description in descriptions if description), None)


def fields(properties: Dict[str, Schema], names: List[str]) -> str:
    lines: List[str] = []
    for name in names:
        lines.append(f"{name}: {type_of(properties[name])}")
        if description := said(properties[name]):
            lines.append(text(description))
    return indent("\n".join(lines), "    ")


def called(name: str, properties: Dict[str, Schema], names: List[str], total: bool = True) -> str:
    """A dictionary's type as a call, which takes keywords as names of fields."""
    lines: List[str] = []
    for key in names:
        lines += [f"# {line}" for line in wrap(said(properties[key]) or "", WIDTH - 10)]
        lines.append(f'"{key}": {type_of(properties[key])},')
    arguments = [f'    "{name}",', "    {", indent("\n".join(lines), "        "), "    },"]
    if not total:
        arguments.append("    total=False,")
    return "\n".join(["TypedDict(", *arguments, ")"])


def declaration(name: str, schema: Schema) -> str:
    if "allOf" in schema:
        parts = schema["allOf"]
        merged = {
            "type": "object",
            "description": schema["description"],
            "required": [key for part in parts for key in part.get("required", [])],
            "properties": {key: value for part in parts for key, value in part["properties"].items()},
        }
        return declaration(name, merged)
    if schema.get("type") != "object" or "properties" not in schema:
        return f"{name} = {type_of(schema)}\n{text(schema['description'])}"
    properties, required = schema["properties"], schema.get("required", [])
    optional = [key for key in properties if key not in required]
    always = [key for key in properties if key in required]
    own = indent(text(schema["description"]), "    ") + "\n\n"
    if not optional and any(map(keyword.iskeyword, always)):
        return f'{name} = {called(name, properties, always)}\n{text(schema["description"])}'
    if any(map(keyword.iskeyword, optional)):
        base = f"_{name} = {called(f'_{name}', properties, optional, total=False)}"
        return f"{base}\n\n\nclass {name}(_{name}):\n{own}{fields(properties, always)}"
    if not optional:
        return f"class {name}(TypedDict):\n{own}{fields(properties, always)}"
    if not always:
        return f"class {name}(TypedDict, total=False):\n{own}{fields(properties, optional)}"
    # What is always there is a class of its own: Python 3.9 has no NotRequired.
    base = f"class _{name}(TypedDict):\n{fields(properties, always)}"
    return f"{base}\n\n\nclass {name}(_{name}, total=False):\n{own}{fields(properties, optional)}"


def main() -> None:
    every = schemas()
    # Aliases are evaluated when they stand there, so that they come last.
    classes = [declaration(name, schema) for name, schema in every.items()]
    classes.sort(key=lambda declared: not declared.startswith("class"))
    body = "\n\n\n".join(classes)
    header = (
        '"""What the inbox is told and answers, as dictionaries.\n\n'
        "Made by generate.py from ../openapi/openapi.json and ../types.json; not to be edited.\n"
        '"""\n\nfrom typing import Any, Dict, List, Literal, Optional, TypedDict, Union\n'
    )
    exported = "__all__ = [\n" + "".join(f'    "{name}",\n' for name in every) + "]\n"
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "task_inbox/models.py"
    target.write_text(f"{header}\n{exported}\n\n{body}\n", "utf-8")


main()

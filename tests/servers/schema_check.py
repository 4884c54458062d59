"""Checks TOML files against a JSON Schema: prints what is wrong, and exits with 1 where anything is."""

import json
import sys
import tomllib

from jsonschema import Draft202012Validator


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        schema = json.load(file)
    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(schema)
    faults = 0
    for name in sys.argv[2:]:
        with open(name, "rb") as file:
            document = tomllib.load(file)
        for error in validator.iter_errors(document):
            path = ".".join(str(step) for step in error.absolute_path)
            print(f"{name}: {path}: {error.message}")
            faults += 1
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()

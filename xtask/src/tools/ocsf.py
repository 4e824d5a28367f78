"""Holds lines of JSON on stdin to the schema of the version that each names; says what is wrong, and ends with 1."""

import json
import sys
from functools import lru_cache

from jsonschema import Draft202012Validator
from ocsf_json_schema import OcsfJsonSchemaEmbedded, get_ocsf_schema


@lru_cache
def schema(version):
    return OcsfJsonSchemaEmbedded(get_ocsf_schema(version=version))


@lru_cache
def validator(version, class_uid, profiles):
    name = schema(version).lookup_class_name_from_uid(class_uid=class_uid)
    return Draft202012Validator(schema(version).get_class_schema(class_name=name, profiles=list(profiles)))


wrong = 0
for line in sys.stdin:
    event = json.loads(line)
    told = event["metadata"]
    of = validator(told["version"], event["class_uid"], tuple(told.get("profiles", [])))
    for error in of.iter_errors(event):
        wrong += 1
        print(f"{told.get('event_code')}: {'/'.join(map(str, error.absolute_path))}: {error.message[:300]}")
sys.exit(wrong > 0)

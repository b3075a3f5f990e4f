"""
What editors are told of a configuration file (JSON Schema, draft 2020-12).
"""

from __future__ import annotations

from typing import Any

from attrs import NOTHING

from ockam_twisted.configuration.declared import Declared, declared
from ockam_twisted.configuration.settings import NodeSettings


def schema() -> dict[str, Any]:
    """
    The schema of a whole file.
    """
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A node of ockam_twisted",
        **_group(NodeSettings),
    }


def _group(kind: Any) -> dict[str, Any]:
    each = list(declared(kind))
    described: dict[str, Any] = {
        "type": "object",
        "additionalProperties": False,
        "properties": {one.key: _setting(one) for one in each},
    }
    required = [one.key for one in each if one.default is NOTHING]
    return described | ({"required": required} if required else {})


def _setting(one: Declared) -> dict[str, Any]:
    setting = one.setting
    described: dict[str, Any] = {"description": setting.help}
    if setting.group is not None:
        its = _group(setting.group)
        if setting.isMany:
            return described | {"type": "array", "items": its}
        # It may be there with nothing in it.
        return described | its | {"type": ["object", "null"]}
    assert setting.form is not None
    its = setting.form.schema
    if setting.isMany:
        return described | {"anyOf": [its, {"type": "array", "items": its}]}
    if isinstance(one.default, bool | int | float) or (isinstance(one.default, str) and one.default):
        described["default"] = one.default
    return described | its

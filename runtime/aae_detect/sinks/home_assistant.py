"""What Home Assistant is told of each source, so that it shows up there by itself (MQTT discovery)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from aae_detect import __version__
from aae_detect.sinks.mqtt_link import Message
from aae_detect.sinks.mqtt_names import identifier, source_topic


def discovery(prefix: str, topic: str, sources: Sequence[str]) -> list[Message]:
    """Make the messages that describe all entities; to be retained.

    Args:
        prefix: Home Assistant's discovery prefix, `homeassistant` unless it was changed there.
        topic: What all topics of this device begin with.
        sources: Their names.
    """
    device_id = identifier(f"aae-detect {topic}")
    device = {
        "identifiers": [device_id],
        "name": topic.rpartition("/")[2],
        "manufacturer": "aae-detect",
        "model": "visual inspection",
        "sw_version": __version__,
    }
    messages = []
    for source in sources:
        state = f"{source_topic(topic, source)}/state"
        for kind, what, fields in _ENTITIES:
            entity_id = f"{device_id}_{identifier(source)}_{what}"
            entity = {
                **fields,
                "name": f"{source} {what}",
                "unique_id": entity_id,
                "object_id": entity_id,
                "state_topic": state,
                "availability_topic": f"{topic}/status",
                "device": device,
                "origin": {"name": "aae-detect", "sw_version": __version__},
            }
            if what == "defect":
                entity["json_attributes_topic"] = state
            messages.append((f"{prefix}/{kind}/{entity_id}/config", json.dumps(entity).encode()))
    return messages


_ENTITIES: tuple[tuple[str, str, dict[str, Any]], ...] = (
    (
        "binary_sensor",
        "defect",
        {
            "device_class": "problem",
            "value_template": "{{ {'NG': 'ON', 'OK': 'OFF'}.get(value_json.verdict, 'None') }}",
        },
    ),
    (
        "binary_sensor",
        "camera",
        {
            "device_class": "connectivity",
            "value_template": "{{ 'ON' if value_json.camera == 'there' else 'OFF' }}",
            "entity_category": "diagnostic",
        },
    ),
    (
        "sensor",
        "score",
        {
            "state_class": "measurement",
            "suggested_display_precision": 2,
            "value_template": "{{ value_json.score if value_json.score is not none else 'None' }}",
        },
    ),
)

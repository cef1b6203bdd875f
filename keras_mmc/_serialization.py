"""Frozen dataclasses that Keras can save: attacks, defenses and regularizers."""

import dataclasses
from typing import Any, TypeVar

import keras

C = TypeVar("C", bound="Configurable")


@dataclasses.dataclass(frozen=True)
class Configurable:
    """Base of dataclasses whose configuration is their fields.

    A subclass that is registered with `keras.saving.register_keras_serializable` can be part of a
    saved model.
    """

    def get_config(self) -> dict[str, Any]:
        """The fields, serialized as Keras does."""
        return {
            field.name: keras.saving.serialize_keras_object(getattr(self, field.name))
            for field in dataclasses.fields(self)
            if field.init
        }

    @classmethod
    def from_config(cls: type[C], config: dict[str, Any]) -> C:
        """The object that `get_config` described."""
        values = map(keras.saving.deserialize_keras_object, config.values())
        # JSON knows no tuples; the fields, being of frozen dataclasses, are never lists.
        fields = (tuple(value) if isinstance(value, list) else value for value in values)
        return cls(**dict(zip(config, fields, strict=True)))

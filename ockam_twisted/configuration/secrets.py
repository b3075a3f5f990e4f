"""
Secrets are named, never written: by the file they are in, by the name of a
systemd credential, or by an environment variable.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from attrs import frozen

from ockam_twisted.configuration.forms import Form, asText
from ockam_twisted.errors import ConfigurationError

#: The largest secret, bytes.
MAX_SECRET = 16 * 1024

_KINDS = ("file:", "credential:", "env:")


@frozen
class Secret(Form):
    """
    A reference to a secret.
    """

    allowed: str = "where a secret is: file:FILE, credential:NAME (systemd) or env:NAME"
    example: str = "file:/run/secrets/ticket"

    @property
    def schema(self) -> dict[str, object]:
        """
        See L{Form.schema}.
        """
        return {"type": "string", "pattern": "^(file:|@|credential:|env:).+"}

    def read(self, value: object, what: str) -> str:
        """
        See L{Form.read}.
        """
        text = asText(value, what, self.allowed)
        if text.startswith("@"):
            text = f"file:{text[1:]}"
        kind, colon, name = text.partition(":")
        if f"{kind}{colon}" not in _KINDS or not name:
            # It may be the secret itself, so it is not shown.
            raise ConfigurationError(f"{what} is {self.allowed}, never the secret itself")
        return text


SECRET = Secret()

#: What no file can say: the secret itself follows.
_ITSELF = "text:"


def given(secret: str) -> str:
    """
    A reference to a secret that was given itself, as an option of a command;
    L{resolve} takes it.

    @param secret: Empty for none.
    """
    return f"{_ITSELF}{secret}" if secret else ""


def resolve(reference: str, what: str, environ: Mapping[str, str]) -> str:
    """
    The secret that a reference names.

    @param reference: As L{Secret} reads it; empty for none.
    @param what: What it is called where it is written.
    @raise ConfigurationError: It cannot be had, or is empty.
    """
    if not reference:
        return ""
    if reference.startswith(_ITSELF):
        return reference.removeprefix(_ITSELF)
    kind, _, name = reference.partition(":")
    if kind == "env":
        if name not in environ:
            raise ConfigurationError(f"{what}: there is no environment variable {name[:60]!a}")
        secret = environ[name]
    else:
        path = name
        if kind == "credential":
            folder = environ.get("CREDENTIALS_DIRECTORY", "")
            if not folder:
                raise ConfigurationError(f"{what}: there are no credentials here (in a systemd unit: LoadCredential=)")
            path = os.path.join(folder, os.path.basename(name))
        try:
            with open(path, encoding="utf-8", errors="replace") as file:
                secret = file.read(MAX_SECRET)
        except (OSError, ValueError) as error:
            raise ConfigurationError(
                f"{what}: cannot read {path[:200]!a}: {getattr(error, 'strerror', None) or error}"
            ) from None
    if not secret.strip():
        raise ConfigurationError(f"{what}: there is nothing in {reference[:200]!a}")
    return secret.strip()

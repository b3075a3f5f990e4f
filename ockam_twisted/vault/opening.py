"""
The vault that an operator has asked for.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from ockam_twisted.errors import ConfigurationError, StateUnusable
from ockam_twisted.interfaces import IIdentityStore, IVault
from ockam_twisted.vault.sealed import SETTING, SealedSecrets, unlock
from ockam_twisted.vault.software import SecretStore, SoftwareVault

_MAX_PASSPHRASE = 4096


def readPassphrase(text: str, environ: Mapping[str, str]) -> bytes | None:
    """
    Read a passphrase.

    @param text: The path of a file, C{credential:NAME} for a systemd
        credential, or C{env:NAME} for an environment variable; empty for
        none.
    @raise ConfigurationError: It cannot be read, or is empty.
    """
    if not text:
        return None
    if text.startswith("env:"):
        value = environ.get(text.removeprefix("env:"), "").encode("utf-8", "surrogateescape")
        if not 0 < len(value) <= _MAX_PASSPHRASE:
            raise ConfigurationError(
                f"--passphrase {text[:80]}: this environment variable is not set, is empty, or has more than "
                f"{_MAX_PASSPHRASE} bytes"
            )
        return value
    path = text
    if text.startswith("credential:"):
        folder = environ.get("CREDENTIALS_DIRECTORY", "")
        if not folder:
            raise ConfigurationError(
                f"--passphrase {text[:80]}: there are no credentials here (in a systemd unit: LoadCredential=)"
            )
        path = os.path.join(folder, os.path.basename(text.removeprefix("credential:")))
    try:
        with open(path, "rb") as file:
            passphrase = file.read(_MAX_PASSPHRASE + 1).rstrip(b"\r\n")
    except OSError as error:
        raise ConfigurationError(f"cannot read the passphrase in {path}: {error.strerror}") from None
    if not 0 < len(passphrase) <= _MAX_PASSPHRASE:
        raise ConfigurationError(f"the passphrase in {path} is empty or longer than {_MAX_PASSPHRASE} bytes")
    return passphrase


def checkPassphrase(setting: bytes | None, passphrase: bytes | None) -> None:
    """
    Does a passphrase go with what is kept?

    @param setting: What is kept under L{SETTING}.
    @raise StateUnusable: No.
    """
    if setting is None:
        return
    if passphrase is None:
        raise StateUnusable("the secrets in the state folder are encrypted: give --passphrase FILE")
    unlock(setting, passphrase)


async def openVault(reactor: Any, store: IIdentityStore, token: str, passphrase: bytes | None) -> IVault:
    """
    Open it.

    @param token: Where signing keys are to be: a URI as in RFC 7512; empty
        for the store.
    @param passphrase: Encrypts what is in the store; L{None}: nothing does.
    @raise OckamError: It cannot be opened.
    """
    if passphrase is None:
        checkPassphrase(store.setting(SETTING), None)
    secrets: SecretStore = store if passphrase is None else await SealedSecrets.open(store, passphrase)
    if not token:
        return SoftwareVault(secrets)
    from ockam_twisted.vault.pkcs11 import PKCS11Vault, TokenURI

    return PKCS11Vault(reactor, TokenURI.fromText(token), secrets)

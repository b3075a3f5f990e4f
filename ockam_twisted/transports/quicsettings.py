"""
What all QUIC connections have in common.
"""

from __future__ import annotations

import datetime
import ssl
from typing import Any

from aioquic.quic.configuration import QuicConfiguration

from ockam_twisted.transports.quicpace import NAME

#: What is spoken over it (RFC 7301), and how long ids are, bytes.
ALPN, ID = "ockam", 8

#: What may be under way in each direction, bytes: enough for 100 Mbit/s over 300 ms.
WINDOW = 4 * 1024 * 1024

#: Seconds of silence after which it is over.
IDLE = 40.0


def configuration(isClient: bool) -> QuicConfiguration:
    """
    What all connections have in common.
    """
    made = QuicConfiguration(
        alpn_protocols=[ALPN],
        is_client=isClient,
        idle_timeout=IDLE,
        max_data=WINDOW + 65536,
        max_stream_data=WINDOW,
        connection_id_length=ID,
        congestion_control_algorithm=NAME,
    )
    if isClient:
        made.verify_mode = ssl.CERT_NONE
        made.server_name = ALPN
    else:
        made.certificate, made.private_key = _certificate()
    return made


def _certificate() -> tuple[Any, Any]:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, ALPN)])
    today, day = datetime.datetime.now(datetime.UTC), datetime.timedelta(days=1)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(today - day).not_valid_after(today + 3650 * day)
    return builder.sign(key, hashes.SHA256()), key

Pairing takes one paste: ``ockam-outlet`` prints a one-use ticket, ``ockam-inlet --ticket`` takes it, and both start without it from then on.
``ockam-twisted ticket`` and ``ockam-twisted member`` let others in and put them out, at once; ``--allow`` takes policies in Ockam's expression language.
``ockam-authority`` attests members to many nodes, ``ockam-relay --tickets`` is for members only, and ``ockam-twisted identity`` rotates, exports, backs up and restores.
Secrets can be encrypted with ``--passphrase``, and signing keys kept in a PKCS#11 token with ``--vault``.

``ockam-twisted status --watch`` keeps what it shows up to date, until ``q`` or Ctrl-C; where there is no terminal it writes one
block a second, with ``--json`` one line.

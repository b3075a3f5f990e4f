A channel is replaced after one hour or 64 GiB; streams move to the new one without an interruption.

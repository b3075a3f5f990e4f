``ockam-twisted check`` goes the way that an inlet's bytes go and says which step fails, whose fault that is likely to be, and what to do.
Library users get ``StreamNotOpened`` with the outlet's reason when there is no stream.

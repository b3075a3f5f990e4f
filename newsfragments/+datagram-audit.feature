Who uses a UDP portal, and who may not any more, is in the audit log.

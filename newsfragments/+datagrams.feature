UDP portals: --udp-target and --udp-listen, for datagrams of up to 65,507 bytes, each client a flow of its own.

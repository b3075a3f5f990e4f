``man ockam-node.yaml`` explains every key of a configuration file.

QUIC has congestion control of its own, which does not take each loss for a full road: several times as fast where packets are lost.

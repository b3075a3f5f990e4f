Kafka streams (kafka:, /tcp/PORT/kafka/STREAM): a secure channel and portals through a pair of topics of an Apache Kafka broker, which
reads nothing; either side, or the broker, may be away for hours, and what was sent waits.

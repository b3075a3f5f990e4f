"""
Streams through a real broker of Apache Kafka.
"""

"""Answers over HTTP: the same preprocessing, engine and arithmetic as `predict`, behind bounded doors.

protocol  connections: how many, how long                          (uvicorn, h11)
gate      every request: its id, host (hosts), key, rate, log line, last resort
api       the routes, and what they say of themselves
upload    a body becomes pictures, streamed into bounded memory
lanes     pictures wait in a bounded queue and go through decoding and the network
shelf     the models that are served, and their replacement in place
metrics, drift, page   what can be watched
run       sockets, signals, workers
"""

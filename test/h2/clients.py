"""What a client of grpcio relies on, against a running member: one JSON line for each check.

Messages are written and read by hand, so that no generated code is needed.
"""

import json
import sys
import threading
import time

import grpc

IDENTITY = dict(request_serializer=lambda b: b, response_deserializer=lambda b: b)
endpoint = sys.argv[1]
UNLIMITED = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


def varint(value):
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def field(number, content):
    return varint(number << 3 | 2) + varint(len(content)) + content


def number(field_number, value):
    return varint(field_number << 3) + varint(value)


def put(channel, key, value, **options):
    call = channel.unary_unary("/etcdserverpb.KV/Put", **IDENTITY)
    return call(field(1, key) + field(2, value), timeout=30, **options)


def get(channel, key, end=b"", **options):
    call = channel.unary_unary("/etcdserverpb.KV/Range", **IDENTITY)
    request = field(1, key) + (field(2, end) if end else b"")
    return call(request, timeout=30, **options)


def fails_with(code, text, act):
    try:
        act()
    except grpc.RpcError as error:
        assert error.code() == code, f"{error.code()}: {error.details()}"
        assert text in error.details(), error.details()
        return
    raise AssertionError("the call should have failed")


def unary(channel):
    put(channel, b"py/a", b"one")
    assert b"one" in get(channel, b"py/a")


def many_at_once(channel):
    call = channel.unary_unary("/etcdserverpb.KV/Put", **IDENTITY)
    calls = [call.future(field(1, b"py/many/%d" % i) + field(2, b"x" * 100), timeout=60) for i in range(2000)]
    for one in calls:
        one.result()


def large_messages(channel):
    for i in range(8):
        put(channel, b"py/large/%d" % i, b"v" * (1 << 20))
    assert len(get(channel, b"py/large/", b"py/large0")) > 8 << 20


def exact_errors(channel):
    fails_with(grpc.StatusCode.INVALID_ARGUMENT, "etcdserver: key is not provided", lambda: put(channel, b"", b""))
    call = channel.unary_unary("/etcdserverpb.KV/Nothing", **IDENTITY)
    fails_with(grpc.StatusCode.UNIMPLEMENTED, "unknown method Nothing", lambda: call(b"", timeout=30))
    too_large = lambda: put(channel, b"py/b", b"v" * (3 << 20))
    fails_with(grpc.StatusCode.RESOURCE_EXHAUSTED, "received message larger than max", too_large)


def compression(channel):
    value = b"squeeze" * 10000
    put(channel, b"py/gzip", value, compression=grpc.Compression.Gzip)
    assert value in get(channel, b"py/gzip", compression=grpc.Compression.Gzip)
    deflated = lambda: put(channel, b"py/gzip", value, compression=grpc.Compression.Deflate)
    fails_with(grpc.StatusCode.UNIMPLEMENTED, 'grpc-encoding "deflate"', deflated)


def metadata(channel):
    call = channel.unary_unary("/etcdserverpb.KV/Range", **IDENTITY)
    fields = (("hasleader", "true"), ("x-text", "plain"), ("x-some-bin", b"\x00\xff"), ("x-long", "y" * 5000))
    call(field(1, b"py/a"), timeout=30, metadata=fields)


def watch(channel):
    requests = []
    wake = threading.Condition()

    def outgoing():
        yield field(1, field(1, b"py/w") + field(2, b"py/x"))
        with wake:
            wake.wait_for(lambda: requests, timeout=60)

    stream = channel.stream_stream("/etcdserverpb.Watch/Watch", **IDENTITY)(outgoing())
    next(stream)
    for i in range(500):
        put(channel, b"py/w%d" % i, b"event")
    seen = 0
    while seen < 500:
        seen += next(stream).count(b"event")
    stream.cancel()
    with wake:
        requests.append(None)
        wake.notify()


def half_close(channel):
    grant = channel.unary_unary("/etcdserverpb.Lease/LeaseGrant", **IDENTITY)
    grant(number(1, 60) + number(2, 4711), timeout=30)
    alive = channel.stream_stream("/etcdserverpb.Lease/LeaseKeepAlive", **IDENTITY)
    answers = list(alive(iter([number(1, 4711)] * 50), timeout=30))
    assert len(answers) == 50, len(answers)


def server_stream(channel):
    snapshot = channel.unary_stream("/etcdserverpb.Maintenance/Snapshot", **IDENTITY)
    size = 0
    for i, part in enumerate(snapshot(b"", timeout=60)):
        size += len(part)
        if i < 20:
            time.sleep(0.01)
    assert size > 8 << 20, size


def cancelled(channel):
    stream = channel.stream_stream("/etcdserverpb.Watch/Watch", **IDENTITY)
    calls = [stream(iter([field(1, field(1, b"py/c"))])) for _ in range(100)]
    for call in calls:
        next(call)
        call.cancel()
    put(channel, b"py/c", b"x")


def deadlines(channel):
    stream = channel.stream_stream("/etcdserverpb.Watch/Watch", **IDENTITY)

    def waits():
        held = threading.Event()

        def outgoing():
            yield field(1, field(1, b"py/d"))
            held.wait(30)

        try:
            for _ in stream(outgoing(), timeout=0.3):
                pass
        finally:
            held.set()

    fails_with(grpc.StatusCode.DEADLINE_EXCEEDED, "", waits)


def many_channels(_):
    channels = [grpc.insecure_channel(endpoint, options=[("grpc.use_local_subchannel_pool", 1)]) for _ in range(50)]
    for channel in channels:
        put(channel, b"py/channels", b"x")
    for channel in channels:
        channel.close()


CHECKS = [
    unary,
    many_at_once,
    large_messages,
    exact_errors,
    compression,
    metadata,
    watch,
    half_close,
    server_stream,
    cancelled,
    deadlines,
    many_channels,
]

with grpc.insecure_channel(endpoint, options=UNLIMITED) as shared:
    for check in CHECKS:
        error = None
        try:
            check(shared)
        except Exception as problem:  # Every kind of failure is a line of the report.
            error = f"{type(problem).__name__}: {problem}"
        print(json.dumps({"name": check.__name__.replace("_", " "), "error": error}), flush=True)

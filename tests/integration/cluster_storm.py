"""Dashboards as Grafana asks for them: many panels at once, each a request of its own over a connection of its own."""
import asyncio
import json
import random
import time
import urllib.parse

from harness import Server

NS = 10**9
APPS = ("shop", "cart", "pay", "mail", "auth", "search", "edge", "ship")


def fill(server, lines, seconds, batch=1000, seed=7):
    """Lines of the last `seconds` until now from eight applications with three pods each: logfmt, JSON and access logs. Returns
    (first, last) time."""
    rng = random.Random(seed)
    last = time.time_ns()
    first = last - seconds * NS
    step = (last - first) // lines
    streams = {}
    done = 0
    for i in range(lines):
        app = APPS[i % len(APPS)]
        pod = "%s-%d" % (app, rng.randrange(3))
        level = rng.choice(("info",) * 8 + ("warn", "error"))
        took, status = rng.randrange(1, 900), rng.choice((200,) * 9 + (404, 500))
        if i % 3 == 0:
            line = 'level=%s msg="order %d done" took=%dms status=%d user=u%d' % (level, i, took, status, rng.randrange(200))
        elif i % 3 == 1:
            line = json.dumps({"level": level, "msg": "order %d done" % i, "took": "%dms" % took, "status": status, "user": "u%d" % rng.randrange(200)})
        else:
            line = '10.0.0.%d - - "GET /%s/%d HTTP/1.1" %d %d level=%s took=%dms' % (rng.randrange(255), app, i % 50, status, took * 10, level, took)
        streams.setdefault((app, pod, "json" if i % 3 == 1 else "text"), []).append((first + i * step, line, {"trace_id": "%08x" % rng.getrandbits(32)}))
        done += 1
        if done % (batch * 8) == 0 or i == lines - 1:
            body = [({"app": a, "pod": p, "format": f, "env": "prod"}, entries) for (a, p, f), entries in streams.items()]
            status, answer = server.push(body)
            assert status == 204, (status, answer[:300])
            streams = {}
    return first, last


def panels(start, end, step_s=30):
    """[(title, path, parameters)] of thirty panels."""
    app = [APPS[i % len(APPS)] for i in range(30)]
    metric = [
        'sum by (app) (rate({env="prod"}[1m]))', 'sum by (level) (count_over_time({env="prod"} | detected_level != "" [1m]))', 'sum(rate({app="%s"} |= "error" [1m]))' % app[2],
        'topk(5, sum by (pod) (bytes_rate({env="prod"}[1m])))', 'sum by (status) (rate({app="%s", format="json"} | json [1m]))' % app[4], 'sum by (status) (rate({app="%s", format="text"} | logfmt [1m]))' % app[5],
        'quantile_over_time(0.99, {app="%s", format="json"} | json | unwrap duration_seconds(took) | __error__="" [1m]) by (app)' % app[6],
        'avg_over_time({app="%s", format="text"} | logfmt | unwrap duration(took) | __error__="" [1m]) by (pod)' % app[7], 'max by (pod) (max_over_time({app="%s", format="json"} | json | unwrap status [1m]))' % app[0],
        'sum(count_over_time({env="prod"} |~ `status=(4|5)\\d\\d` [1m]))', 'sum by (app) (bytes_over_time({env="prod"}[1m]))', 'count(sum by (pod) (count_over_time({env="prod"}[1m])))',
        '100 * sum(rate({env="prod"} |= "error" [1m])) / sum(rate({env="prod"}[1m]))', 'sum by (app) (rate({env="prod"} | pattern "<ip> - - <_>" | ip != "" [1m]))', 'stddev_over_time({app="%s", format="json"} | json | unwrap status [1m]) by (app)' % app[1],
    ]
    logs = ['{app="%s"}' % app[0], '{app="%s"} |= "error"' % app[1], '{app="%s", format="json"} | json | status >= 500' % app[2], '{app="%s", format="text"} | logfmt | took > 800ms' % app[3],
            '{env="prod"} |~ "order 1[0-9]+7 "', '{app="%s"} | line_format "{{.pod}} {{__line__}}"' % app[5]]
    instant = ['topk(10, sum by (user) (count_over_time({app="%s", format="json"} | json [10m])))' % app[6], 'sum by (app) (count_over_time({env="prod"}[10m]))', 'sum(bytes_over_time({app="%s"}[10m]))' % app[0]]
    out = [("metric %d" % i, "/loki/api/v1/query_range", {"query": q, "start": start, "end": end, "step": "%ds" % step_s}) for i, q in enumerate(metric)]
    out += [("logs %d" % i, "/loki/api/v1/query_range", {"query": q, "start": start, "end": end, "limit": 1000}) for i, q in enumerate(logs)]
    out += [("instant %d" % i, "/loki/api/v1/query", {"query": q, "time": end}) for i, q in enumerate(instant)]
    bounds = {"start": start, "end": end}
    out += [("labels", "/loki/api/v1/labels", bounds), ("values app", "/loki/api/v1/label/app/values", bounds), ("values pod", "/loki/api/v1/label/pod/values", dict(bounds, query='{env="prod"}')),
            ("series", "/loki/api/v1/series", dict(bounds, **{"match[]": '{env="prod"}'})), ("volume", "/loki/api/v1/index/volume", dict(bounds, query='{env="prod"}')),
            ("fields", "/loki/api/v1/detected_fields", dict(bounds, query='{app="shop"}', line_limit=500))]
    assert len(out) == 30
    return out


async def get(port, path, params, timeout_s):
    """(status, body, seconds); status 0: no answer."""
    began = time.monotonic()

    async def ask():
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 22)
        try:
            writer.write(("GET %s?%s HTTP/1.1\r\nHost: skald\r\nConnection: close\r\n\r\n" % (path, urllib.parse.urlencode(params))).encode())
            await writer.drain()
            return await reader.read()
        finally:
            writer.close()
    try:
        answer = await asyncio.wait_for(ask(), timeout_s)
    except (OSError, asyncio.TimeoutError):
        return 0, b"", time.monotonic() - began
    head, _, body = answer.partition(b"\r\n\r\n")
    if b"transfer-encoding: chunked" in head.lower():
        body = unchunked(body)
    try:
        return int(head.split(b" ", 2)[1]), body, time.monotonic() - began
    except (IndexError, ValueError):
        return 0, answer[:200], time.monotonic() - began


def unchunked(body):
    out, at = b"", 0
    while True:
        end = body.find(b"\r\n", at)
        size = int(body[at:end].split(b";")[0], 16) if end > at else 0
        if not size:
            return out
        out += body[end + 2:end + 2 + size]
        at = end + 2 + size + 2


def storm(port, users, dashboards, timeout_s=300):
    """All panels of all users at once; dashboards: of user n the list of panels. [(user, title, status, body, seconds)]"""
    async def one(user, title, path, params):
        return (user, title) + await get(port, path, params, timeout_s)

    async def everything():
        return await asyncio.gather(*(one(u, *panel) for u in range(users) for panel in dashboards[u]))
    return asyncio.run(everything())


def percentile(values, share):
    values = sorted(values)
    return values[min(len(values) - 1, int(len(values) * share))]


def client(port):
    server = Server()
    server.port = port
    return server

#!/usr/bin/env python3
"""What three writers, two readers and two backends cost against one process, on the same S3 server with the same load in one run.

    benchmarks/cluster.py --binary build/release/skald [--mib 64] [--repeat 3] [--ring memberlist] [--only ingest|query]

ingest: CPU seconds per GB of lines of all processes together (RF 3, gateway included, the S3 server apart), from the first push until
everything is flushed and at rest; then what compaction adds. query: heavy queries through the gateway with two readers and, after one
was stopped, with one. Everything shares this machine's cores, the load generator and the S3 server included; CPU figures do not
depend on it, wall times do."""
import argparse
import http.client
import json
import os
import random
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "tests", "integration"))

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--binary", default="build/release/skald")
parser.add_argument("--mib", type=int, default=64, help="of lines")
parser.add_argument("--repeat", type=int, default=3, help="runs of each query, of which the middle one counts")
parser.add_argument("--ring", default="memberlist")
parser.add_argument("--connections", type=int, default=4)
parser.add_argument("--only", choices=("ingest", "query"))
parser.add_argument("--compact", action="store_true", help="wait for compaction as well")
parser.add_argument("--streams", type=int, default=50)

NS = 10**9
SPAN_S = 6 * 3600
APPS = 10
# What ships, not what makes tests short.
SETTINGS = {"ingester": {"chunk_target_size": 1572864, "chunk_idle_period": "30m", "max_chunk_age": "2h", "flush_check_period": "30s"},
            "storage_config": {"tsdb_shipper": {"resync_interval": "5s"}}, "query_range": {"cache_results": False}}
QUERIES = [
    ("count, from the index", 'sum(count_over_time({env="bench"}[1h]))'), ("filter", 'sum(count_over_time({env="bench"} |= "timeout" [10m]))'),
    ("regexp filter", 'sum(count_over_time({env="bench"} |~ "user=u1[0-9]+7 " [10m]))'), ("json", 'sum by (status) (rate({env="bench", format="json"} | json [10m]))'),
    ("logfmt", 'sum by (app, status) (rate({env="bench", format="logfmt"} | logfmt | status >= 500 [10m]))'),
    ("quantile", 'quantile_over_time(0.99, {env="bench", format="logfmt"} | logfmt | unwrap took | __error__="" [10m]) by (app)'),
    ("bytes by stream", 'topk(5, sum by (app, pod) (bytes_rate({env="bench"}[10m])))'),
]


def bodies(mib, streams, first_ns, encode):
    """[(body, lines, bytes of lines)] of 1000 lines each, which together make `mib`; half JSON, half logfmt."""
    rng = random.Random(5)
    words = ["timeout", "accepted", "refused", "cache", "upstream", "retry", "connection", "committed", "checkpoint", "session"]
    target, made, out = mib << 20, 0, []
    total_lines = target // 210
    step = SPAN_S * NS // total_lines
    at = first_ns
    while made < target:
        groups, size = {}, 0
        for _ in range(1000):
            n = rng.randrange(streams)
            user, status, took = rng.randrange(5000), rng.choice((200, 200, 200, 204, 301, 404, 500, 503)), rng.randrange(1, 2000)
            text = " ".join(rng.choice(words) for _ in range(8))
            path = "/api/v1/%s/%d" % (rng.choice(words), rng.randrange(100))
            level = rng.choice(("info", "info", "info", "warn", "error"))
            if n % 2:
                line = '{"level":"%s","msg":"%s","user":"u%d","status":%d,"took":%d,"path":"%s","request":"%016x"}' % (level, text, user, status, took, path, rng.getrandbits(64))
            else:
                line = 'level=%s msg="%s" user=u%d status=%d took=%d path=%s request=%016x' % (level, text, user, status, took, path, rng.getrandbits(64))
            groups.setdefault(n, []).append((at, line, {"trace_id": "%016x" % rng.getrandbits(64)}))
            size += len(line)
            at += step
        body = encode([({"env": "bench", "app": "app%d" % (n % APPS), "pod": "pod-%d" % n, "format": "json" if n % 2 else "logfmt"}, entries) for n, entries in sorted(groups.items())])
        out.append((body, 1000, size))
        made += size
    return out, at


def push_all(port, load, connections):
    """Seconds until all is acknowledged."""
    at, lock, problems = [0], threading.Lock(), []

    def run():
        c = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        while not problems:
            with lock:
                if at[0] >= len(load):
                    break
                body = load[at[0]][0]
                at[0] += 1
            for attempt in range(20):
                try:
                    c.request("POST", "/loki/api/v1/push", body, {"Content-Type": "application/x-protobuf"})
                    r = c.getresponse()
                    answer = r.read()
                    if r.status == 204:
                        break
                    if r.status not in (429, 500, 503):
                        problems.append((r.status, answer[:300]))
                        break
                except (OSError, http.client.HTTPException):
                    c.close()
                time.sleep(0.1)
            else:
                problems.append("twenty tries")
    began = time.monotonic()
    workers = [threading.Thread(target=run) for _ in range(connections)]
    for w in workers:
        w.start()
    for w in workers:
        w.join()
    if problems:
        raise SystemExit("push failed: %s" % problems[:2])
    return time.monotonic() - began


def split(cpu):
    """(ours with the gateway, the S3 server, the ring's store)"""
    ours = sum(n for name, n in cpu.items() if name not in ("s3", "etcd"))
    return ours, cpu.get("s3", 0), cpu.get("etcd", 0)


def since(here, before):
    now = here.cpu()
    return {name: now[name] - before.get(name, 0) for name in now}


def rest(here, limit_s=120):
    """Until a whole second costs hardly anything, the S3 server included."""
    deadline = time.monotonic() + limit_s
    last = sum(here.cpu().values())
    while time.monotonic() < deadline:
        time.sleep(1)
        now = sum(here.cpu().values())
        if now - last < 0.15:
            return
        last = now
    print("not at rest after %d s" % limit_s, flush=True)


def idle(here, seconds=5):
    before = here.cpu()
    time.sleep(seconds)
    return split(since(here, before))[0] / seconds


def ingest(here, name, load, gb, first_ns, last_ns, args):
    at_rest = idle(here)
    print("%s: idle %.3f CPU-s per second, taken off below" % (name, at_rest), flush=True)
    before, began = here.cpu(), time.monotonic()

    def ours(cpu):
        return (split(cpu)[0] - at_rest * (time.monotonic() - began)) / gb
    wall = push_all(here.front.port, load, args.connections)
    pushed = since(here, before)
    push = ours(pushed)
    here.flush()
    rest(here)
    flushed = since(here, before)
    flush = ours(flushed)
    counted = here.front.instant('sum(count_over_time({env="bench"}[%ds]))' % ((last_ns - first_ns) // NS + 20), last_ns + 5 * NS)
    lines = sum(n for _, n, _ in load)
    right = counted and int(counted[0]["value"][1]) == lines
    print("%s: %d lines, %.0f MB in %.1f s (%.1f MB/s); push %.1f CPU-s per GB; with flush %.1f; the S3 server %.1f; %s" % (
        name, lines, gb * 1000, wall, gb * 1000 / wall, push, flush, split(flushed)[1] / gb,
        "all lines there" if right else "WRONG COUNT %s" % counted), flush=True)
    print("   " + ", ".join("%s %.2f" % pair for pair in sorted(flushed.items())), flush=True)
    print("   RSS peak MiB: " + ", ".join("%s %.0f" % (n, peak) for n, (_, peak) in sorted(here.memory().items())), flush=True)
    result = {"push": push, "flush": flush, "s3": split(flushed)[1] / gb, "wall": wall, "right": right}
    if args.compact:
        before, began = here.cpu(), time.monotonic()
        time.sleep(12)
        rest(here)
        result["compact"] = ours(since(here, before))
        print("%s: compaction %.1f CPU-s per GB, S3 server %.1f" % (name, result["compact"], split(since(here, before))[1] / gb), flush=True)
    return result


def ask(here, query, first_ns, last_ns):
    began, before = time.monotonic(), here.cpu()
    status, body, _ = here.front.request("GET", "/loki/api/v1/query_range", params={"query": query, "start": first_ns, "end": last_ns, "step": "10m"})
    wall = time.monotonic() - began
    if status != 200:
        return None, 0, (status, body[:200])
    result = sorted(json.dumps([s["metric"], [[t, "%.9g" % float(v)] for t, v in s["values"]]], sort_keys=True) for s in json.loads(body)["data"]["result"])
    return wall, split(since(here, before))[0], result


def queries(here, first_ns, last_ns, repeat):
    """{name: (wall, CPU seconds, result)}, the middle of several runs."""
    found = {}
    for name, query in QUERIES:
        runs = [ask(here, query, first_ns, last_ns) for _ in range(repeat + 1)][1:]
        bad = [r for r in runs if r[0] is None]
        if bad:
            print("%s: %s" % (name, bad[0][2]), flush=True)
            continue
        runs.sort(key=lambda r: r[0])
        found[name] = runs[len(runs) // 2]
    return found


def side_by_side(left, right, names):
    print("%-24s %20s %20s %8s" % ("wall s (CPU-s)", names[0], names[1], "speed-up"), flush=True)
    product, count = 1.0, 0
    for name in left:
        if name not in right:
            continue
        a, b = left[name], right[name]
        print("%-24s %20s %20s %8.2f%s" % (name, "%.3f (%.2f)" % a[:2], "%.3f (%.2f)" % b[:2], a[0] / b[0], "" if a[2] == b[2] else "  ANSWERS DIFFER"), flush=True)
        product *= a[0] / b[0]
        count += 1
    if count:
        print("%-24s %50.2f" % ("geometric mean", product ** (1 / count)), flush=True)


def main():
    args = parser.parse_args()
    os.environ["SKALD_BINARY"] = os.path.abspath(args.binary)
    import cluster
    import harness
    first_ns = (time.time_ns() - 2 * SPAN_S * NS) // NS * NS
    load, last_ns = bodies(args.mib, args.streams, first_ns, lambda s: harness.snappy_literals(harness.encode_proto(s)))
    gb = sum(n for _, _, n in load) / 1e9
    settings = dict(SETTINGS)
    compact = "10s" if args.compact else "10m"
    kinds = [("one process", lambda: cluster.One(heartbeat_s=5, timeout_s=60, compact=compact, settings=settings)),
             ("3 write, 2 read, 2 backend", lambda: cluster.Cluster(ring=args.ring, heartbeat_s=5, timeout_s=60, compact=compact, settings=settings))]
    results, answers = {}, {}
    for name, make in kinds:
        cluster.need(cluster.ALONE if name == "one process" else cluster.COMPOSE)
        with make() as here:
            here.wait_whole(60)
            results[name] = ingest(here, name, load, gb, first_ns, last_ns, args)
            if args.only == "ingest":
                continue
            answers[name] = queries(here, first_ns, last_ns, args.repeat)
            if name != "one process":
                two = answers[name]
                gone = here.member("read-2")
                gone.stop()
                here.remove(gone)
                time.sleep(3)
                print("\none reader against two:", flush=True)
                side_by_side(queries(here, first_ns, last_ns, args.repeat), two, ("1 read", "2 reads"))
                gone.close()
                print("\none process against the cluster with two readers:", flush=True)
                side_by_side(answers["one process"], two, ("one process", "2 reads"))
    one, many = results["one process"], results["3 write, 2 read, 2 backend"]
    print("\nCPU per GB, cluster against one process: push %.2f times, with flush %.2f times, the S3 server %.2f times" % (
        many["push"] / one["push"], many["flush"] / one["flush"], many["s3"] / max(0.01, one["s3"])), flush=True)
    if args.compact:
        print("with flush and compaction %.2f times" % ((many["flush"] + many["compact"]) / (one["flush"] + one["compact"])), flush=True)
    return 0 if one["right"] and many["right"] else 1


if __name__ == "__main__":
    sys.exit(main())

"""The chart: rendered for every file of helm/skald/ci, checked as Kubernetes and as a whole, its files given to the real nginx and
the real server, its test pod's script run."""
import base64
import glob
import os
import re
import shutil
import socket
import subprocess
import tempfile
import time
import unittest

import gateway
import scalable
import servers
import store_clients
import tools
from harness import BINARY, ROOT, Server, free_port

CHART = os.path.join(ROOT, "helm", "skald")
CASES = {os.path.basename(p)[:-len("-values.yaml")]: p for p in sorted(glob.glob(os.path.join(CHART, "ci", "*-values.yaml")))}
SERVERS = {"write", "read", "backend", "single-binary"}
# Objects that the values name and the user brings.
BROUGHT = {("Secret", "bucket-keys"), ("Secret", "more"), ("Secret", "logs-tls"), ("Secret", "registry"), ("ConfigMap", "company-ca")}
NO_CLUSTER = dict(os.environ, KUBECONFIG="/dev/null", HELM_NAMESPACE="obs")

HELM = None


def setUpModule():
    global HELM
    if tools.yaml is None:
        raise unittest.SkipTest("PyYAML (package python3-yaml) is not here")
    HELM = tools.helm()
    if HELM is None:
        raise unittest.SkipTest("neither helm nor a Go toolchain (1.24 or newer) to build it")


def run_helm(*arguments):
    return subprocess.run([HELM, *arguments, "--kube-version", "1.33.0"], capture_output=True, text=True, env=NO_CLUSTER, timeout=120)


def template(*arguments, chart=CHART, release="logs"):
    done = run_helm("template", release, chart, *arguments)
    if done.returncode:
        raise AssertionError(done.stderr)
    return done.stdout


def parse(text):
    return [d for d in tools.yaml.safe_load_all(text) if d]


class Rendered:
    """The objects of one values file and what belongs to what."""

    def __init__(self, text):
        self.text = text
        self.objects = parse(text)

    def all(self, kind):
        return [o for o in self.objects if o["kind"] == kind]

    def one(self, kind, name):
        found = [o for o in self.all(kind) if o["metadata"]["name"] == name]
        assert len(found) == 1, (kind, name, len(found))
        return found[0]

    def workloads(self):
        return self.all("Deployment") + self.all("StatefulSet")

    def servers(self):
        return [w for w in self.workloads() if component(w) in SERVERS]

    def pods(self):
        """(owner, pod template) of everything that runs."""
        return [(w, w["spec"]["template"]) for w in self.workloads()] + [(p, p) for p in self.all("Pod")]

    def config(self):
        for kind in ("ConfigMap", "Secret"):
            for o in self.all(kind):
                data = o.get("data") or {}
                if "config.yaml" in data:
                    text = data["config.yaml"]
                    return base64.b64decode(text).decode() if kind == "Secret" else text
        return None

    def runtime_config(self):
        return next(o["data"]["runtime-config.yaml"] for o in self.all("ConfigMap") if "runtime-config.yaml" in o["data"])

    def nginx(self):
        return next((o["data"]["nginx.conf"] for o in self.all("ConfigMap") if "nginx.conf" in o["data"]), None)


def component(o):
    return (o["spec"].get("template") or o)["metadata"]["labels"].get("app.kubernetes.io/component")


def matches(selector, labels):
    return all(labels.get(k) == v for k, v in selector.items())


def ports_of(pod):
    return {p["name"]: p["containerPort"] for c in pod["spec"]["containers"] for p in c.get("ports", ())}


class Network:
    """What Kubernetes makes of policies: who is selected by none may do everything, else what any of them allows."""

    def __init__(self, policies):
        self.policies = [p["spec"] for p in policies]

    @staticmethod
    def selects(selector, labels):
        return matches(selector.get("matchLabels") or {}, labels) and all(
            (labels.get(e["key"]) in e["values"]) == (e["operator"] == "In") for e in selector.get("matchExpressions") or ())

    def one_way(self, direction, peers, own, other, port, namespace, cidr):
        chosen = [p for p in self.policies if own is not None and direction.capitalize() in p["policyTypes"] and self.selects(p["podSelector"], own)]
        if own is None or not chosen:
            return True
        for rule in (rule for p in chosen for rule in p.get(direction, ())):
            if "ports" in rule and port not in [x["port"] for x in rule["ports"]]:
                continue
            if peers not in rule or any(self.is_peer(p, other, namespace, cidr) for p in rule[peers]):
                return True
        return False

    def is_peer(self, peer, other, namespace, cidr):
        if "ipBlock" in peer:
            return other is None and peer["ipBlock"]["cidr"] == cidr
        if "namespaceSelector" not in peer:   # the policies' own namespace
            return other is not None and namespace is None and self.selects(peer["podSelector"], other)
        return self.selects(peer["namespaceSelector"], namespace or {}) and self.selects(peer.get("podSelector") or {}, other or {})

    def allows(self, source, target, port, namespace=None, cidr=None):
        """Pods by their labels; None is somebody else. `namespace`: labels of the namespace of whoever is not ours."""
        return self.one_way("egress", "to", source, target, port, namespace, cidr) and self.one_way("ingress", "from", target, source, port, namespace, cidr)


def each(test):
    """The test, once for every rendered values file."""
    def run(self):
        for name, r in self.rendered.items():
            with self.subTest(values=name):
                test(self, r)
    run.__name__, run.__doc__ = test.__name__, test.__doc__
    return run


class Chart(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.rendered = {name: Rendered(template("--namespace", "obs", "-f", path)) for name, path in CASES.items()}

    def test_lint(self):
        for name, path in CASES.items():
            with self.subTest(values=name):
                done = run_helm("lint", CHART, "--strict", "-f", path)
                self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_rendering_twice_gives_the_same(self):
        """Apart from salted passwords: else every upgrade would restart pods."""
        for name in ("scalable-s3", "everything", "loki-6-scalable"):
            again = parse(template("--namespace", "obs", "-f", CASES[name]))
            for old, new in zip(self.rendered[name].objects, again):
                if old["kind"] != "Secret":
                    self.assertEqual(old, new)

    @each
    def test_names_are_valid_and_unique(self, r):
        seen = set()
        for o in r.objects:
            key = (o["kind"], o["metadata"].get("namespace"), o["metadata"]["name"])
            self.assertNotIn(key, seen)
            seen.add(key)
            self.assertRegex(o["metadata"]["name"], r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$")
            for k, v in (o["metadata"].get("labels") or {}).items():
                self.assertRegex(v, r"^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$", k)

    @each
    def test_selectors_match_their_own_pods_and_no_others(self, r):
        for w in r.workloads():
            selector = w["spec"]["selector"]["matchLabels"]
            self.assertEqual([o["metadata"]["name"] for o, pod in r.pods() if matches(selector, pod["metadata"]["labels"])], [w["metadata"]["name"]])
        for s in r.all("Service"):
            selector = s["spec"]["selector"]
            chosen = [o["metadata"]["name"] for o, pod in r.pods() if matches(selector, pod["metadata"]["labels"])]
            self.assertTrue(chosen, s["metadata"]["name"])
            if s["metadata"]["name"].endswith("-memberlist"):
                self.assertEqual(sorted(chosen), sorted(w["metadata"]["name"] for w in r.servers()))
            else:
                self.assertEqual(len(chosen), 1, s["metadata"]["name"])
        for b in r.all("PodDisruptionBudget"):
            chosen = [o for o, pod in r.pods() if matches(b["spec"]["selector"]["matchLabels"], pod["metadata"]["labels"])]
            self.assertEqual(len(chosen), 1)
        for h in r.all("HorizontalPodAutoscaler"):
            target = h["spec"]["scaleTargetRef"]
            self.assertNotIn("replicas", r.one(target["kind"], target["name"])["spec"])

    @each
    def test_ports_of_services_and_probes_exist(self, r):
        for s in r.all("Service"):
            for o, pod in r.pods():
                if matches(s["spec"]["selector"], pod["metadata"]["labels"]):
                    for port in s["spec"]["ports"]:
                        self.assertIn(port["targetPort"], ports_of(pod), s["metadata"]["name"])
        for o, pod in r.pods():
            for c in pod["spec"]["containers"]:
                for kind in ("readinessProbe", "livenessProbe", "startupProbe"):
                    probe = c.get(kind)
                    if probe:
                        self.assertIn((probe.get("httpGet") or probe["tcpSocket"])["port"], {p["name"] for p in c["ports"]})
                hook = ((c.get("lifecycle") or {}).get("preStop") or {}).get("httpGet")
                if hook:
                    self.assertIn(hook["port"], {p["name"] for p in c["ports"]})
        for w in r.servers():
            server = next(c for c in w["spec"]["template"]["spec"]["containers"] if c["name"] == "loki")
            self.assertEqual(server["readinessProbe"]["httpGet"]["path"], "/ready")

    @each
    def test_stateful_sets_have_their_headless_service(self, r):
        for w in r.all("StatefulSet"):
            service = r.one("Service", w["spec"]["serviceName"])
            if component(w) != "minio":
                self.assertEqual(service["spec"]["clusterIP"], "None")

    @each
    def test_mounts_volumes_and_references_exist(self, r):
        present = {(o["kind"], o["metadata"]["name"]) for o in r.objects} | BROUGHT
        for o, pod in r.pods():
            spec = pod["spec"]
            volumes = {v["name"] for v in spec.get("volumes", ())} | {c["metadata"]["name"] for c in o["spec"].get("volumeClaimTemplates", ())}
            self.assertEqual(len(volumes), len(spec.get("volumes", ())) + len(o["spec"].get("volumeClaimTemplates", ())))
            for v in spec.get("volumes", ()):
                if "configMap" in v:
                    self.assertIn(("ConfigMap", v["configMap"]["name"]), present)
                if "secret" in v:
                    self.assertIn(("Secret", v["secret"]["secretName"]), present)
            for c in spec["containers"] + spec.get("initContainers", []):
                for m in c.get("volumeMounts", ()):
                    self.assertIn(m["name"], volumes)
                paths = [m["mountPath"] for m in c.get("volumeMounts", ())]
                self.assertEqual(len(paths), len(set(paths)))
                names = [e["name"] for e in c.get("env", ())]
                self.assertEqual(len(names), len(set(names)))
                for e in c.get("envFrom", ()):
                    self.assertIn(("Secret", e["secretRef"]["name"]), present)
            account = spec.get("serviceAccountName")
            if account:
                self.assertIn(("ServiceAccount", account), present)
        for i in r.all("Ingress"):
            for rule in i["spec"]["rules"]:
                for path in rule["http"]["paths"]:
                    service = r.one("Service", path["backend"]["service"]["name"])
                    self.assertIn(path["backend"]["service"]["port"]["number"], [p["port"] for p in service["spec"]["ports"]])

    @each
    def test_pods_have_no_rights_they_do_not_need(self, r):
        for o, pod in r.pods():
            spec = pod["spec"]
            self.assertTrue(spec["securityContext"]["runAsNonRoot"])
            sidecar = any(c["name"] == "loki-sc-rules" for c in spec["containers"])
            self.assertEqual(spec["automountServiceAccountToken"], sidecar)
            for c in spec["containers"] + spec.get("initContainers", []):
                context = c["securityContext"]
                self.assertEqual((context["readOnlyRootFilesystem"], context["allowPrivilegeEscalation"], context["capabilities"]["drop"]), (True, False, ["ALL"]))
                if c["name"] in ("loki", "nginx", "memcached", "minio"):
                    self.assertTrue(c["resources"]["requests"]["memory"])

    def test_servers_are_what_the_mode_says(self):
        for name, r in self.rendered.items():
            with self.subTest(values=name):
                found = {component(w): (w["kind"], next(a for a in w["spec"]["template"]["spec"]["containers"][0]["args"] if a.startswith("-target="))) for w in r.servers()}
                scalable = {"write": ("StatefulSet", "-target=write"), "read": ("Deployment", "-target=read"), "backend": ("StatefulSet", "-target=backend")}
                single = {"single-binary": ("StatefulSet", "-target=all")}
                expected = dict(scalable, **single) if name == "transition" else single if "single" in name else scalable
                self.assertEqual(found, expected)
                for w in r.servers():
                    pod = w["spec"]["template"]["spec"]
                    self.assertEqual(pod["containers"][0]["name"], "loki")
                    claims = [c["metadata"]["name"] for c in w["spec"].get("volumeClaimTemplates", ())]
                    self.assertEqual(claims, [] if w["kind"] == "Deployment" or name == "single-no-gateway" else ["data"])

    def test_the_default_is_small(self):
        for w in self.rendered["scalable-s3"].servers():
            self.assertEqual(w["spec"]["template"]["spec"]["containers"][0]["resources"], {"requests": {"cpu": "100m", "memory": "256Mi"}})

    @each
    def test_members_find_each_other(self, r):
        config = tools.yaml.safe_load(r.config())
        clustered = len(r.servers()) > 1
        self.assertEqual(config["common"]["ring"]["kvstore"]["store"], "memberlist" if clustered else "inmemory")
        hosts = set(re.findall(r"[a-z0-9-]+\.obs\.svc\.[a-z.]+", r.config() + (r.nginx() or "")))
        services = {s["metadata"]["name"] for s in r.all("Service")}
        for host in hosts:
            self.assertIn(host.split(".")[0], services)
        if clustered:
            host, port = config["memberlist"]["join_members"][0].rsplit(":", 1)
            service = r.one("Service", host.split(".")[0])
            self.assertTrue(service["spec"]["publishNotReadyAddresses"])
            self.assertEqual((service["spec"]["clusterIP"], str(service["spec"]["ports"][0]["port"])), ("None", port))
            self.assertEqual(config["common"]["replication_factor"], 3)

    def test_network_policies_let_talk_who_must_and_nobody_else(self):
        for name, storage, outsiders in (("scalable-s3", 443, True), ("everything", 9000, False), ("single-no-gateway", None, True)):
            with self.subTest(values=name):
                r = self.rendered[name]
                network = Network(r.all("NetworkPolicy"))
                pods = {component(o): pod["metadata"]["labels"] for o, pod in r.pods()}
                ports = {component(o): ports_of(pod) for o, pod in r.pods()}
                members = [c for c in pods if c in SERVERS]
                for a in members:
                    for b in members:
                        self.assertTrue(network.allows(pods[a], pods[b], "http-metrics") and network.allows(pods[a], pods[b], "http-memberlist"), (a, b))
                    self.assertTrue(network.allows(pods[a], None, 53))
                    if storage:
                        self.assertTrue(network.allows(pods[a], None, storage, cidr="10.1.0.0/16"))
                    self.assertFalse(network.allows(pods[a], None, 6379))
                    self.assertEqual(network.allows(None, pods[a], "http-metrics"), outsiders)
                    self.assertFalse(network.allows(None, pods[a], "http-memberlist"))
                    for cache in (c for c in pods if c.startswith("memcached")):
                        self.assertTrue(network.allows(pods[a], pods[cache], "client"))
                    if "gateway" in pods:
                        self.assertTrue(network.allows(pods["gateway"], pods[a], "http-metrics"))
                front = "gateway" if "gateway" in pods else members[0]
                self.assertTrue(network.allows(pods["test"], pods[front], "http-metrics"))
                self.assertTrue(network.allows(pods["test"], None, 53))
                self.assertEqual(network.allows(None, pods[front], "http-metrics"), outsiders)
                self.assertTrue(network.allows({"app": "prometheus"}, pods[members[0]], "http-metrics", namespace={"name": "monitoring"}))
                if not outsiders:
                    self.assertTrue(network.allows({"app": "any"}, pods["gateway"], "http-metrics", namespace={"name": "apps"}))
                    self.assertTrue(network.allows(pods["backend"], {"app": "alertmanager"}, 9093, namespace={"name": "monitoring"}))
                    self.assertFalse(network.allows(pods["write"], {"app": "alertmanager"}, 9093, namespace={"name": "monitoring"}))
                    self.assertTrue(network.allows(pods["read"], {"app": "etcd"}, 2379, namespace={"name": "etcd"}))
                self.assertTrue(all(ports[c] for c in ports if c != "test"))

    def test_service_monitor_scrapes_each_server_once(self):
        for name in ("everything", "loki-5", "loki-6-scalable"):
            r = self.rendered[name]
            m = r.all("ServiceMonitor")[0]["spec"]
            selected = [s for s in r.all("Service") if matches(m["selector"]["matchLabels"], s["metadata"]["labels"])
                        and s["metadata"]["labels"].get("prometheus.io/service-monitor") != "false"]
            self.assertEqual(sorted(component(next(o for o, pod in r.pods() if matches(s["spec"]["selector"], pod["metadata"]["labels"]))) for s in selected), ["backend", "read", "write"])
            for s in selected:
                self.assertIn(m["endpoints"][0]["port"], [p["name"] for p in s["spec"]["ports"]])

    def test_dashboards_and_rules_are_the_files(self):
        r = self.rendered["everything"]
        files = {os.path.basename(p): p for p in glob.glob(os.path.join(ROOT, "monitoring", "dashboards", "*.json"))}
        found = {k: v for o in r.all("ConfigMap") for k, v in o["data"].items() if k.endswith(".json")}
        self.assertEqual(set(found), set(files))
        for name, path in files.items():
            with open(path, encoding="utf-8") as f:
                self.assertEqual(tools.yaml.safe_load(found[name]), tools.yaml.safe_load(f.read()))
        groups = tools.yaml.safe_load(next(o["data"]["rules.yaml"] for o in r.all("ConfigMap") if "rules.yaml" in o["data"]))["groups"]
        self.assertEqual(groups[-1]["name"], "mine")
        self.assertEqual([g["name"] for g in self.rendered["loki-5"].all("PrometheusRule")[0]["spec"]["groups"]], [g["name"] for g in groups[:-1]])
        quiet = Rendered(template("-f", CASES["loki-5"], "--set", "monitoring.rules.disabled.LokiRequestLatency=true", "--set", "monitoring.rules.additionalRuleLabels.team=logs"))
        rules = [rule for g in quiet.all("PrometheusRule")[0]["spec"]["groups"] for rule in g["rules"]]
        everything = [rule for g in groups[:-1] for rule in g["rules"]]
        self.assertEqual([x.get("alert") or x["record"] for x in rules], [x.get("alert") or x["record"] for x in everything if x.get("alert") != "LokiRequestLatency"])
        self.assertEqual({x["labels"]["team"] for x in rules}, {"logs"})
        self.assertEqual({x["labels"].get("severity") for x in rules if "alert" in x}, {"critical", "warning"})
        if shutil.which("promtool"):
            with tempfile.NamedTemporaryFile("w", suffix=".yaml") as f:
                tools.yaml.safe_dump({"groups": groups}, f)
                f.flush()
                self.assertEqual(subprocess.run(["promtool", "check", "rules", f.name], capture_output=True).returncode, 0)

    def test_what_users_of_loki_s_chart_set_arrives(self):
        r = self.rendered["loki-6-scalable"]
        config = tools.yaml.safe_load(r.config())
        self.assertEqual(config["schema_config"]["configs"][0]["index"]["prefix"], "loki_index_")
        self.assertEqual(str(config["schema_config"]["configs"][0]["from"])[:10], "2024-04-01")
        self.assertEqual(config["common"]["storage"]["s3"]["bucketnames"], "my-chunks")
        self.assertEqual(config["common"]["storage"]["s3"]["backoff_config"]["max_retries"], 8)
        self.assertNotIn("access_key_id", config["common"]["storage"]["s3"])
        self.assertEqual(config["ingester"], {"chunk_encoding": "snappy", "chunk_target_size": 1572864, "max_chunk_age": "2h"})
        self.assertEqual(config["limits_config"]["retention_period"], "672h")
        self.assertEqual(config["limits_config"]["reject_old_samples_max_age"], "168h")   # ours, under theirs
        self.assertEqual(config["ruler"]["storage"]["s3"], {"bucketnames": "my-ruler", "region": "eu-west-1"})
        self.assertEqual(config["ruler"]["alertmanager_url"], "http://alertmanager.monitoring.svc:9093")
        self.assertEqual(config["querier"]["max_concurrent"], 4)
        self.assertTrue(config["pattern_ingester"]["enabled"])
        self.assertIn("logs-skald-chunks-cache", config["chunk_store_config"]["chunk_cache_config"]["memcached_client"]["addresses"])
        self.assertEqual(tools.yaml.safe_load(r.runtime_config())["overrides"]["team-a"]["ingestion_rate_mb"], 40)
        write = next(w for w in r.servers() if component(w) == "write")
        self.assertEqual(write["spec"]["volumeClaimTemplates"][0]["spec"]["storageClassName"], "gp3")
        self.assertIn("requiredDuringSchedulingIgnoredDuringExecution", write["spec"]["template"]["spec"]["affinity"]["podAntiAffinity"])
        self.assertIn("-config.expand-env=true", write["spec"]["template"]["spec"]["containers"][0]["args"])
        self.assertEqual(r.one("HorizontalPodAutoscaler", "logs-skald-read")["spec"]["maxReplicas"], 6)
        self.assertIn("X-Scope-OrgID $remote_user", r.nginx())
        five = tools.yaml.safe_load(self.rendered["loki-5"].config())
        self.assertEqual(five["common"]["storage"]["s3"]["access_key_id"], "key")
        self.assertEqual(five["server"]["grpc_listen_port"], 9095)
        single = self.rendered["loki-6-single"]
        self.assertTrue(tools.yaml.safe_load(single.config())["ruler"]["enable_api"])
        self.assertEqual(single.servers()[0]["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"]["memory"], "4Gi")

    def test_identities_of_the_clouds(self):
        account = self.rendered["scalable-s3"].all("ServiceAccount")[0]
        self.assertIn("eks.amazonaws.com/role-arn", account["metadata"]["annotations"])
        azure = self.rendered["scalable-azure"]
        for w in azure.servers():
            self.assertEqual(w["spec"]["template"]["metadata"]["labels"]["azure.workload.identity/use"], "true")
        block = tools.yaml.safe_load(azure.config())["common"]["storage"]["azure"]
        self.assertEqual((block["container_name"], block["use_federated_token"]), ("chunks", True))
        self.assertEqual(tools.yaml.safe_load(self.rendered["scalable-gcs"].config())["common"]["storage"]["gcs"]["bucket_name"], "logs-chunks")
        new = tools.yaml.safe_load(self.rendered["object-store"].config())
        self.assertEqual((new["storage_config"]["object_store"]["s3"]["bucket_name"], new["ruler_storage"]["s3"]["bucket_name"]), ("logs-chunks", "logs-ruler"))

    def test_secrets_stay_out_of_config_maps_when_asked(self):
        r = self.rendered["scalable-s3-secret"]
        self.assertFalse(any("config.yaml" in (o.get("data") or {}) for o in r.all("ConfigMap")))
        self.assertIn("${STORE_SECRET}", r.config())
        for w in r.servers():
            c = w["spec"]["template"]["spec"]["containers"][0]
            self.assertIn({"secretRef": {"name": "bucket-keys"}}, c["envFrom"])
            self.assertIn("-config.expand-env=true", c["args"])

    def test_zones(self):
        r = self.rendered["scalable-azure"]
        write = next(w for w in r.servers() if component(w) == "write")["spec"]["template"]["spec"]["containers"][0]
        self.assertIn("-ingester.availability-zone=$(ZONE)", write["args"])
        self.assertTrue(tools.yaml.safe_load(r.config())["common"]["ring"]["zone_awareness_enabled"])

    def test_a_change_of_the_configuration_restarts_pods_and_one_of_the_limits_does_not(self):
        def checksums(*flags):
            r = Rendered(template("-f", CASES["scalable-s3"], *flags))
            return {component(w): w["spec"]["template"]["metadata"]["annotations"]["checksum/config"] for w in r.servers()}
        before = checksums()
        self.assertNotEqual(before, checksums("--set", "loki.limits_config.ingestion_rate_mb=7"))
        self.assertEqual(before, checksums("--set", "loki.runtimeConfig.overrides.a.ingestion_rate_mb=7"))

    def test_mistakes_are_named(self):
        s3 = ["--set", "loki.storage.type=s3"]
        for flags, words in (
                (s3, "bucketNames.chunks"),
                (["--set", "deploymentMode=Distributed"], "Distributed is not one of"),
                (["--set", "deploymentMode=SimpleScalable"], "cannot share a file system"),
                (["--set", "singleBinary.replicas=2"], "cannot share a file system"),
                (["--set", "write.replicas=3"], "write.replicas is 3"),
                (s3 + ["--set", "loki.storage.bucketNames.chunks=c", "--set", "read.replicas=0"], "read.replicas above 0"),
                (["--set", "ingester.replicas=3"], "ingester.replicas is 3"),
                (["--set", "loki.storage.type=swift"], "swift is not one of"),
                (["--set", "gateway.basicAuth.enabled=true"], "gateway.basicAuth.enabled needs"),
                (["--set", "networkPolicy.enabled=true", "--set", "networkPolicy.flavor=cilium"], "networkPolicy.flavor"),
                (["--set", "gateway.nginxConfig.locationSnippet=proxy_set_header A b;"], "into httpSnippet"),
                (["--set", "write.replica=3"], "additional properties 'replica' not allowed"),
                (["--set", "loki.auth_enabld=true"], "additional properties 'auth_enabld' not allowed"),
                (["--set", "write.replicas=three"], "/write/replicas"),
                (["--set", "gateway.nginxConfig.schema=ftp"], "gateway/nginxConfig/schema")):
            with self.subTest(flags=flags):
                done = run_helm("template", "logs", CHART, *flags)
                self.assertNotEqual(done.returncode, 0)
                self.assertIn(words, done.stderr)

    def test_every_default_is_allowed_by_the_schema_and_named_in_it(self):
        with open(os.path.join(CHART, "values.yaml")) as f:
            values = tools.yaml.safe_load(f)
        with open(os.path.join(CHART, "values.schema.json")) as f:
            schema = tools.yaml.safe_load(f)
        self.assertLessEqual(set(values), set(schema["properties"]))
        self.assertLessEqual(set(values["write"]), set(schema["definitions"]["workload"]["properties"]))
        self.assertLessEqual(set(values["loki"]), set(schema["properties"]["loki"]["properties"]))

    def test_the_package_is_whole(self):
        """Everything the chart reads lies inside it."""
        with tempfile.TemporaryDirectory() as directory:
            done = subprocess.run([HELM, "package", CHART, "-d", directory], capture_output=True, text=True, env=NO_CLUSTER)
            self.assertEqual(done.returncode, 0, done.stderr)
            packages = glob.glob(os.path.join(directory, "*.tgz"))
            self.assertEqual(len(packages), 1)
            self.assertLess(os.path.getsize(packages[0]), 1 << 20)   # Helm keeps releases in Secrets of 1 MiB at most
            again = parse(template("--namespace", "obs", "-f", CASES["loki-5"], chart=packages[0]))
            self.assertEqual(again, self.rendered["loki-5"].objects)

    def test_names_of_releases(self):
        for release, name in (("skald", "skald"), ("my-skald", "my-skald"), ("loki", "loki"), ("logs", "logs-skald")):
            self.assertEqual(Rendered(template(release=release)).all("StatefulSet")[0]["metadata"]["name"], name)

    def test_notes_say_what_to_do(self):
        with tempfile.TemporaryDirectory() as directory:
            copy = os.path.join(directory, "skald")
            shutil.copytree(CHART, copy)
            with open(os.path.join(copy, "templates", "notes.yaml"), "w") as f:
                f.write('notes: {{ include (print $.Template.BasePath "/NOTES.txt") . | quote }}\n')
            def notes(*flags):
                return next(d["notes"] for d in parse(template(*flags, chart=copy)) if "notes" in d)
            text = notes()
            self.assertIn("runs as SingleBinary with storage filesystem, replication 1", text)
            self.assertIn("http://logs-skald-gateway.obs.svc.cluster.local", text)
            self.assertIn("X-Scope-OrgID", text)
            text = notes("-f", CASES["loki-5"])
            self.assertIn("replication is 3, but there are fewer writers", text)
            self.assertIn("without effect", notes("--set", "lokiCanary.enabled=true").lower())
            self.assertIn("team-a, team-b", notes("-f", CASES["loki-6-scalable"]))

    @unittest.skipUnless(tools.go(), "no Go toolchain (1.24 or newer)")
    def test_kubernetes_types_know_every_field(self):
        program = tools.manifests()
        for name, r in self.rendered.items():
            with self.subTest(values=name):
                done = subprocess.run([program], input=r.text, capture_output=True, text=True)
                self.assertEqual(done.returncode, 0, done.stderr)
                self.assertEqual(done.stdout, "%d objects\n" % len(r.objects))
        wrong = self.rendered["single"].text.replace("readOnlyRootFilesystem", "readOnlyRootFileSystem")
        done = subprocess.run([program], input=wrong, capture_output=True, text=True)
        self.assertIn("readOnlyRootFileSystem", done.stderr)   # the check can fail

    @unittest.skipUnless(gateway.NGINX, "nginx is not here")
    def test_nginx_takes_the_gateway_s_file(self):
        for name, r in self.rendered.items():
            text = r.nginx()
            if text is None:
                continue
            with self.subTest(values=name), tempfile.TemporaryDirectory() as directory:
                self.assertNotIn("GATEWAY_W", text)
                if name == "everything":
                    self.assertIn("map $http_x_test $tested", text)
                    self.assertEqual(text.count("limit_rate_after 100m;"), text.count("proxy_pass "))
                    self.assertIn("client_max_body_size 20M", text)
                text = re.sub(r"resolver [^;]*;", "resolver 127.0.0.1;", text).replace("/tmp", directory)
                text = re.sub(r"listen \[::\].*", "", text).replace("listen 8080", "listen 127.0.0.1:8080")
                path = os.path.join(directory, "nginx.conf")
                with open(path, "w") as f:
                    f.write(text)
                done = subprocess.run([gateway.NGINX, "-t", "-p", directory, "-c", path], capture_output=True, text=True)
                self.assertEqual(done.returncode, 0, done.stderr)
                self.assertNotIn("[warn]", done.stderr)

    def test_memcached_takes_its_arguments(self):
        try:
            program = servers.need_program("memcached", "memcached")
        except servers.Missing as e:
            self.skipTest(str(e))
        for name in ("chunks-cache", "results-cache"):
            c = self.rendered["minio"].one("StatefulSet", "logs-skald-" + name)["spec"]["template"]["spec"]["containers"][0]
            port = free_port()
            arguments = [a.replace("--port=11211", "--port=%d" % port) for a in c["args"]]
            process = subprocess.Popen([program, "-l", "127.0.0.1", "-u", "nobody", *arguments], stderr=subprocess.PIPE)
            try:
                for _ in range(100):
                    self.assertIsNone(process.poll(), process.stderr.read() if process.poll() is not None else "")
                    try:
                        with socket.create_connection(("127.0.0.1", port), 5) as connection:
                            connection.sendall(b"stats settings\r\n")
                            text = connection.recv(8192).decode()
                        break
                    except OSError:
                        time.sleep(0.05)
                self.assertIn("STAT maxbytes %d\r\n" % ({"chunks-cache": 64, "results-cache": 32}[name] << 20), text)
                self.assertIn("STAT item_size_max %d\r\n" % (5 << 20), text)
            finally:
                process.terminate()
                process.communicate(timeout=10)

    def test_minio_starts_with_its_buckets(self):
        """A folder is a bucket: true of the real one, in the chart and in the compose file."""
        try:
            program = servers.go_program("minio")
        except servers.Missing as e:
            self.skipTest(str(e))
        c = self.rendered["minio"].one("StatefulSet", "logs-skald-minio")["spec"]["template"]["spec"]["containers"][0]
        secret = self.rendered["minio"].one("Secret", "logs-skald-minio")["stringData"]
        with open(os.path.join(ROOT, "deploy", "docker-compose.yaml")) as f:
            composed = tools.yaml.safe_load(f)["services"]["minio"]
        for command, environment, buckets in ((c["args"][0], secret, ("chunks", "ruler")), (composed["command"][0], composed["environment"], ("skald-data", "skald-ruler"))):
            with tempfile.TemporaryDirectory() as directory:
                port = free_port()
                os.symlink(program, os.path.join(directory, "minio"))
                text = re.sub(r" /(export|data)", " " + directory + r"/\1", command).replace(" --address :9000", "") + " --address 127.0.0.1:%d --quiet" % port
                process = subprocess.Popen(["sh", "-c", text], env=dict(environment, PATH=directory + ":/usr/bin:/bin", HOME=directory, MINIO_BROWSER="off", MINIO_UPDATE="off"),
                                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                try:
                    for bucket in buckets:
                        client = store_clients.S3Client("127.0.0.1:%d" % port, bucket, environment["MINIO_ROOT_USER"], environment["MINIO_ROOT_PASSWORD"])
                        for attempt in range(200):
                            try:
                                self.assertEqual(client.list(), [])
                                break
                            except (OSError, store_clients.StoreError):
                                self.assertLess(attempt, 199, "no answer")
                                time.sleep(0.1)
                finally:
                    process.terminate()
                    process.wait(30)

    def test_parts_of_the_user_s_own(self):
        config = Rendered(template("--set", "loki.config=auth_enabled: {{ .Values.loki.auth_enabled }}\n")).config()
        self.assertEqual(config.strip(), "auth_enabled: true")
        r = Rendered(template("--set", "loki.existingSecretForConfig=mine"))
        self.assertIsNone(r.config())
        self.assertIn({"name": "config", "secret": {"secretName": "mine"}}, r.servers()[0]["spec"]["template"]["spec"]["volumes"])
        r = Rendered(template("--set", "serviceAccount.create=false", "--set", "serviceAccount.name=theirs"))
        self.assertEqual(r.all("ServiceAccount"), [])
        self.assertEqual({w["spec"]["template"]["spec"]["serviceAccountName"] for w in r.workloads()}, {"theirs"})
        self.assertEqual(Rendered(template("--set", "gateway.nginxConfig.file=events {}")).nginx().strip(), "events {}")
        text = Rendered(template("--set", "gateway.nginxConfig.customReadUrl=http://elsewhere:1", "--set", "gateway.nginxConfig.resolver=10.0.0.10")).nginx()
        self.assertIn("set $read http://elsewhere:1;", text)
        self.assertIn("resolver 10.0.0.10;", text)
        self.assertIn("set $write http://logs-skald-headless.", text)
        r = Rendered(template("--set", "gateway.basicAuth.enabled=true", "--set", "gateway.basicAuth.existingSecret=theirs"))
        self.assertFalse(r.all("Secret"))
        self.assertIn("auth_basic_user_file", r.nginx())
        self.assertIn("X-Scope-OrgID $http_x_scope_orgid", r.nginx())
        everything = self.rendered["everything"]
        self.assertEqual(everything.one("ConfigMap", "logs-extra")["data"], {"a": "b"})
        self.assertEqual(everything.one("ConfigMap", "logs-text")["data"], {"a": "b"})
        for w in everything.servers():
            c = w["spec"]["template"]["spec"]["containers"][0]
            self.assertTrue(c["image"].startswith("registry.example.com/team/skald@sha256:"))
            self.assertIn("-server.log-format=json", c["args"])
            self.assertIn({"name": "TZ", "value": "UTC"}, c["env"])
            self.assertIn({"name": "ca", "mountPath": "/etc/ssl/company"}, c["volumeMounts"])
            self.assertEqual(w["spec"]["template"]["spec"]["priorityClassName"], "higher")

    def test_passwords_open_the_gateway(self):
        """Hashes that the chart writes, in nginx: what Debian's crypt knows is what the image's knows."""
        if not gateway.NGINX:
            self.skipTest("nginx is not here")
        r = Rendered(template("--set", "loki.tenants[0].name=ann", "--set", "loki.tenants[0].password=first", "--set", "loki.tenants[1].name=bob", "--set", "loki.tenants[1].password=second"))
        lines = r.one("Secret", "logs-skald-gateway")["stringData"][".htpasswd"]
        self.assertEqual([l.split(":")[0] for l in lines.split()], ["ann", "bob"])
        server = Server(config="auth_enabled: true\n").start()
        self.addCleanup(server.close)
        with tempfile.NamedTemporaryFile("w") as f:
            f.write(lines)
            f.flush()
            os.chmod(f.name, 0o644)
            url = "http://127.0.0.1:%d" % server.port
            front = gateway.Gateway(GATEWAY_WRITE_URL=url, GATEWAY_READ_URL=url, GATEWAY_BACKEND_URL=url, GATEWAY_TENANT_FROM="remote_user", GATEWAY_AUTHORIZATION="''",
                                    GATEWAY_AUTH='auth_basic "Loki"; auth_basic_user_file %s;' % f.name).start()
            self.addCleanup(front.close)
            through = Server(directory=server.directory)
            through.port = front.port
            def login(user, password):
                return {"Authorization": "Basic " + base64.b64encode(("%s:%s" % (user, password)).encode()).decode()}
            now = time.time_ns()
            self.assertEqual(through.push([({"app": "x"}, [(now, "of ann")])], headers=login("ann", "first"))[0], 204)
            self.assertEqual(through.push([({"app": "x"}, [(now, "of ann")])], headers=login("ann", "second"))[0], 401)
            self.assertEqual(len(server.query_range('{app="x"}', now - 10**9, now + 10**9, tenant="ann")), 1)
            self.assertEqual(server.query_range('{app="x"}', now - 10**9, now + 10**9, tenant="bob"), [])

    def verify(self, r, target, extra=()):
        """The binary's answer to the rendered file, with the arguments of the rendered container."""
        workload = next(w for w in r.servers() if ("-target=" + target) in w["spec"]["template"]["spec"]["containers"][0]["args"])
        with tempfile.TemporaryDirectory() as directory:
            runtime, path = os.path.join(directory, "runtime.yaml"), os.path.join(directory, "config.yaml")
            with open(runtime, "w") as f:
                f.write(r.runtime_config())
            with open(path, "w") as f:
                f.write(r.config().replace("/etc/loki/runtime-config/runtime-config.yaml", runtime))
            arguments = [a.replace("/etc/loki/config/config.yaml", path).replace("$(POD_IP)", "127.0.0.1").replace("$(ZONE)", "a")
                         for a in workload["spec"]["template"]["spec"]["containers"][0]["args"]]
            return subprocess.run([BINARY, *arguments, *extra, "-verify-config"], capture_output=True, text=True, cwd=directory, timeout=60,
                                  env=dict(os.environ, STORE_KEY="k", STORE_SECRET="s"))

    def check_target(self, target):
        refused = scalable.refusal(target)
        if refused:
            self.skipTest("this binary does not run -target=%s: %s" % (target, refused[-200:]))
        later = {}
        for name, r in self.rendered.items():
            if not any(("-target=" + target) in w["spec"]["template"]["spec"]["containers"][0]["args"] for w in r.servers()):
                continue
            with self.subTest(values=name):
                done = self.verify(r, target)
                if done.returncode and "is not available in this release" in done.stderr:
                    later[name] = done.stderr.strip()[-200:]
                    continue
                self.assertEqual(done.returncode, 0, done.stderr)
                self.assertNotIn("unknown key", done.stderr)
        if later:
            self.skipTest("this binary has not everything that these need: %s" % later)

    def test_the_server_takes_the_file_of_one_process(self):
        self.check_target("all")

    def test_the_server_takes_the_file_of_write(self):
        self.check_target("write")

    def test_the_server_takes_the_file_of_read(self):
        self.check_target("read")

    def test_the_server_takes_the_file_of_backend(self):
        self.check_target("backend")

    def test_the_real_server_runs_with_the_rendered_file_and_the_test_pod_is_content(self):
        for name in ("single", "single-no-gateway", "loki-6-single"):
            r = self.rendered[name]
            with self.subTest(values=name):
                server = Server()
                self.addCleanup(server.close)
                data = os.path.join(server.directory, "data")
                runtime = os.path.join(server.directory, "runtime.yaml")
                with open(runtime, "w") as f:
                    f.write(r.runtime_config())
                server.config = r.config().replace("/etc/loki/runtime-config/runtime-config.yaml", runtime).replace("/var/loki", data)
                server.start()
                pod = r.all("Pod")[0]["spec"]["containers"][0]
                environment = {e["name"]: e["value"] for e in pod["env"]}
                self.assertTrue(environment["URL"].startswith("http://"))
                environment.update(PATH=os.environ["PATH"], URL="http://127.0.0.1:%d" % server.port, TIMEOUT_S="20")
                done = subprocess.run(["sh", "-c", pod["args"][0]], env=environment, capture_output=True, text=True, timeout=120)
                self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
                self.assertIn("read it", done.stdout)
                server.stop()
                environment["TIMEOUT_S"] = "2"
                done = subprocess.run(["sh", "-c", pod["args"][0]], env=environment, capture_output=True, text=True, timeout=120)
                self.assertEqual(done.returncode, 1)   # the test can fail


if __name__ == "__main__":
    unittest.main()

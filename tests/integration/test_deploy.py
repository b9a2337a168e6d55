"""deploy/, configs/ and docs/deploy: what they name exists, the compose files mean what they say, the unit is sound, commands work."""
import glob
import os
import re
import shutil
import subprocess
import tempfile
import unittest

import gateway
import tools
from harness import BINARY, ROOT

SCALABLE = os.path.join(ROOT, "deploy", "docker-compose.yaml")
UNIT = os.path.join(ROOT, "deploy", "systemd", "skald.service")


class Compose(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        if tools.yaml is None:
            raise unittest.SkipTest("PyYAML (package python3-yaml) is not here")
        with open(SCALABLE) as f:
            cls.services = tools.yaml.safe_load(f)["services"]
        with open(os.path.join(ROOT, "configs", "scalable.yaml")) as f:
            cls.config = tools.yaml.safe_load(f)

    def targets(self):
        return {name: s["command"][1].split("=")[1] for name, s in self.services.items() if "-target=" in str(s.get("command"))}

    def test_members(self):
        self.assertEqual(sorted(self.targets().values()), ["backend"] * 2 + ["read"] * 2 + ["write"] * 3)
        volumes = []
        for name, target in self.targets().items():
            s = self.services[name]
            self.assertEqual(s["hostname"], name)
            self.assertEqual(s["networks"]["default"]["aliases"], [target])
            volumes += [v.split(":")[0] for v in s["volumes"] if v.endswith(":/var/lib/skald")]
        self.assertEqual(len(volumes), len(set(volumes)), "two members must not share a log")
        self.assertEqual(len(volumes), 7)

    def test_files_and_names_fit_together(self):
        for s in self.services.values():
            for v in s.get("volumes", ()):
                if v.startswith("."):
                    self.assertTrue(os.path.exists(os.path.join(ROOT, "deploy", v.split(":")[0])), v)
        aliases = {a for s in self.services.values() for a in (s.get("networks") or {}).get("default", {}).get("aliases", ())} | set(self.services)
        for member in self.config["memberlist"]["join_members"]:
            self.assertIn(member.split(":")[0], aliases)
        for name in ("WRITE", "READ", "BACKEND"):
            self.assertIn(re.match(r"http://(\w+):3100$", gateway.defaults()["GATEWAY_%s_URL" % name]).group(1), aliases)
        with open(os.path.join(ROOT, "configs", "grafana", "datasources.yaml")) as f:
            url = tools.yaml.safe_load(f)["datasources"][0]["url"]
        self.assertIn(re.match(r"http://(\w+):3100$", url).group(1), aliases)
        self.assertEqual(gateway.defaults()["GATEWAY_LISTEN"], "3100")
        minio = self.services["minio"]
        s3 = self.config["common"]["storage"]["s3"]
        self.assertEqual((s3["access_key_id"], s3["secret_access_key"]), (minio["environment"]["MINIO_ROOT_USER"], minio["environment"]["MINIO_ROOT_PASSWORD"]))
        for bucket in (s3["bucketnames"], self.config["ruler"]["storage"]["s3"]["bucketnames"]):
            self.assertIn("/data/" + bucket, minio["command"][0])
        self.assertGreaterEqual(len([t for t in self.targets().values() if t == "write"]), self.config["common"]["replication_factor"])

    def test_the_server_takes_the_members_file(self):
        for target in ("write", "read", "backend"):
            with self.subTest(target=target):
                done = subprocess.run([BINARY, "-config.file=" + os.path.join(ROOT, "configs", "scalable.yaml"), "-target=" + target, "-verify-config"],
                                      capture_output=True, text=True, timeout=60)
                if done.returncode and "is not available in this release" in done.stderr:
                    self.skipTest("this binary does not run -target=%s yet: %s" % (target, done.stderr.strip()[-160:]))
                self.assertEqual(done.returncode, 0, done.stderr)

    @unittest.skipUnless(tools.go(), "no Go toolchain (1.24 or newer)")
    def test_compose_reads_the_files(self):
        for path in (SCALABLE, os.path.join(ROOT, "docker-compose.yaml")):
            done = subprocess.run([tools.manifests(), "compose", path], capture_output=True, text=True)
            self.assertEqual(done.returncode, 0, done.stderr)
            services = tools.yaml.safe_load(done.stdout)["services"]
            if path == SCALABLE:
                self.assertEqual({k: v for k, v in services["gateway"]["environment"].items() if k.startswith("GATEWAY_")}, gateway.defaults())


class Image(unittest.TestCase):
    @unittest.skipUnless(shutil.which("dpkg-query") and shutil.which("ldd"), "not a Debian machine")
    def test_the_image_has_every_library_of_the_binary(self):
        with open("/etc/os-release") as f:
            if 'VERSION_ID="12"' not in f.read():
                self.skipTest("the image is Debian 12; package names differ here")
        libraries = re.findall(r"=> (/\S+)", subprocess.run(["ldd", BINARY], capture_output=True, text=True).stdout)
        self.assertTrue(libraries)
        with open(os.path.join(ROOT, "Dockerfile")) as f:
            stage = f.read().split("FROM ")[-1]
        there = set(re.search(r"install -y --no-install-recommends (.*?) && rm", stage.replace("\\\n", ""), re.S).group(1).split())
        there = self.with_what_they_need(there | {"libc6", "libgcc-s1", "libstdc++6"})
        for library in libraries:
            path = os.path.realpath(library)
            owners = subprocess.run(["dpkg-query", "-S", path, path.removeprefix("/usr")], capture_output=True, text=True).stdout
            owner = owners.split(":")[0]
            self.assertIn(owner, there, "%s is missing in the Dockerfile" % library)

    def with_what_they_need(self, packages):
        lines = subprocess.run(["dpkg-query", "-W", "-f", "${Package} ${Depends}, ${Pre-Depends}\\n"], capture_output=True, text=True).stdout.splitlines()
        needs = {line.split(" ", 1)[0]: re.findall(r"(?:^|[,|])\s*([a-z0-9][a-z0-9.+-]+)", line.split(" ", 1)[1]) for line in lines}
        seen, todo = set(), list(packages)
        while todo:
            name = todo.pop()
            if name not in seen:
                seen.add(name)
                todo += needs.get(name, ())
        return seen


class Systemd(unittest.TestCase):
    @unittest.skipUnless(shutil.which("systemd-analyze"), "systemd-analyze is not here")
    def test_the_unit_is_sound_and_gives_away_little(self):
        with tempfile.TemporaryDirectory() as directory, open(UNIT) as f:
            path = os.path.join(directory, "skald.service")
            with open(path, "w") as out:
                out.write(f.read().replace("/usr/bin/skald", BINARY))
            done = subprocess.run(["systemd-analyze", "verify", path], capture_output=True, text=True)
            self.assertEqual((done.returncode, [l for l in done.stderr.splitlines() if "skald.service" in l]), (0, []))
            done = subprocess.run(["systemd-analyze", "security", "--offline=true", "--no-pager", "--threshold=20", path], capture_output=True, text=True)
            if "Unknown option" in done.stderr or "unrecognized option" in done.stderr:
                self.skipTest("systemd-analyze is too old for --offline")
            self.assertEqual(done.returncode, 0, done.stdout[-400:])   # 2.0 of 10 at most

    def test_paths_of_the_unit_are_those_of_the_configuration(self):
        with open(UNIT) as f:
            unit = f.read()
        with open(os.path.join(ROOT, "configs", "docker.yaml")) as f:
            config = f.read()
        self.assertIn("StateDirectory=skald", unit)
        self.assertIn("path_prefix: /var/lib/skald\n", config)
        flags = re.findall(r"^Exec\w+=/usr/bin/skald (.*)$", unit, re.M)
        self.assertEqual(len(flags), 2)
        with tempfile.TemporaryDirectory() as directory:
            path = os.path.join(directory, "config.yaml")
            with open(path, "w") as f:
                f.write(config)
            done = subprocess.run([BINARY] + flags[0].replace("/etc/skald/config.yaml", path).split(), capture_output=True, text=True)
            self.assertEqual(done.returncode, 0, done.stderr)


class Pages(unittest.TestCase):
    PAGES = sorted(glob.glob(os.path.join(ROOT, "docs", "deploy", "*.md")) + glob.glob(os.path.join(ROOT, "docs", "runbooks", "*.md"))
                   + [os.path.join(ROOT, "monitoring", "README.md")])

    def test_links_and_paths_exist(self):
        for page in self.PAGES:
            with open(page, encoding="utf-8") as f:
                text = f.read()
            with self.subTest(page=os.path.relpath(page, ROOT)):
                for link in re.findall(r"\]\(([^)#:]+)\)", text):
                    self.assertTrue(os.path.exists(os.path.join(os.path.dirname(page), link)), link)
                for path in re.findall(r"(?<![\w/.-])((?:configs|deploy|gateway|helm|monitoring|docs)/[\w./-]+\.(?:yaml|env|template|service|md|json))", text):
                    self.assertTrue(os.path.exists(os.path.join(ROOT, path)), path)

    def test_values_that_the_pages_name_exist_in_the_chart(self):
        if tools.yaml is None:
            self.skipTest("PyYAML (package python3-yaml) is not here")
        with open(os.path.join(ROOT, "helm", "skald", "values.yaml")) as f:
            values = tools.yaml.safe_load(f)
        with open(os.path.join(ROOT, "docs", "deploy", "kubernetes.md"), encoding="utf-8") as f:
            text = f.read()
        named = set(re.findall(r"`((?:loki|write|read|backend|singleBinary|gateway|serviceAccount|chunksCache|resultsCache|networkPolicy|monitoring|sidecar|zoneAwareness|minio)(?:\.\w+)+)", text))
        self.assertGreater(len(named), 15)
        for name in named:
            at = values
            for part in name.split("."):
                if not isinstance(at, dict) or (part not in at and at == {}):
                    break   # below an open map
                self.assertIn(part, at, name)
                at = at[part]

    def test_settings_of_the_gateway_are_all_described(self):
        with open(os.path.join(ROOT, "docs", "deploy", "gateway.md"), encoding="utf-8") as f:
            text = f.read()
        with open(gateway.TEMPLATE) as f:
            used = set(re.findall(r"\$\{(GATEWAY_\w+)\}", f.read()))
        self.assertEqual(used, set(gateway.defaults()))
        for name in used:
            self.assertTrue(name in text or re.sub(r"^GATEWAY(_[A-Z]+)(_URL|_SNIPPET)$", r"`\1\2`", name) in text, name)

    @unittest.skipUnless(shutil.which("envsubst") and gateway.NGINX, "envsubst or nginx is not here")
    def test_the_commands_for_a_machine_of_ones_own(self):
        with open(os.path.join(ROOT, "docs", "deploy", "gateway.md"), encoding="utf-8") as f:
            block = re.search(r"```\n(cp gateway.*?)```", f.read(), re.S).group(1)
        with tempfile.TemporaryDirectory() as directory:
            script = block.replace("/etc/nginx/skald.conf", directory + "/skald.conf").replace("my.env", directory + "/my.env").replace(". ./", ". ")
            script = script.replace("set -a;", "sed -i 's#^GATEWAY_TMP=.*#GATEWAY_TMP=%s#' %s/my.env; set -a;" % (directory, directory)).replace("nginx -t", gateway.NGINX + " -t")
            done = subprocess.run(["bash", "-e", "-c", script], cwd=ROOT, capture_output=True, text=True)
            self.assertEqual(done.returncode, 0, done.stderr)
            with open(directory + "/skald.conf") as f:
                text = f.read()
            self.assertIn("$request_uri", text)
            self.assertNotIn("${GATEWAY", text)


if __name__ == "__main__":
    unittest.main()

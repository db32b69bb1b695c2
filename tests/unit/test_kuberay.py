"""The manifests of deploy/, checked without Kubernetes: by its client's types, and by the fields of KubeRay's."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support import ROOT


def pinned(package: str) -> str:
    found = re.search(rf"^{package}==(\S+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    assert found
    return found[1]


# From KubeRay's Go types, ray-operator/apis/ray/v1/{rayjob,rayservice,raycluster}_types.go: field -> kind of its value;
# a name in capitals is a table here, V1… a type of Kubernetes. Fields that our manifests may use; there are more.
KUBERAY: dict[str, dict[str, str]] = {
    "RayJob": {
        "entrypoint": "str", "runtimeEnvYAML": "str", "shutdownAfterJobFinishes": "bool", "backoffLimit": "int",
        "ttlSecondsAfterFinished": "int", "activeDeadlineSeconds": "int", "rayClusterSpec": "RayCluster",
        "submissionMode": "str", "submitterPodTemplate": "V1PodTemplateSpec", "suspend": "bool",
    },
    "RayService": {"serveConfigV2": "str", "rayClusterConfig": "RayCluster", "serveService": "V1Service"},
    "RayCluster": {
        "rayVersion": "str", "authOptions": "Auth", "enableInTreeAutoscaling": "bool", "autoscalerOptions": "Autoscaler",
        "headGroupSpec": "Head", "workerGroupSpecs": "list[Workers]", "headServiceAnnotations": "dict(str, str)",
    },
    "Auth": {"mode": "str", "secretName": "str"},
    "Autoscaler": {
        "idleTimeoutSeconds": "int", "upscalingMode": "str", "version": "str", "resources": "V1ResourceRequirements",
        "env": "list[V1EnvVar]", "image": "str", "securityContext": "V1SecurityContext",
    },
    "Head": {"rayStartParams": "dict(str, str)", "template": "V1PodTemplateSpec", "serviceType": "str"},
    "Workers": {
        "groupName": "str", "replicas": "int", "minReplicas": "int", "maxReplicas": "int", "numOfHosts": "int",
        "idleTimeoutSeconds": "int", "rayStartParams": "dict(str, str)", "template": "V1PodTemplateSpec",
    },
}  # fmt: skip
REQUIRED = {"RayCluster": {"headGroupSpec"}, "Head": {"template"}, "Workers": {"groupName", "template", "maxReplicas"}}


def mistakes(value: Any, kind: str, path: str) -> list[str]:
    """Where `value` is not of `kind`: unknown fields, missing ones, values of another kind."""
    from kubernetes.client import models

    if outer := re.fullmatch(r"list\[(.+)\]", kind):
        if not isinstance(value, list):
            return [f"{path}: no list"]
        return [m for i, item in enumerate(value) for m in mistakes(item, outer[1], f"{path}[{i}]")]
    if outer := re.fullmatch(r"dict\(str, (.+)\)", kind):
        if not isinstance(value, dict):
            return [f"{path}: no mapping"]
        return [m for key, item in value.items() for m in mistakes(item, outer[1], f"{path}.{key}")]
    plain = {"str": str, "int": int, "bool": bool, "object": object, "float": (int, float)}
    if kind in plain:
        right = isinstance(value, plain[kind]) and (kind in {"bool", "object"} or not isinstance(value, bool))  # type: ignore[arg-type]
        return [] if right else [f"{path}: {value!r} is no {kind}"]
    if not isinstance(value, dict):
        return [f"{path}: no mapping"]
    if kind in KUBERAY:
        fields, required = KUBERAY[kind], REQUIRED.get(kind, set())
    else:
        model = getattr(models, kind)
        fields = {model.attribute_map[name]: inner for name, inner in model.openapi_types.items()}
        required = {"name"} if kind in {"V1Container", "V1Volume", "V1EnvVar"} else set()
        required |= {"containers"} if kind == "V1PodSpec" else set()
    wrong = [f"{path}: there is no field {key}" for key in value if key not in fields]
    wrong += [f"{path}: {key} is missing" for key in sorted(required - value.keys())]
    return wrong + [m for k, item in value.items() if k in fields for m in mistakes(item, fields[k], f"{path}.{k}")]


def manifest(name: str) -> dict[str, Any]:
    return dict(yaml.safe_load((ROOT / "deploy" / f"{name.lower()}.yaml").read_text()))


@pytest.mark.parametrize(("kind", "cluster"), [("RayJob", "rayClusterSpec"), ("RayService", "rayClusterConfig")])
def test_the_manifest_has_only_fields_that_there_are(kind: str, cluster: str) -> None:
    tree = manifest(kind)
    assert (tree["apiVersion"], tree["kind"]) == ("ray.io/v1", kind)
    assert mistakes(tree["spec"], kind, "spec") == []
    spec = tree["spec"][cluster]
    assert spec["rayVersion"] == pinned("ray")
    for group in [spec["headGroupSpec"], *spec["workerGroupSpecs"]]:
        pod = group["template"]["spec"]
        volumes = {volume["name"] for volume in pod["volumes"]}
        for container in pod["containers"]:
            assert {mount["name"] for mount in container["volumeMounts"]} <= volumes
            assert container["image"].startswith("tablert-dist:")
    # The check itself finds what is wrong.
    spec["headGroupSpec"]["template"]["spec"]["containers"][0]["resources"]["limits"]["cpu"] = 4
    spec["workerGroupSpecs"][0]["template"]["spec"]["toleration"] = []
    spec["enableInTreeAutoscalin"] = True
    found = " ".join(mistakes(tree["spec"], kind, "spec"))
    assert "no field toleration" in found and "no field enableInTreeAutoscalin" in found and "4 is no str" in found


@pytest.mark.parametrize(("kind", "cluster"), [("RayJob", "rayClusterSpec"), ("RayService", "rayClusterConfig")])
def test_every_pod_is_without_privileges_and_rays_ports_ask_for_a_token(kind: str, cluster: str) -> None:
    spec = manifest(kind)["spec"][cluster]
    assert spec["authOptions"] == {"mode": "token"}
    for group in [spec["headGroupSpec"], *spec["workerGroupSpecs"]]:
        pod = group["template"]["spec"]
        user = pod["securityContext"]
        assert user["runAsNonRoot"] and user["runAsUser"] == user["fsGroup"] == 1000, "the image's user"
        assert user["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in pod["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "capabilities": {"drop": ["ALL"]},
            }
    for group in spec["workerGroupSpecs"]:
        assert group["template"]["spec"]["automountServiceAccountToken"] is False, (
            "only the autoscaler talks to Kubernetes"
        )


def test_the_services_pods_are_probed_and_drained_one_by_one() -> None:
    spec = manifest("RayService")["spec"]
    cluster = spec["rayClusterConfig"]
    port = yaml.safe_load(spec["serveConfigV2"])["http_options"]["port"]
    (group,) = cluster["workerGroupSpecs"]
    for part, probes in ((cluster["headGroupSpec"], ("readinessProbe", "livenessProbe")), (group, ("readinessProbe",))):
        (container,) = part["template"]["spec"]["containers"]
        ports = {port["name"]: port["containerPort"] for port in container["ports"]}
        for name in probes:
            (check,) = (container[name].get(kind) for kind in ("httpGet", "tcpSocket") if kind in container[name])
            assert check["port"] in ports, f"{name}: {check['port']} is a port of the container"
    assert container["readinessProbe"]["httpGet"] == {"path": "/-/healthz", "port": "serve"} and ports["serve"] == port
    budget = manifest("PodDisruptionBudget")
    assert (budget["apiVersion"], budget["kind"]) == ("policy/v1", "PodDisruptionBudget")
    assert mistakes(budget["spec"], "V1PodDisruptionBudgetSpec", "spec") == []
    labels = group["template"]["metadata"]["labels"]
    assert budget["spec"]["selector"]["matchLabels"].items() <= labels.items(), "it is of the pods with replicas"
    head = cluster["headGroupSpec"]["template"]["metadata"]["labels"]
    assert not budget["spec"]["selector"]["matchLabels"].items() <= head.items()


@pytest.mark.parametrize(
    ("kind", "file"), [("RayJob", "ray.io_rayjobs.yaml"), ("RayService", "ray.io_rayservices.yaml")]
)
def test_the_manifest_fits_the_published_schema(kind: str, file: str) -> None:
    """With TABLERT_KUBERAY_CRDS, the folder config/crd/bases of a KubeRay release."""
    folder = os.environ.get("TABLERT_KUBERAY_CRDS")
    if not folder:
        pytest.skip("TABLERT_KUBERAY_CRDS is not set")
    from jsonschema import Draft202012Validator

    crd = yaml.safe_load((Path(folder) / file).read_text())
    (schema,) = [v["schema"]["openAPIV3Schema"] for v in crd["spec"]["versions"] if v["name"] == "v1"]
    tree = json.loads(json.dumps(closed(schema)))
    assert [error.message for error in Draft202012Validator(tree).iter_errors(manifest(kind))] == []


def closed(schema: Any) -> Any:
    """The schema with unknown fields refused, and Kubernetes' own marks said in JSON Schema's words."""
    if isinstance(schema, list):
        return [closed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    tree = {key: closed(value) for key, value in schema.items()}
    if tree.pop("x-kubernetes-int-or-string", False):
        return {"type": ["integer", "string"]}
    if (
        isinstance(tree.get("properties"), dict)
        and tree["properties"]
        and "x-kubernetes-preserve-unknown-fields" not in tree
    ):
        tree.setdefault("additionalProperties", False)
    return tree


def test_the_job_is_what_the_command_line_takes_and_costs_nothing_when_idle() -> None:
    import click

    from tablert_dist.cli.tune import command
    from tablert_dist.config import load_config, parse_assignment

    spec = manifest("RayJob")["spec"]
    words = spec["entrypoint"].split()
    assert words[:3] == ["python", "-m", "tablert_dist.tune"]
    parsed = command.make_context("tune", words[3:], resilient_parsing=False).params
    assert isinstance(command, click.Command) and parsed["name"] and parsed["config_name"] == "conll04"
    config = load_config("conll04", dict(parse_assignment(text) for text in parsed["assignments"]))
    (group,) = spec["rayClusterSpec"]["workerGroupSpecs"]
    (worker,) = group["template"]["spec"]["containers"]
    assert config.cluster.max_workers == group["maxReplicas"] and group["minReplicas"] == group["replicas"] == 0
    assert str(int(config.cluster.cpus_per_worker or 0)) == worker["resources"]["limits"]["cpu"]
    assert config.cluster.gpus_per_worker == float(worker["resources"]["limits"]["nvidia.com/gpu"]) == 1.0
    mounts = {mount["mountPath"] for mount in worker["volumeMounts"]}
    assert {"/shared", "/dev/shm"} <= mounts and str(config.train.storage).startswith("/shared/")
    assert spec["rayClusterSpec"]["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    assert spec["shutdownAfterJobFinishes"] and spec["ttlSecondsAfterFinished"] > 0
    for variable in worker["env"]:
        if re.search("PASSWORD|SECRET|KEY", variable["name"]):
            assert "value" not in variable and variable["valueFrom"]["secretKeyRef"]["name"] == "tablert-secrets"

"""What KubeRay 1.6 and Kubernetes 1.28 accept, as far as the deployment files use it.

Written down from KubeRay's API reference (`ray.io/v1`) and the API reference of Kubernetes. Objects
are closed: a key that is not here is a mistake, as it is to an API server that validates strictly.
"""

from typing import Any

Schema = dict[str, Any]

TEXT: Schema = {"type": "string", "minLength": 1}
NATURAL: Schema = {"type": "integer", "minimum": 0}
PORT: Schema = {"type": "integer", "minimum": 1, "maximum": 65535}
FLAG: Schema = {"type": "boolean"}
QUANTITY: Schema = {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?(m|k|M|G|T|Ki|Mi|Gi|Ti)?$"}
TEXTS: Schema = {"type": "object", "additionalProperties": {"type": "string"}}
NAME: Schema = {"type": "string", "pattern": r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", "maxLength": 63}


def one_of(*values: str) -> Schema:
    return {"enum": list(values)}


def list_of(item: Schema, *, at_least: int = 0) -> Schema:
    return {"type": "array", "items": item, "minItems": at_least}


def closed(*required: str, **properties: Schema) -> Schema:
    """An object with these keys and no others."""
    unknown = set(required) - set(properties)
    assert not unknown, unknown
    return {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": False,
    }


METADATA = closed(name=NAME, namespace=NAME, labels=TEXTS, annotations=TEXTS)
NAMED = closed("name", **METADATA["properties"])
SELECTOR = closed(matchLabels=TEXTS, matchExpressions=list_of({"type": "object"}))
AMOUNTS: Schema = {"type": "object", "additionalProperties": QUANTITY}
RESOURCES = closed(requests=AMOUNTS, limits=AMOUNTS)
SECCOMP = closed(
    "type", type=one_of("RuntimeDefault", "Unconfined", "Localhost"), localhostProfile=TEXT
)

ENV = closed(
    "name",
    name=TEXT,
    value={"type": "string"},
    valueFrom=closed(secretKeyRef=closed("key", "name", name=NAME, key=TEXT, optional=FLAG)),
)
MOUNT = closed("mountPath", "name", name=NAME, mountPath=TEXT, readOnly=FLAG, subPath=TEXT)
CONTAINER = closed(
    "name",
    "image",
    name=NAME,
    image=TEXT,
    imagePullPolicy=one_of("Always", "IfNotPresent", "Never"),
    command=list_of(TEXT),
    args=list_of(TEXT),
    workingDir=TEXT,
    env=list_of(ENV),
    ports=list_of(
        closed("containerPort", name=NAME, containerPort=PORT, protocol=one_of("TCP", "UDP"))
    ),
    resources=RESOURCES,
    securityContext=closed(
        allowPrivilegeEscalation=FLAG,
        capabilities=closed(add=list_of(TEXT), drop=list_of(TEXT)),
        privileged=FLAG,
        readOnlyRootFilesystem=FLAG,
        runAsNonRoot=FLAG,
        runAsUser=NATURAL,
        runAsGroup=NATURAL,
        seccompProfile=SECCOMP,
    ),
    volumeMounts=list_of(MOUNT),
)
VOLUME = closed(
    "name",
    name=NAME,
    persistentVolumeClaim=closed("claimName", claimName=NAME, readOnly=FLAG),
    configMap=closed(name=NAME, optional=FLAG, defaultMode=NATURAL),
    secret=closed(secretName=NAME, optional=FLAG, defaultMode=NATURAL),
    emptyDir=closed(medium=one_of("", "Memory"), sizeLimit=QUANTITY),
)
POD = closed(
    "containers",
    containers=list_of(CONTAINER, at_least=1),
    initContainers=list_of(CONTAINER),
    volumes=list_of(VOLUME),
    nodeSelector=TEXTS,
    tolerations=list_of(
        closed(
            key=TEXT,
            operator=one_of("Exists", "Equal"),
            value=TEXT,
            effect=one_of("NoSchedule", "PreferNoSchedule", "NoExecute"),
        )
    ),
    imagePullSecrets=list_of(closed(name=NAME)),
    securityContext=closed(
        fsGroup=NATURAL,
        runAsGroup=NATURAL,
        runAsNonRoot=FLAG,
        runAsUser=NATURAL,
        seccompProfile=SECCOMP,
    ),
    serviceAccountName=NAME,
    terminationGracePeriodSeconds=NATURAL,
)
TEMPLATE = closed("spec", metadata=METADATA, spec=POD)

WORKERS = closed(
    "groupName",
    "minReplicas",
    "maxReplicas",
    "template",
    groupName=NAME,
    replicas=NATURAL,
    minReplicas=NATURAL,
    maxReplicas=NATURAL,
    idleTimeoutSeconds=NATURAL,
    numOfHosts=NATURAL,
    suspend=FLAG,
    rayStartParams=TEXTS,
    template=TEMPLATE,
    scaleStrategy=closed(workersToDelete=list_of(TEXT)),
)
HEAD = closed(
    "template",
    template=TEMPLATE,
    rayStartParams=TEXTS,
    serviceType=one_of("ClusterIP", "NodePort", "LoadBalancer", "ExternalName"),
    headService={"type": "object"},
    enableIngress=FLAG,
)
CLUSTER_SPEC = closed(
    "headGroupSpec",
    rayVersion=TEXT,
    authOptions=closed(mode=one_of("disabled", "token"), secretName=NAME, enableK8sTokenAuth=FLAG),
    enableInTreeAutoscaling=FLAG,
    autoscalerOptions=closed(
        version=one_of("v1", "v2"),
        idleTimeoutSeconds=NATURAL,
        upscalingMode=one_of("Default", "Aggressive", "Conservative"),
        image=TEXT,
        imagePullPolicy=one_of("Always", "IfNotPresent", "Never"),
        resources=RESOURCES,
        env=list_of(ENV),
        envFrom=list_of({"type": "object"}),
        volumeMounts=list_of(MOUNT),
        securityContext=CONTAINER["properties"]["securityContext"],
    ),
    headServiceAnnotations=TEXTS,
    gcsFaultToleranceOptions={"type": "object"},
    managedBy=TEXT,
    suspend=FLAG,
    headGroupSpec=HEAD,
    workerGroupSpecs=list_of(WORKERS),
)
JOB_SPEC = closed(
    "entrypoint",
    "rayClusterSpec",
    entrypoint=TEXT,
    entrypointNumCpus={"type": "number", "minimum": 0},
    entrypointNumGpus={"type": "number", "minimum": 0},
    entrypointResources=TEXT,
    runtimeEnvYAML=TEXT,
    jobId=TEXT,
    metadata=TEXTS,
    submissionMode=one_of("K8sJobMode", "HTTPMode", "InteractiveMode", "SidecarMode"),
    submitterConfig=closed(backoffLimit=NATURAL),
    submitterPodTemplate=TEMPLATE,
    backoffLimit=NATURAL,
    activeDeadlineSeconds={"type": "integer", "minimum": 1},
    shutdownAfterJobFinishes=FLAG,
    ttlSecondsAfterFinished=NATURAL,
    suspend=FLAG,
    clusterSelector=TEXTS,
    deletionStrategy={"type": "object"},
    managedBy=TEXT,
    rayClusterSpec=CLUSTER_SPEC,
)
PEER = closed(podSelector=SELECTOR, namespaceSelector=SELECTOR, ipBlock={"type": "object"})
POLICY_SPEC = closed(
    "podSelector",
    podSelector=SELECTOR,
    policyTypes=list_of(one_of("Ingress", "Egress")),
    ingress=list_of(
        closed(
            **{"from": list_of(PEER, at_least=1)},
            ports=list_of(closed("port", port=PORT, protocol=one_of("TCP", "UDP", "SCTP"))),
        )
    ),
    egress=list_of({"type": "object"}),
)
CLAIM_SPEC = closed(
    "accessModes",
    "resources",
    accessModes=list_of(one_of("ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany"), at_least=1),
    resources=closed("requests", requests=closed("storage", storage=QUANTITY)),
    storageClassName=NAME,
)


def resource(api: str, kind: str, spec: Schema) -> Schema:
    return closed(
        "apiVersion",
        "kind",
        "metadata",
        "spec",
        apiVersion={"const": api},
        kind={"const": kind},
        metadata=NAMED,
        spec=spec,
    )


SCHEMAS = {
    "RayJob": resource("ray.io/v1", "RayJob", JOB_SPEC),
    "RayCluster": resource("ray.io/v1", "RayCluster", CLUSTER_SPEC),
    "NetworkPolicy": resource("networking.k8s.io/v1", "NetworkPolicy", POLICY_SPEC),
    "PersistentVolumeClaim": resource("v1", "PersistentVolumeClaim", CLAIM_SPEC),
}

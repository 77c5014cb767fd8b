"""The tables about where and how runs happen. All are taken from the settings in force, never from a commit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from builder.settings import checks, times
from builder.settings.fields import key, table


@dataclass(frozen=True, slots=True)
class DockerSettings:
    """The container of a run with `--on docker`."""

    network: str = key("", "Docker's network mode: `host`, `none` or a network's name; the engine's default when empty")
    gpus: str = key("", "`all`, or how many GPUs it gets", checks.gpus)
    shared_memory: str = key("", "the size of /dev/shm, which data loaders need, such as `16g`", checks.docker_size)
    env: tuple[str, ...] = key((), "variables of your shell that it gets too, such as `HF_TOKEN`")


@dataclass(frozen=True, slots=True)
class RunSettings:
    """How runs start when the command line does not say."""

    on: Literal["local", "docker", "argo"] = key("local", "where runs go: this machine, its Docker engine, or Argo Workflows")
    docker: DockerSettings = field(default_factory=DockerSettings, metadata={"meaning": "the container of a run in Docker"})


@dataclass(frozen=True, slots=True)
class DataSettings:
    """Where what runs leave behind is kept."""

    root: str = key(".builder/data", "a directory, or `s3://bucket/prefix`")
    endpoint: str = key("", "the S3 endpoint where it is not Amazon's: the same URL here and in pods")
    archive: str = key("", "where `slim-repo` put what it took out of the history; the data root when empty")
    restore: Literal["auto", "ask", "never"] = key(
        "auto", "whether a run at a commit gets back what `slim-repo` took out of it, before its commands start"
    )
    restore_paths: tuple[str, ...] = key((), "which of these files, as patterns of .gitignore; all when empty", checks.patterns)


@dataclass(frozen=True, slots=True)
class DeploySettings:
    """The Kubernetes namespace in which Argo runs flows, and as whom."""

    namespace: str = key("builder", "where templates and runs live", checks.kubernetes_name)
    context: str = key("", "the kubeconfig's context; the current one when empty")
    account: str = key("builder-run", "the service account of steps: it may start runs, but no templates", checks.kubernetes_name)
    starter: str = key("builder-start", "the service account of runs that make templates of other revisions", checks.kubernetes_name)
    keeper: str = key("builder-keep", "the service account of `watch` and `housekeep`: it may delete workflows", checks.kubernetes_name)
    secrets: tuple[str, ...] = key((), "Kubernetes secrets whose keys are environment variables of every step (S3 credentials)")
    pull_secrets: tuple[str, ...] = key((), "Kubernetes secrets with which nodes pull the image")
    pre_pull: bool = key(True, "`deploy --bootstrap` has every node pull what lies below the code of an image, before a run needs it")
    git_secret: str = key(
        "", "the Kubernetes secret (keys `url`, `token`) with which the starter reads the repository, and `housekeep` its list of commits"
    )
    pending_timeout: str = key("30m", "how long the first step may take, pulling its image included, once a node has it", checks.time_limit)
    keep_succeeded: str = key("7d", "how long a run that succeeded stays in the cluster; its records stay longer", checks.duration)
    keep_failed: str = key("30d", "how long one that failed stays", checks.duration)
    timeout: str = key("", "how long a whole run may take; without limit when empty", checks.maybe_time_limit)


@dataclass(frozen=True, slots=True)
class PodSettings:
    """What a step's pod asks the cluster for."""

    cpu: str = key("1", "CPUs, such as `0.5`")
    memory: str = key("2Gi", "memory, such as `64Gi`")
    disk: str = key("", "ephemeral storage, such as `100Gi`")
    gpus: int = key(0, "how many GPUs", checks.not_negative)
    gpu_resource: str = key("nvidia.com/gpu", "the resource's name by which the cluster counts GPUs")
    shared_memory: str = key("", "the size of /dev/shm, which data loaders need, such as `16Gi`")
    node_selector: Mapping[str, str] = table("labels that the node must have")
    tolerations: tuple[str, ...] = key((), "taints that the pod tolerates: `key`, `key=value` or `key=value:Effect`")


@dataclass(frozen=True, slots=True)
class SlurmSettings:
    """What a step's job asks Slurm for, and how its cluster is reached."""

    bastion: str = key("", "the host with `sbatch`: as your ssh config knows it, or `host:port`")
    user: str = key("", "the user there; what ssh says when empty")
    identity_file: str = key("", "the private key's file; those of the agent and of ~/.ssh when empty")
    identity_env: str = key("", "instead, for pods: the environment variable with the private key, from a secret of [deploy] secrets")
    known_hosts: str = key("~/.ssh/known_hosts", "the file with the host's key: no other is accepted")
    host_key: str = key("", "instead, for pods: the host's public key itself, `ssh-ed25519 AAAA...`")
    root: str = key("", "an absolute directory on the cluster, seen by all nodes, for code and files of jobs", checks.workdir)
    partition: str = key("", "the partition; the cluster's default when empty")
    account: str = key("", "the account to charge")
    qos: str = key("", "the quality of service")
    nodes: int = key(1, "how many nodes", checks.not_negative)
    gpus_per_node: int = key(0, "how many GPUs on each", checks.not_negative)
    cpus: int = key(0, "CPUs of a task; the cluster's default when 0", checks.not_negative)
    mem: str = key("", "memory of a node, such as `64G`")
    time: str = key("", "the job's time limit, in whole minutes; the partition's when empty", checks.maybe_time_limit)
    constraint: str = key("", "features that nodes must have")
    options: tuple[str, ...] = key((), "more words for sbatch, such as `--exclusive`")
    wait_for_nodes: bool = key(False, "a job for which the partition has no such nodes, or not so many, waits until it has")
    queue_limit: str = key("", "how long a job may wait until it starts; without limit when empty", checks.maybe_time_limit)
    container: Literal["none", "pyxis", "apptainer", "charliecloud"] = key(
        "none", "how the command runs in the image of base and dependencies, by digest; `none`: the environment is not pinned"
    )
    setup: tuple[str, ...] = key((), "lines of shell first, such as `module load cuda`; without a container they make the environment")
    s3_credentials: str = key(
        "",
        "a file on the cluster, such as `~/.aws/credentials`, with which jobs move checkpoints themselves, when [data] root is S3",
        checks.cluster_file,
    )
    squeue_every: str = key("15s", "how often squeue is asked at most, however many steps wait: they share what it said", checks.time_limit)


@dataclass(frozen=True, slots=True)
class JobSetSettings:
    """A gang of pods that Kueue lets begin together. Each asks for what `[launch.STEP.pod]` says."""

    queue: str = key("", "the Kueue LocalQueue in which it waits; required, as a gang without one begins at once, outside of every quota")
    priority: str = key("", "the Kueue WorkloadPriorityClass")
    nodes: int = key(1, "how many pods", checks.positive)
    wait_for_nodes: bool = key(False, "one that asks for more than the queue can ever give waits until it can")


@dataclass(frozen=True, slots=True)
class LaunchSettings:
    """Where a step's command runs. The table `[launch.default]` holds for steps that have none."""

    on: Literal["here", "slurm", "jobset"] = key(
        "here", "`here`: in the step's pod, or on this machine; `slurm`: as a job; `jobset`: as pods in Kubernetes"
    )
    timeout: str = key("", "how long the command may take, on Slurm once its job runs; without limit when empty", checks.maybe_time_limit)
    pod: PodSettings = field(default_factory=PodSettings)
    slurm: SlurmSettings = field(default_factory=SlurmSettings)
    jobset: JobSetSettings = field(default_factory=JobSetSettings)


@dataclass(frozen=True, slots=True)
class QueueSettings:
    """How many runs of a flow go on at once; the others wait. The table's name is the flow's."""

    at_once: int = key(0, "this many runs at once; any number when 0", checks.not_negative)
    kueue: str = key("", "the Kueue queue that the pods are labelled for")


@dataclass(frozen=True, slots=True)
class NotifySettings:
    """Messages to Slack. Off while there is neither a webhook nor a channel."""

    slack: bool = key(False, "send messages")
    webhook_env: str = key("SLACK_WEBHOOK_URL", "the environment variable with an incoming webhook's URL", checks.variable)
    token_env: str = key("SLACK_BOT_TOKEN", "the environment variable with a bot's token: messages of a run form a thread", checks.variable)
    channel: str = key("", "the channel, for a bot")
    secret: str = key("", "the Kubernetes secret whose keys are these variables")
    on: tuple[str, ...] = key(
        ("started", "queued", "succeeded", "failed"), "which events of a step are told; `queued`: its job waits in Slurm", checks.events
    )
    steps: tuple[str, ...] = key((), "only these steps (and the run itself, `run`); all when empty")
    api: str = key("", "another address of Slack's API, for a proxy or a test")


@dataclass(frozen=True, slots=True)
class ForgeSettings:
    """Where `builder image --report` writes: the forge with the pull requests. The CI system and the remote mostly say it all."""

    kind: Literal["github"] = key("github", "GitHub, or a GitHub Enterprise")
    url: str = key(
        "", "the address of its API, such as `https://github.example.com/api/v3`; that of the remote's host when empty", checks.public_url
    )
    repository: str = key("", "`owner/name` there; what the CI system or the remote say when empty", checks.repository)
    token_env: str = key(
        "", "the environment variable with the token; BUILDER_FORGE_TOKEN, else GITHUB_TOKEN when empty", checks.maybe_variable
    )


@dataclass(frozen=True, slots=True)
class TrackerSettings:
    """An experiment tracker that gets parameters, loss curve and scores. Needs the extra `mlflow`."""

    mlflow: str = key("", "the tracking server's URL, as steps reach it; off when empty", checks.public_url)
    experiment: str = key("", "the experiment's name; the flow's when empty")


@dataclass(frozen=True, slots=True)
class MetaflowSettings:
    """Metaflow's own service, if there is one."""

    service: str = key("", "the metadata service's URL, as steps and this machine reach it; records lie in the data root either way")


@dataclass(frozen=True, slots=True)
class ScheduleSettings:
    """A flow that starts by itself: deployed as a CronWorkflow. The table's name is the schedule's."""

    flow: str = key("", "the flow; the table's own name when empty")
    cron: str = key("", "when, such as `0 2 * * *`", times.cron)
    timezone: str = key("UTC", "the time zone of `cron`, such as `Europe/Berlin`", times.timezone)
    concurrency: Literal["Forbid", "Allow", "Replace"] = key("Forbid", "what happens while the run before still goes on")
    set: tuple[str, ...] = key((), "key=value words, as on the command line", checks.assignments)
    suspend: bool = key(False, "whether it is paused when it is first made; later the cluster's own state stays")

"""Apache Kafka's files: its settings, its logging, and a formatted data folder.

The settings are written new at each start, because the ports may change; the data carries no port
and is kept. A data folder appears under its name only when it is formatted as a whole.
"""

import base64
import shutil
import subprocess
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from .errors import EmbeddedServicesError
from .files import sync_folder, write_atomically
from .ports import LOOPBACK

# Seconds for the format tool: one start of a Java machine, one or two seconds.
_FORMAT_SECONDS = 120.0

# Minutes, ten years: a consumer's position must still be known after the longest pause, or it
# would begin again at an end of the topic.
_OFFSETS_RETENTION_MINUTES = 10 * 365 * 24 * 60

_SETTINGS = """\
# Written new at each start: changes here are lost.
process.roles=broker,controller
node.id=1
# Voters fixed here, not in the metadata log, so that the port may change between two starts.
controller.quorum.voters=1@{address}:{controller_port}
listeners=PLAINTEXT://{address}:{port},CONTROLLER://{address}:{controller_port}
advertised.listeners=PLAINTEXT://{address}:{port}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
# Relative to the working directory, Kafka's home: a comma in the path would mean two folders.
log.dirs={data}
# After a kill the controller holds the place of the old broker this long (Kafka's own: 9 s). Not
# less: a broker without heartbeats on a busy machine would lose its partitions for a moment.
broker.session.timeout.ms=5000
broker.heartbeat.interval.ms=1000
# A topic is a decision: a misspelt name must fail.
auto.create.topics.enable=false
default.replication.factor=1
min.insync.replicas=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=5
offsets.retention.minutes={offsets_retention_minutes}
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=5
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=5
# One worker or two on one machine: nothing to gain by waiting for more members.
group.initial.rebalance.delay.ms=0
# Kept for ever: replays read from the beginning.
log.retention.ms=-1
log.retention.bytes=-1
# The broker's clock, so that no till's wrong clock reorders time.
log.message.timestamp.type=LogAppendTime
"""

# At most 5 files of 10 MB.
_LOGGING = """\
status=warn
# Or the log ends before the broker has told how it stopped.
shutdownHook=disable
appender.file.type=RollingFile
appender.file.name=file
appender.file.fileName={log}
appender.file.filePattern={log}.%i
appender.file.layout.type=PatternLayout
appender.file.layout.pattern=%d{{yyyy-MM-dd'T'HH:mm:ss.SSSX}}{{UTC}} %p %c %m%n
appender.file.policies.type=Policies
appender.file.policies.size.type=SizeBasedTriggeringPolicy
appender.file.policies.size.size=10MB
appender.file.strategy.type=DefaultRolloverStrategy
appender.file.strategy.max=4
rootLogger.level=info
rootLogger.appenderRef.file.ref=file
"""


@dataclass(frozen=True, slots=True)
class Layout:
    """The files below Kafka's home."""

    home: Path

    @property
    def data(self) -> Path:
        return self.home / "data"

    @property
    def settings(self) -> Path:
        return self.home / "server.properties"

    @property
    def logging(self) -> Path:
        return self.home / "log4j2.properties"

    @property
    def log(self) -> Path:
        return self.home / "logs" / "kafka.log"

    @property
    def start_log(self) -> Path:
        return self.home / "logs" / "start.log"


def write_configuration(layout: Layout, port: int, controller_port: int) -> None:
    """Write the settings and the logging of this start."""
    layout.log.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(layout.settings, _settings(layout.data, port, controller_port))
    write_atomically(layout.logging, _LOGGING.format(log=layout.log.relative_to(layout.home)))


def make_data(
    layout: Layout, java: Path, env: Mapping[str, str], port: int, controller_port: int
) -> None:
    """Format the data folder unless it is there. Raises: start_failed."""
    if layout.data.exists():
        return
    growing = layout.home / "data.partial"
    shutil.rmtree(growing, ignore_errors=True)
    settings = layout.home / "format.properties"
    write_atomically(settings, _settings(growing, port, controller_port))
    done = subprocess.run(
        [
            str(java),
            f"-Dlog4j2.configurationFile={layout.logging.name}",
            "kafka.tools.StorageTool",
            "format",
            f"--cluster-id={_cluster_id()}",
            f"--config={settings}",
        ],
        cwd=layout.home,
        env=dict(env),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=_FORMAT_SECONDS,
        check=False,
    )
    settings.unlink()
    if done.returncode != 0:
        write_atomically(layout.start_log, done.stdout + done.stderr)
        raise EmbeddedServicesError(
            "start_failed",
            f"Kafka's data folder could not be made: read why in {layout.start_log}, "
            "then start again.",
        )
    growing.rename(layout.data)
    sync_folder(layout.home)


def _settings(data: Path, port: int, controller_port: int) -> str:
    return _SETTINGS.format(
        address=LOOPBACK,
        port=port,
        controller_port=controller_port,
        data=data.name,
        offsets_retention_minutes=_OFFSETS_RETENTION_MINUTES,
    )


def _cluster_id() -> str:
    """A random id in Kafka's form: 16 bytes in URL-safe base 64, not beginning with a dash."""
    while True:
        text = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        if not text.startswith("-"):
            return text

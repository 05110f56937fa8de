import { readdirSync, readlinkSync } from "node:fs";
import { cpuSecondsOf, memoryOf } from "../../../bench/support/usage.ts";
import type { Clock } from "../../../kernel/clock.ts";
import type { EtcdMember, Fleet, FleetProcess } from "../fleet/fleet.ts";
import { etcdMetrics, ownMetrics } from "./prometheus.ts";
import type { Recorder } from "./recorder.ts";

const EVERY_MS = 1000;
/** Of one process' /metrics: one that is paused does not answer, and the next sample is due soon. */
const METRICS_TIMEOUT_MS = 800;

/**
 * A sample of every process each second, from /proc and /metrics: none is a request that etcd counts. What is gone or
 * paused has none, or none of what it would have to answer. Gives how to end it.
 */
export function startSamples(fleet: Fleet, recorder: Recorder, clock: Clock): () => Promise<void> {
  const underWay = new Map<string, Promise<void>>();
  let stopped = false;
  let cancel = () => {};

  function take(process: FleetProcess): void {
    // Two at a time of the same one would both wait for it.
    if (underWay.has(process.name)) return;
    const member = fleet.etcd.members.find(({ name }) => name === process.name);
    const taken = (member ? sampleEtcd(member, recorder) : sample(process, recorder)).finally(() =>
      underWay.delete(process.name),
    );
    underWay.set(process.name, taken);
  }

  function takeAll(): void {
    for (const process of fleet.processes) take(process);
    if (!stopped) cancel = clock.after(EVERY_MS, takeAll);
  }

  takeAll();
  return async () => {
    stopped = true;
    cancel();
    await Promise.all(underWay.values());
  };
}

async function sample(process: FleetProcess, recorder: Recorder): Promise<void> {
  const life = process.life();
  const use = useOf(process);
  if (!use) return;
  const at = recorder.at();
  const isRegistrar = process.kind === "agent" || process.kind === "publisher";
  const text = isRegistrar ? await metricsOf(process) : undefined;
  const told = text === undefined ? {} : { metrics: ownMetrics(text) };
  recorder.record({ type: "sample", at, process: process.name, life, ...use, logBytes: process.logBytes(), ...told });
}

async function sampleEtcd(member: EtcdMember, recorder: Recorder): Promise<void> {
  if (member.state() !== "running") return;
  const life = member.life();
  const at = recorder.at();
  const text = await metricsOf(member);
  if (text === undefined || member.life() !== life) return;
  recorder.record({ type: "etcd", at, process: member.name, life, ...etcdMetrics(text, life === 1) });
}

/** Undefined where the process does not answer: it is gone, paused, or has no time. */
async function metricsOf(process: FleetProcess): Promise<string | undefined> {
  if (process.state() !== "running") return undefined;
  try {
    // To compress and to expand it would cost two processes more than the bytes do.
    const headers = { "accept-encoding": "identity" };
    const signal = AbortSignal.timeout(METRICS_TIMEOUT_MS);
    const answer = await fetch(`${process.url}/metrics`, { headers, signal });
    return answer.ok ? await answer.text() : undefined;
  } catch {
    // That it did not answer is what the history then shows.
    return undefined;
  }
}

/** Undefined where the process ends meanwhile. */
function useOf(process: FleetProcess) {
  try {
    const pid = process.pid();
    const dir = `/proc/${pid}/fd`;
    const handles = readdirSync(dir);
    const sockets = handles.filter((handle) => linkOf(`${dir}/${handle}`).startsWith("socket:")).length;
    return { rssMb: memoryOf(pid).rssMb, handles: handles.length, sockets, cpuSeconds: cpuSecondsOf(pid) };
  } catch {
    return undefined;
  }
}

/** "" for a descriptor that was closed meanwhile. */
function linkOf(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return "";
  }
}

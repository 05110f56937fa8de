import type {
  At,
  EtcdSampleEvent,
  HistoryEvent,
  LifeEvent,
  Phase,
  ReadEvent,
  ReadInstance,
  RunSettings,
  SampleEvent,
  StateEvent,
  WriteEvent,
} from "../history/event.ts";
import { SETTINGS_DEFAULT } from "./view.ts";

/** Of all that tests tell; what they change they say. */
export const SETTINGS: RunSettings = SETTINGS_DEFAULT;

export const SERVICE = "web";
export const INSTANCE = "web-0";

export const run = (settings: Partial<RunSettings> = {}): HistoryEvent => ({
  type: "run",
  seed: 1,
  minutes: 1,
  versions: {},
  settings: { ...SETTINGS, ...settings },
});

export const phase = (at: At, name: Phase): HistoryEvent => ({ type: "phase", at, phase: name });

let faults = 0;

export function fault(name: string, target: string, from: At, to?: At): HistoryEvent {
  return { type: "fault", id: faults++, name, target, detail: {}, from, ...(to === undefined ? {} : { to }) };
}

export function life(process: string, at: At, change: LifeEvent["change"], count = 1): HistoryEvent {
  return { type: "life", at, process, life: count, change, pid: 1 };
}

export const up = (at: At, instance = INSTANCE): HistoryEvent => ({
  type: "instance",
  at,
  service: SERVICE,
  instance,
  change: "up",
});

export const crashed = (at: At, instance = INSTANCE): HistoryEvent => ({
  type: "instance",
  at,
  service: SERVICE,
  instance,
  change: "crashed",
});

/** Takes 10 ms, ends at `to`, and is answered with success unless told otherwise. */
export function write(operation: WriteEvent["operation"], to: At, changed: Partial<WriteEvent> = {}): WriteEvent {
  const common = { type: "write", operation, agent: "agent-0", service: SERVICE, instance: INSTANCE } as const;
  return { ...common, generation: 1, from: to - 10, to, status: operation === "register" ? 201 : 204, ...changed };
}

/** Nobody heard what became of it. */
export function unknown(event: WriteEvent): WriteEvent {
  const { status: _status, ...rest } = event;
  return { ...rest, error: "ECONNRESET" };
}

export const served = (...ids: readonly string[]): Readonly<Record<string, ReadInstance>> =>
  Object.fromEntries(ids.map((id) => [id, { status: "up", generation: 1 }]));

/** Takes 10 ms from `from` on, and is answered with the one instance, unless told otherwise. */
export function read(from: At, changed: Partial<ReadEvent> = {}): ReadEvent {
  return {
    type: "read",
    reader: "http-node-0",
    by: "http",
    resolver: "node",
    life: 1,
    service: SERVICE,
    from,
    to: from + 10,
    status: 200,
    epoch: 1,
    revision: 1,
    etcdRevision: 1,
    instances: served(INSTANCE),
    ageMs: 500,
    stale: false,
    source: "memory",
    ...changed,
  };
}

/** No answer that could be used. */
export function failure(from: At, changed: Partial<ReadEvent> = {}): ReadEvent {
  const common = {
    type: "read",
    reader: "http-node-0",
    by: "http",
    resolver: "node",
    life: 1,
    service: SERVICE,
  } as const;
  return { ...common, from, to: from + 10, status: 503, error: "nothing is known", ...changed };
}

export const commit = (at: At, epoch: number, revision: number, server = "redis"): HistoryEvent => ({
  type: "commit",
  at,
  server,
  namespace: "default",
  epoch,
  revision,
});

export function sample(process: string, at: At, changed: Partial<SampleEvent> = {}): SampleEvent {
  const common = { type: "sample", at, process, life: 1, rssMb: 100, handles: 40, sockets: 20 } as const;
  return { ...common, cpuSeconds: 1, logBytes: 0, ...changed };
}

export function etcdSample(at: At, requests: Readonly<Record<string, number>>, process = "etcd-0"): EtcdSampleEvent {
  return { type: "etcd", at, process, life: 1, requests };
}

export const state = (of: string, at: At, services: StateEvent["services"]): HistoryEvent => ({
  type: "state",
  at,
  of,
  services,
});

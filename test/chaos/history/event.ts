/** Milliseconds since the run began, by the monotonic clock of the one process that records. */
export type At = number;

/** A process of the fleet, such as `etcd-0`, `redis`, `replica`, `gateway`, `publisher-1`, `agent-0`, `worker`, `node`. */
export type ProcessName = string;

/**
 * Everything that is known of a run, one line of JSON each, in the order in which it was learnt. An operation is
 * recorded when it has ended, with both of its times: what it saw was true at some moment between them.
 */
export type HistoryEvent =
  | RunEvent
  | PhaseEvent
  | FaultEvent
  | LifeEvent
  | InstanceEvent
  | WriteEvent
  | ReadEvent
  | CommitEvent
  | SampleEvent
  | EtcdSampleEvent
  | StallEvent
  | StateEvent;

/** The first line: what ran, and with which settings. */
export interface RunEvent {
  readonly type: "run";
  readonly seed: number;
  readonly minutes: number;
  /** Does it again. */
  readonly command?: string;
  /** The deliberately broken build, where one ran. */
  readonly broken?: string;
  readonly versions: Readonly<Record<string, string>>;
  readonly settings: RunSettings;
}

export interface RunSettings {
  readonly agents: number;
  readonly publishers: number;
  readonly leaseTtlSeconds: number;
  readonly sessionTtlSeconds: number;
  /** `--guard-probe-seconds` of the publishers: four rounds of it are the longest that a ghost is held. */
  readonly probeSeconds: number;
  /** Of the resolvers. */
  readonly freshMs: number;
  readonly swrMs: number;
  readonly budgetMs: number;
  readonly coldBudgetMs: number;
  readonly staleAfterMs: number;
}

/**
 * `warm-up` until everything is registered and answered; `idle` without a lookup, then `lookups` alone (so that etcd's
 * counters can be held against each other); `faults`; `healed` from the end of the last fault until all agree or the
 * bound is over; then `idle` and `lookups` again; `end`.
 */
export type Phase = "warm-up" | "idle" | "lookups" | "faults" | "healed" | "end";

export interface PhaseEvent {
  readonly type: "phase";
  readonly at: At;
  readonly phase: Phase;
}

/** Written when a fault begins, and again, with `to`, when it has been undone. */
export interface FaultEvent {
  readonly type: "fault";
  /** One for each fault of a run. */
  readonly id: number;
  readonly name: string;
  /** What it was done to: a process, or a line such as `worker>gateway`. */
  readonly target: string;
  readonly detail: Readonly<Record<string, string | number>>;
  readonly from: At;
  readonly to?: At;
}

/** A process began, could be asked, was paused, went on, or ended. A life is counted from 1. */
export interface LifeEvent {
  readonly type: "life";
  readonly at: At;
  readonly process: ProcessName;
  readonly life: number;
  readonly change: "started" | "ready" | "paused" | "resumed" | "killed" | "ended";
  readonly pid: number;
}

/** What an instance really is, whatever anybody registered: the server that would be asked. */
export interface InstanceEvent {
  readonly type: "instance";
  readonly at: At;
  readonly service: string;
  readonly instance: string;
  /**
   * `up`: takes connections, and whoever keeps it tries to have it registered. `crashed`: neither. One that is
   * deregistered stops taking connections as soon as that is known, and is `up` again before it next registers.
   */
  readonly change: "up" | "crashed";
}

/**
 * A request to an agent. Outcome unknown where there is no status, or one of 500 and above: it may have taken effect,
 * also later. A deregistration is repeated until it is known, and no other request of the instance goes out before.
 */
export interface WriteEvent {
  readonly type: "write";
  readonly operation: "register" | "heartbeat" | "drain" | "deregister";
  readonly agent: ProcessName;
  readonly service: string;
  readonly instance: string;
  /** Of what is registered: counted up with each registration of the instance, and part of its metadata. */
  readonly generation: number;
  readonly from: At;
  readonly to: At;
  readonly status?: number;
  readonly error?: string;
}

/** One answer, or the lack of one. */
export interface ReadEvent {
  readonly type: "read";
  readonly reader: string;
  /** `client` is the SDK, `stream` an event of a watch, `poll` a long poll. */
  readonly by: "http" | "client" | "stream" | "poll";
  readonly resolver: ProcessName;
  /** Of the resolver's process. */
  readonly life: number;
  readonly service: string;
  readonly from: At;
  readonly to: At;
  /** Of HTTP; absent where no answer came. */
  readonly status?: number;
  readonly error?: string;
  readonly epoch?: number;
  readonly revision?: number;
  readonly etcdRevision?: number;
  /** By id: what was answered of each instance. */
  readonly instances?: Readonly<Record<string, ReadInstance>>;
  readonly ageMs?: number;
  readonly stale?: boolean;
  /** `Fingerpost-Source`. */
  readonly source?: string;
}

export interface ReadInstance {
  readonly status: string;
  /** -1 where the metadata has none. */
  readonly generation: number;
}

/** A head as it was written into a Redis, in the order of its own record of commands. */
export interface CommitEvent {
  readonly type: "commit";
  readonly at: At;
  readonly server: ProcessName;
  readonly namespace: string;
  readonly epoch: number;
  readonly revision: number;
}

/** What a process of ours uses; taken every second, and what cannot be read is left out. */
export interface SampleEvent {
  readonly type: "sample";
  readonly at: At;
  readonly process: ProcessName;
  readonly life: number;
  readonly rssMb: number;
  /** Open descriptors, and those of them that are sockets. */
  readonly handles: number;
  readonly sockets: number;
  readonly cpuSeconds: number;
  readonly logBytes: number;
  /** Sums over all labels of what its /metrics has, by name. */
  readonly metrics?: Readonly<Record<string, number>>;
}

/** Of one etcd member, since its process began. */
export interface EtcdSampleEvent {
  readonly type: "etcd";
  readonly at: At;
  readonly process: ProcessName;
  readonly life: number;
  /** gRPC requests begun, by method. */
  readonly requests: Readonly<Record<string, number>>;
  /** Leases granted and not ended, watchers and open client streams, where this version tells them. */
  readonly leases?: number;
  readonly watchers?: number;
  readonly streams?: number;
}

/** The recording process, and so most likely the machine, stood still: times across it mean nothing. */
export interface StallEvent {
  readonly type: "stall";
  readonly from: At;
  readonly to: At;
}

/** Who has what, at the end, by service: the canonical JSON of its instances, sorted by id. */
export interface StateEvent {
  readonly type: "state";
  readonly at: At;
  /** `etcd`, `redis`, `replica`, or a resolver. */
  readonly of: ProcessName;
  readonly services: Readonly<Record<string, string>>;
}

import type { Credentials } from "../../../dev/etcd.ts";
import type { Proxy } from "../../support/proxy.ts";
import type { LifeEvent, ProcessName, RunSettings } from "../history/event.ts";
import type { UpstashFront } from "./upstash-front.ts";

/** What became of a process; whoever records it knows the time. */
export type LifeChange = Omit<LifeEvent, "type" | "at">;

/** Modules that Node runs before a process' own, as `--import` takes them: absolute paths or URLs. */
export interface NodeImports {
  /** Every process of ours on Node, without. */
  readonly kinds?: readonly NodeKind[];
  readonly modules: readonly string[];
  /** What these modules read. */
  readonly env?: Readonly<Record<string, string>>;
}

export type NodeKind = "gateway" | "publisher" | "agent" | "resolver";

export interface FleetOptions {
  /** Of this run: holds the data and the logs of all processes. Made, where it is not there. */
  readonly dir: string;
  /** Leaves the folder where it is when the fleet is closed. */
  readonly keep?: boolean;
  /** `short` has two agents instead of three; default `full`. */
  readonly size?: "full" | "short";
  /** Default 5, the least there can be. */
  readonly leaseTtlSeconds?: number;
  /** How often publishers probe what they hold back. Default 2: at the product's 10, a run would mostly wait for that. */
  readonly probeSeconds?: number;
  readonly etcd?: {
    /** Default 32 MiB. */
    readonly quotaBytes?: number;
    /** Entries between two snapshots of the log: few, and a member that was away is sent a snapshot. */
    readonly snapshotCount?: number;
    /** Of simple tokens, since their last use; the server's default is 300. */
    readonly authTokenTtlSeconds?: number;
  };
  /** Further variables of every process of a kind, the Worker's among the resolvers'. */
  readonly env?: Readonly<Partial<Record<NodeKind, Readonly<Record<string, string>>>>>;
  /** For deliberately broken builds. */
  readonly nodeImports?: readonly NodeImports[];
  /** The path of a bundled Worker. Left out, it is built as it would be deployed. */
  readonly workerScript?: string;
  /** Of the workerd that runs it, for whoever measures its memory. */
  readonly workerd?: {
    readonly v8Flags?: readonly string[];
    /** Where V8's inspector is to listen; nowhere, without. */
    readonly inspectorPort?: number;
  };
  readonly onLife?: (change: LifeChange) => void;
  /** Told each step, one line each. */
  readonly say?: (line: string) => void;
  /** Gives up a start that is under way. */
  readonly signal?: AbortSignal;
}

/** One process of the fleet, the same address over all of its lives. */
export interface FleetProcess {
  readonly name: ProcessName;
  readonly kind: "etcd" | "redis" | "gateway" | "publisher" | "agent" | "resolver";
  /** Of what it serves, directly: no line is between. */
  readonly url: string;
  /** Takes all it logs, over all lives. */
  readonly logFile: string;
  /** Counted from 1. */
  life(): number;
  /** Throws while it does not run. */
  pid(): number;
  state(): "running" | "paused" | "gone";
  /** SIGKILL unless told otherwise; resolves once it is gone. One that is paused goes as well. */
  kill(signal?: NodeJS.Signals): Promise<void>;
  pause(): void;
  resume(): void;
  /** Starts it, unless it runs, and waits until it can be asked. */
  start(): Promise<void>;
  /** Bytes logged so far, over all lives. */
  logBytes(): number;
  /** The end of its log, for messages. */
  logTail(): string;
}

export interface EtcdMember extends FleetProcess {
  readonly kind: "etcd";
  /** Its own id in the cluster, as hexadecimal. */
  readonly memberId: string;
  readonly dataDir: string;
  /** Of its own /metrics. Rejects where it does not answer. */
  metrics(): Promise<string>;
}

/** A user of etcd as which registrars come. */
export interface EtcdUser extends Credentials {
  /** The one role that gives it all of its rights. */
  readonly role: string;
}

export interface EtcdCluster {
  readonly members: readonly EtcdMember[];
  readonly version: string;
  readonly root: Credentials;
  readonly users: readonly EtcdUser[];
  /** Where a registrar that starts reads its user's password: `FINGERPOST_ETCD_PASSWORD_FILE`. */
  readonly passwordFile: string;
  /** `--quota-backend-bytes`: small, so that a fault can fill it within seconds. */
  readonly quotaBytes: number;
  /** The member that leads now, as a member that answers knows it. */
  leader(): Promise<EtcdMember | undefined>;
  /** etcdctl as root, over the given members (all, without), with every other argument as it is; its standard output. */
  etcdctl(args: readonly string[], members?: readonly EtcdMember[]): Promise<string>;
}

/** `redis` is the master at first, and `replica` the other: they keep these names whatever they become. */
export interface RedisServer extends FleetProcess {
  readonly kind: "redis";
  readonly port: number;
  /** `redis://` with the administrator's name and password, for who watches or reads it directly. */
  readonly adminUrl: string;
  /** Runs one command as the administrator; rejects when Redis answers an error. */
  cli(...args: readonly string[]): Promise<string>;
}

export interface RedisPair {
  readonly servers: readonly [RedisServer, RedisServer];
  /** Which of them is the master now. */
  master(): RedisServer;
  replica(): RedisServer;
  /**
   * The replica becomes the master, whatever it has got until then, and every line to Redis leads there. The old master
   * follows the new one from its next start or return on.
   */
  promote(): Promise<void>;
}

/**
 * A line between two processes: `agent-0>etcd-2` (each registrar has one to each member), `publisher-0>redis`,
 * `publisher-1>gateway`, `gateway>redis`, `worker>gateway`, `node>gateway`, `etcd-0>etcd-1` (what member 0 sends to
 * member 1 and gets back on that connection), `replica>redis` (from whoever follows to whoever is the master).
 */
export interface Line {
  readonly name: string;
  readonly proxy: Proxy;
}

/** What stands behind the line of the same name, in front of the gateway: `worker>gateway` leads here, and here to it. */
export interface Front {
  readonly name: string;
  readonly front: UpstashFront;
}

export interface Fleet {
  readonly settings: RunSettings;
  readonly etcd: EtcdCluster;
  readonly redis: RedisPair;
  readonly gateway: FleetProcess;
  readonly publishers: readonly FleetProcess[];
  readonly agents: readonly FleetProcess[];
  readonly resolvers: readonly FleetProcess[];
  readonly processes: readonly FleetProcess[];
  readonly lines: readonly Line[];
  readonly fronts: readonly Front[];
  /** Bearer token of callers of the resolvers. */
  readonly lookupToken: string;
  /**
   * Sets a resolver's wall clock off by this much, at once and until its end. On Node its monotonic clock is left alone;
   * on Workers there is none but the wall clock, and it jumps as well. Rejects where the resolver does not run.
   */
  setClockOffset(resolver: ProcessName, offsetMs: number): Promise<void>;
  /**
   * Of an agent. Agents log through a pipe (dev/child.ts), so that a limit to the size of their files, which is how a
   * fault takes the room of their state, is none to their logs.
   */
  stateDirOf(agent: ProcessName): string;
  close(): Promise<void>;
}

import type { Credentials } from "../../../dev/etcd.ts";
import type { Proxy } from "../../support/proxy.ts";
import type { ProcessName, RunSettings } from "../history/event.ts";
import type { UpstashFront } from "./upstash-front.ts";

/** One process of the fleet, the same address over all of its lives. */
export interface FleetProcess {
  readonly name: ProcessName;
  readonly kind: "etcd" | "redis" | "gateway" | "publisher" | "agent" | "resolver";
  /** Of what it serves, directly: no line is between. */
  readonly url: string;
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
  /** `--quota-backend-bytes`: small, so that a fault can fill it within seconds. */
  readonly quotaBytes: number;
  /** The member that leads now, as a member that answers knows it. */
  leader(): Promise<EtcdMember | undefined>;
  /** etcdctl as root, over the given members (all, without), with every other argument as it is; its standard output. */
  etcdctl(args: readonly string[], members?: readonly EtcdMember[]): Promise<string>;
}

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
 * A line between two processes, or two groups: `agent-0>etcd`, `publisher-0>redis`, `gateway>redis`, `worker>gateway`,
 * `etcd-0>etcd-1` (what member 0 sends to member 1 and gets back on that connection), `replica>redis`.
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
  /** Sets a resolver's wall clock off by this much, at once and until its end. Its monotonic clock is left alone. */
  setClockOffset(resolver: ProcessName, offsetMs: number): Promise<void>;
  /**
   * Of an agent. Agents log through a pipe (dev/child.ts), so that a limit to the size of their files, which is how a
   * fault takes the room of their state, is none to their logs.
   */
  stateDirOf(agent: ProcessName): string;
  close(): Promise<void>;
}

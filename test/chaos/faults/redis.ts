import { sleep, systemClock } from "../../../kernel/clock.ts";
import type { RedisServer } from "../fleet/fleet.ts";
import { between, choose } from "./draw.ts";
import type { Fault } from "./fault.ts";
import { repeat } from "./repeat.ts";

const flush: Fault = {
  name: "redis-flush",
  about: "FLUSHALL: the master, and with it its replica, holds nothing from one moment to the next.",
  weight: 1.5,
  touches: ["redis"],
  async begin({ redis }) {
    const master = redis.master();
    const keys = Number(await master.cli("DBSIZE"));
    await master.cli("FLUSHALL");
    return { target: master.name, detail: { keys }, end: async () => undefined };
  },
};

const outOfMemory: Fault = {
  name: "redis-out-of-memory",
  about: "Redis holds more than it may, evicts nothing, and refuses whatever would take more.",
  touches: ["redis"],
  async begin({ redis }) {
    const master = redis.master();
    const [, before = "0"] = (await master.cli("CONFIG", "GET", "maxmemory")).split("\n");
    await master.cli("CONFIG", "SET", "maxmemory-policy", "noeviction");
    await master.cli("CONFIG", "SET", "maxmemory", "1");
    return {
      target: master.name,
      async end() {
        await master.cli("CONFIG", "SET", "maxmemory", before.trim());
      },
    };
  },
};

const readOnly: Fault = {
  name: "redis-read-only",
  about: "Redis answers reads and refuses writes: as a replica of a master that is gone, or for want of replicas.",
  touches: ["redis", "replication"],
  async begin({ redis }, random) {
    const master = redis.master();
    const how = choose(random, ["READONLY", "NOREPLICAS"] as const);
    const set = (on: boolean): Promise<string> => {
      if (how === "NOREPLICAS") return master.cli("CONFIG", "SET", "min-replicas-to-write", on ? "5" : "0");
      // Nobody listens on port 1.
      return on ? master.cli("REPLICAOF", "127.0.0.1", "1") : master.cli("REPLICAOF", "NO", "ONE");
    };
    await set(true);
    return {
      target: master.name,
      detail: { how },
      async end() {
        await set(false);
      },
    };
  },
};

const clientKill: Fault = {
  name: "redis-client-kill",
  about: "Redis closes the connections of all its users, again and again.",
  touches: ["redis"],
  async begin({ redis }, random) {
    const master = redis.master();
    const everyMs = choose(random, [100, 400, 1500]);
    let killed = 0;
    const stop = repeat(everyMs, async () => {
      for (const user of await usersOf(master)) killed += Number(await master.cli("CLIENT", "KILL", "USER", user));
    });
    return {
      target: master.name,
      detail: { everyMs },
      async end() {
        await stop();
        return { everyMs, killed };
      },
    };
  },
};

const replicaLag: Fault = {
  name: "redis-replica-lag",
  about: "The replica of Redis gets nothing for a while.",
  weight: 0.5,
  touches: ["replication"],
  async begin({ lines }) {
    const replication = lines.filter(({ name }) => name === "replica>redis");
    for (const { proxy } of replication) proxy.blackhole(true);
    return {
      target: "replica>redis",
      async end() {
        for (const { proxy } of replication) proxy.blackhole(false);
      },
    };
  },
};

const promotion: Fault = {
  name: "redis-promotion",
  about: "The replica lags, and becomes the master without what it has not got: writes that were answered are lost.",
  weight: 2,
  touches: ["redis", "replication", "lines to redis"],
  async begin({ redis, lines }, random) {
    const replication = lines.filter(({ name }) => name === "replica>redis");
    for (const { proxy } of replication) proxy.blackhole(true);
    const lagMs = between(random, 500, 4000);
    await sleep(systemClock, lagMs);
    const [from, to] = [redis.master(), redis.replica()];
    const lostBytes = (await offsetOf(from)) - (await offsetOf(to));
    await redis.promote();
    return {
      target: to.name,
      detail: { lagMs, lostBytes, before: from.name },
      async end() {
        for (const { proxy } of replication) proxy.blackhole(false);
      },
    };
  },
};

export const REDIS_FAULTS: readonly Fault[] = [flush, outOfMemory, readOnly, clientKill, replicaLag, promotion];

/** As whom anybody but us, and but a replica, is connected: MONITOR, which records what is committed, is ours. */
async function usersOf(server: RedisServer): Promise<readonly string[]> {
  const own = await server.cli("ACL", "WHOAMI");
  const clients = (await server.cli("CLIENT", "LIST", "TYPE", "normal")).split("\n");
  const users = clients.flatMap((client) => / user=(\S+)/.exec(client)?.[1] ?? []);
  return [...new Set(users)].filter((user) => user !== own);
}

async function offsetOf(server: RedisServer): Promise<number> {
  const info = await server.cli("INFO", "replication");
  const offset = /^slave_repl_offset:(\d+)/m.exec(info)?.[1] ?? /^master_repl_offset:(\d+)/m.exec(info)?.[1];
  return Number(offset ?? 0);
}

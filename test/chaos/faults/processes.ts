import { sleep, systemClock } from "../../../kernel/clock.ts";
import type { Random } from "../../../kernel/random.ts";
import { sumSamples } from "../../support/prometheus.ts";
import type { Fleet, FleetProcess } from "../fleet/fleet.ts";
import { choose } from "./draw.ts";
import { elected } from "./etcd-elected.ts";
import type { Fault, Touched } from "./fault.ts";

/** How long a leader is waited for, of either kind; then any of them is struck. */
const LEADER_WITHIN_MS = 2000;
const POLL_MS = 50;

interface Kind {
  readonly name: string;
  readonly called: string;
  readonly touches: Touched;
  readonly weight?: number;
  /** Ends in an orderly way when asked, and is asked to at each upgrade. */
  readonly restarts?: boolean;
  pick(fleet: Fleet, random: Random): FleetProcess | Promise<FleetProcess>;
}

const KINDS: readonly Kind[] = [
  {
    name: "etcd-member",
    called: "a member of etcd",
    touches: "etcd",
    pick: ({ etcd }, random) => choose(random, etcd.members),
  },
  { name: "etcd-leader", called: "the leader of etcd", touches: "etcd", pick: etcdLeader },
  { name: "redis", called: "the master of Redis", touches: "redis", pick: ({ redis }) => redis.master() },
  {
    name: "replica",
    called: "the replica of Redis",
    touches: "redis",
    weight: 0.5,
    pick: ({ redis }) => redis.replica(),
  },
  { name: "gateway", called: "the gateway", touches: "gateway", restarts: true, pick: ({ gateway }) => gateway },
  {
    name: "publisher-leader",
    called: "the publisher that leads",
    touches: "publishers",
    restarts: true,
    pick: leadingPublisher,
  },
  {
    name: "publisher-standby",
    called: "a publisher that stands by",
    touches: "publishers",
    weight: 0.5,
    pick: async (fleet, random) => {
      const leader = await leadingPublisher(fleet, random);
      return choose(
        random,
        fleet.publishers.filter((publisher) => publisher !== leader),
      );
    },
  },
  {
    name: "agent",
    called: "an agent",
    touches: "agents",
    restarts: true,
    pick: ({ agents }, random) => choose(random, agents),
  },
  {
    name: "worker",
    called: "the resolver in workerd",
    touches: "resolvers",
    pick: (fleet) => resolver(fleet, "worker"),
  },
  {
    name: "node",
    called: "the resolver on Node",
    touches: "resolvers",
    restarts: true,
    pick: (fleet) => resolver(fleet, "node"),
  },
];

export const PROCESS_FAULTS: readonly Fault[] = KINDS.flatMap((kind) => [
  ending(kind, "kill", "SIGKILL", `kill -9 of ${kind.called}, which is started again.`),
  pausing(kind),
  ...(kind.restarts
    ? [ending(kind, "restart", "SIGTERM", `SIGTERM of ${kind.called}, as at an upgrade, and started again.`)]
    : []),
]);

function ending(kind: Kind, name: string, signal: NodeJS.Signals, about: string): Fault {
  return {
    name: `${kind.name}-${name}`,
    about,
    weight: kind.weight ?? 1,
    touches: [kind.touches],
    async begin(fleet, random) {
      const target = await kind.pick(fleet, random);
      await target.kill(signal);
      return {
        target: target.name,
        detail: { signal, life: target.life() },
        async end() {
          await target.start();
          if (target.kind === "etcd") await elected(fleet.etcd);
        },
      };
    },
  };
}

function pausing(kind: Kind): Fault {
  return {
    name: `${kind.name}-pause`,
    about: `SIGSTOP of ${kind.called}, and SIGCONT.`,
    weight: kind.weight ?? 1,
    touches: [kind.touches],
    async begin(fleet, random) {
      const target = await kind.pick(fleet, random);
      target.pause();
      return {
        target: target.name,
        async end() {
          target.resume();
          if (target.kind === "etcd") await elected(fleet.etcd);
        },
      };
    },
  };
}

async function etcdLeader({ etcd }: Fleet, random: Random): Promise<FleetProcess> {
  return (await soon(() => etcd.leader())) ?? choose(random, etcd.members);
}

/** By its own word: the one whose word is the newest may just have lost it, which makes it a standby that is struck. */
async function leadingPublisher({ publishers }: Fleet, random: Random): Promise<FleetProcess> {
  return (await soon(() => firstOf(publishers, leads))) ?? choose(random, publishers);
}

/** Under another fault there may be none for long: then it is nobody's fault that none is struck. */
async function soon(leader: () => Promise<FleetProcess | undefined>): Promise<FleetProcess | undefined> {
  const deadlineMs = performance.now() + LEADER_WITHIN_MS;
  for (;;) {
    const now = await leader();
    if (now || performance.now() > deadlineMs) return now;
    await sleep(systemClock, POLL_MS);
  }
}

async function leads({ url }: FleetProcess): Promise<boolean> {
  const response = await fetch(`${url}/metrics`, { signal: AbortSignal.timeout(1000) });
  return sumSamples(await response.text(), "fingerpost_leader", {}) > 0;
}

async function firstOf<T>(values: readonly T[], holds: (value: T) => Promise<boolean>): Promise<T | undefined> {
  for (const value of values) {
    // One that does not answer is not the one that is looked for.
    if (await holds(value).catch(() => false)) return value;
  }
  return undefined;
}

function resolver({ resolvers }: Fleet, name: string): FleetProcess {
  const found = resolvers.find((each) => each.name === name);
  if (!found) throw new Error(`the fleet has no resolver ${name}`);
  return found;
}

import type { Random } from "../../../kernel/random.ts";
import type { Fleet, Line } from "../fleet/fleet.ts";
import { between, choose } from "./draw.ts";
import { elected } from "./etcd-elected.ts";
import type { Fault, FaultDetail, Touched } from "./fault.ts";

/** Lines of one kind, and the bundle of them that fails at once. */
interface Group {
  readonly name: string;
  readonly called: string;
  readonly touches: Touched;
  pick(lines: readonly Line[], random: Random): Bundle;
}

interface Bundle {
  readonly target: string;
  readonly lines: readonly Line[];
}

interface Trouble {
  readonly name: string;
  readonly about: string;
  readonly weight?: number;
  /** Undoes it by what it gives. */
  begin(lines: readonly Line[], random: Random): Promise<{ detail: FaultDetail; end: () => Promise<void> }>;
}

const GROUPS: readonly Group[] = [
  {
    name: "registrar-etcd",
    called: "between a registrar and etcd",
    touches: "lines to etcd",
    pick(lines, random) {
      const to = lines.filter(isRegistrarEtcdLine);
      const registrar = choose(random, [...new Set(to.map((line) => ends(line).from))]);
      return { target: `${registrar}>etcd`, lines: to.filter((line) => ends(line).from === registrar) };
    },
  },
  {
    name: "etcd-peers",
    called: "between a member of etcd and the others",
    touches: "peers",
    pick(lines, random) {
      const peers = lines.filter(isMemberLine);
      const member = choose(random, [...new Set(peers.map((line) => ends(line).from))]);
      const own = peers.filter((line) => ends(line).from === member || ends(line).to === member);
      return { target: member, lines: own };
    },
  },
  {
    name: "redis-line",
    called: "between Redis and what is connected to it",
    touches: "lines to redis",
    pick: (lines, random) =>
      oneOrAll(
        "redis",
        lines.filter((line) => ends(line).to === "redis" && ends(line).from !== "replica"),
        random,
      ),
  },
  {
    name: "gateway-line",
    called: "between the gateway and who asks it",
    touches: "lines to gateway",
    pick: (lines, random) =>
      oneOrAll(
        "gateway",
        lines.filter((line) => ends(line).to === "gateway"),
        random,
      ),
  },
];

const TROUBLES: readonly Trouble[] = [
  {
    name: "black-hole",
    about: "Nothing passes",
    weight: 1.5,
    async begin(lines, random) {
      const way = choose(random, ["both", "both", "requests", "answers"] as const);
      const only = way === "both" ? undefined : way;
      for (const { proxy } of lines) proxy.blackhole(true, only);
      // What was held back flows on, or is lost with its connections, as behind a router that has forgotten them.
      const after = choose(random, ["flows on", "reset"] as const);
      return {
        detail: { way, after },
        async end() {
          if (after === "reset") for (const { proxy } of lines) proxy.reset();
          for (const { proxy } of lines) proxy.blackhole(false, only);
        },
      };
    },
  },
  {
    name: "refused",
    about: "Connections are reset and new ones refused",
    async begin(lines) {
      for (const { proxy } of lines) {
        await proxy.refuse(true);
        proxy.reset();
      }
      return {
        detail: {},
        async end() {
          for (const { proxy } of lines) await proxy.refuse(false);
        },
      };
    },
  },
  {
    name: "cut",
    about: "Every connection is reset in mid-frame, again and again,",
    async begin(lines, random) {
      const bytesMax = choose(random, [60, 400, 4000, 40_000]);
      for (const { proxy } of lines) proxy.cutWithin(bytesMax, random);
      return {
        detail: { bytesMax },
        async end() {
          for (const { proxy } of lines) proxy.cutWithin(undefined, random);
        },
      };
    },
  },
  {
    name: "loss",
    about: "Packets are lost and late",
    async begin(lines, random) {
      const shape = {
        loss: choose(random, [0.01, 0.05, 0.2]),
        latencyMs: between(random, 1, 80),
        jitterMs: between(random, 0, 100),
      };
      for (const { proxy } of lines) proxy.shape({ ...shape, random });
      return { detail: shape, end: async () => clear(lines) };
    },
  },
  {
    name: "slow",
    about: "Everything is slow, and there is little room,",
    async begin(lines, random) {
      const shape = {
        latencyMs: choose(random, [100, 300, 700, 1500]),
        bytesPerSecond: choose(random, [5000, 50_000, 1_000_000]),
      };
      for (const { proxy } of lines) proxy.shape({ ...shape, random });
      return { detail: shape, end: async () => clear(lines) };
    },
  },
];

export const LINE_FAULTS: readonly Fault[] = GROUPS.flatMap((group) =>
  TROUBLES.map((trouble) => ({
    name: `${group.name}-${trouble.name}`,
    about: `${trouble.about} ${group.called}.`,
    weight: trouble.weight ?? 1,
    touches: [group.touches],
    async begin(fleet: Fleet, random: Random) {
      const { target, lines } = group.pick(fleet.lines, random);
      if (lines.length === 0) throw new Error(`the fleet has no line ${group.called}`);
      const { detail, end } = await trouble.begin(lines, random);
      return {
        target,
        detail: { ...detail, lines: lines.map(({ name }) => name).join(" ") },
        async end() {
          await end();
          if (group.touches === "peers") await elected(fleet.etcd);
        },
      };
    },
  })),
);

function clear(lines: readonly Line[]): void {
  for (const { proxy } of lines) proxy.shape(undefined);
}

function oneOrAll(to: string, lines: readonly Line[], random: Random): Bundle {
  if (random() < 0.5) return { target: `*>${to}`, lines };
  const line = choose(random, lines);
  return { target: line.name, lines: [line] };
}

export function isMemberLine(line: Line): boolean {
  return isMember(ends(line).from) && isMember(ends(line).to);
}

export function isRegistrarEtcdLine(line: Line): boolean {
  return !isMember(ends(line).from) && isMember(ends(line).to);
}

function isMember(name: string): boolean {
  return name.startsWith("etcd");
}

function ends({ name }: Line): { readonly from: string; readonly to: string } {
  const [from = "", to = ""] = name.split(">");
  return { from, to };
}

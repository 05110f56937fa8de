import type { Random } from "../../../kernel/random.ts";
import type { Fleet, Line } from "../fleet/fleet.ts";
import { choose } from "./draw.ts";
import { elected } from "./etcd-elected.ts";
import type { Fault, Touched } from "./fault.ts";
import { ends, isMemberLine, isRegistrarEtcdLine } from "./line-names.ts";
import { TROUBLES, type Bundle } from "./line-troubles.ts";

/** Lines of one kind, and the bundle of them that fails at once. */
interface Group {
  readonly name: string;
  readonly called: string;
  readonly touches: Touched;
  pick(lines: readonly Line[], random: Random): Bundle;
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
      return { target: member, lines: own, of: member };
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

export const LINE_FAULTS: readonly Fault[] = GROUPS.flatMap((group) =>
  TROUBLES.map((trouble) => ({
    name: `${group.name}-${trouble.name}`,
    about: `${trouble.about} ${group.called}.`,
    weight: trouble.weight ?? 1,
    touches: [group.touches],
    async begin(fleet: Fleet, random: Random) {
      const bundle = group.pick(fleet.lines, random);
      const { target, lines } = bundle;
      if (lines.length === 0) throw new Error(`the fleet has no line ${group.called}`);
      const { detail, end } = await trouble.begin(bundle, random);
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

function oneOrAll(to: string, lines: readonly Line[], random: Random): Bundle {
  if (random() < 0.5) return { target: `*>${to}`, lines };
  const line = choose(random, lines);
  return { target: line.name, lines: [line] };
}

import type { Random } from "../../../kernel/random.ts";
import type { Direction } from "../../support/proxy.ts";
import type { Line } from "../fleet/fleet.ts";
import { between, choose } from "./draw.ts";
import type { FaultDetail } from "./fault.ts";
import { ends } from "./line-names.ts";

/** Lines that fail at once. */
export interface Bundle {
  readonly target: string;
  readonly lines: readonly Line[];
  /** Whose lines these are, where they lead to it as well as from it. */
  readonly of?: string;
}

interface Trouble {
  readonly name: string;
  readonly about: string;
  readonly weight?: number;
  /** Gives what to tell of it, and how to undo it. */
  begin(bundle: Bundle, random: Random): Promise<{ detail: FaultDetail; end: () => Promise<void> }>;
}

export const TROUBLES: readonly Trouble[] = [
  {
    name: "black-hole",
    about: "Nothing passes",
    weight: 1.5,
    async begin({ lines, of }, random) {
      const way = choose(random, ["both", "both", "sent", "received"] as const);
      for (const line of lines) line.proxy.blackhole(true, directionOf(line, way, of));
      // What was held back flows on, or is lost with its connections, as behind a router that has forgotten them.
      const after = choose(random, ["flows on", "reset"] as const);
      return {
        detail: { way, after },
        async end() {
          if (after === "reset") for (const { proxy } of lines) proxy.reset();
          for (const { proxy } of lines) proxy.blackhole(false);
        },
      };
    },
  },
  {
    name: "refused",
    about: "Connections are reset and new ones refused",
    async begin({ lines }) {
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
    async begin({ lines }, random) {
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
    async begin({ lines }, random) {
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
    async begin({ lines }, random) {
      const shape = {
        latencyMs: choose(random, [100, 300, 700, 1500]),
        bytesPerSecond: choose(random, [5000, 50_000, 1_000_000]),
      };
      for (const { proxy } of lines) proxy.shape({ ...shape, random });
      return { detail: shape, end: async () => clear(lines) };
    },
  },
];

/**
 * In which direction a line carries what one end sends or gets: the one it belongs to, or whoever calls. Members of etcd
 * send most of what they have to say as the answers to requests that are never done.
 */
function directionOf(line: Line, way: "both" | "sent" | "received", of = ends(line).from): Direction | undefined {
  if (way === "both") return undefined;
  return (way === "sent") === (ends(line).from === of) ? "requests" : "answers";
}

function clear(lines: readonly Line[]): void {
  for (const { proxy } of lines) proxy.shape(undefined);
}

import { createEtcdWriter } from "./etcd-writer.ts";
import type { Outcome } from "./exchange.ts";
import { faultsOf, settle } from "./health.ts";
import { fuzzSurface, replayOf, type Finding } from "./http.ts";
import { createRegistered } from "./registered.ts";
import { startFuzzStack } from "./stack.ts";
import { fuzzStored } from "./stored.ts";
import { SURFACE_NAMES, surfacesOf } from "./surfaces.ts";

/** What can be fuzzed by itself. */
export const PARTS = [...SURFACE_NAMES, "stored"] as const;
export type Part = (typeof PARTS)[number];

/** Of one seed. More finds more, of the same stack; a stack that has lived long shows what it keeps. */
export interface Cases {
  /** To each of the processes. */
  readonly requests: number;
  readonly stored: number;
}

export interface FuzzOptions {
  readonly parts: readonly Part[];
  readonly workerScript: (dir: string) => Promise<string>;
}

export interface Round {
  readonly findings: readonly Finding[];
  /** How often each status was answered, by part; `closed` and `hung` where none was. */
  readonly answers: ReadonlyMap<Part, ReadonlyMap<string, number>>;
}

export interface Fuzz {
  /** Everything of one seed, then a look at whether all is as it was. */
  round(seed: number, cases: Cases): Promise<Round>;
  close(): Promise<void>;
}

export async function startFuzz({ parts, workerScript }: FuzzOptions): Promise<Fuzz> {
  const stack = await startFuzzStack(workerScript);
  try {
    const before = await settle(stack);
    const etcd = await createEtcdWriter(stack.etcd.endpoint, stack.etcd.root);
    const registered = createRegistered(await etcd.keys("/fingerpost/"));
    return {
      async round(seed, cases) {
        const answers = new Map<Part, Map<string, number>>();
        const chosen = surfacesOf(stack).filter(({ name }) => parts.includes(name));
        const findings = await Promise.all(
          chosen.map((surface) => {
            const counts = new Map<string, number>();
            answers.set(surface.name, counts);
            return fuzzSurface(surface, seed, cases.requests, (request, outcome) => {
              if (surface.name === "registrar") registered.observe(request, outcome);
              for (const status of statusesOf(outcome)) counts.set(status, (counts.get(status) ?? 0) + 1);
            });
          }),
        );
        const fault = (surface: string, wrong: readonly string[]): Finding[] =>
          wrong.map((what) => ({ surface, what, replay: replayOf(seed, cases.requests, parts.join(",")) }));
        const differences = fault("registrar", await registered.differences(etcd));
        const stored = parts.includes("stored") ? await fuzzStored(stack, etcd, seed, cases.stored) : [];
        const faults = fault("stack", await faultsOf(stack, before));
        return { findings: [...findings.flat(), ...differences, ...stored, ...faults], answers };
      },
      close: () => stack.close(),
    };
  } catch (error) {
    await stack.close();
    throw error;
  }
}

function statusesOf(outcome: Outcome): readonly string[] {
  return outcome.type === "answered" ? outcome.answers.map(({ status }) => String(status)) : [outcome.type];
}

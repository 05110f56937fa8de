import type { At, ProcessName, RunSettings } from "../history/event.ts";
import { mergeSpans, type Spans } from "./spans.ts";
import type { FaultSpan, View } from "./view.ts";

/**
 * After the last fault, until every part does again what it does: the election of a publisher (the session's TTL), and
 * before it a return to an etcd member (at most 10 s between two moves, 4 s of an open circuit), then the follower's and
 * the connections' backoffs (5 s).
 */
const RETURN_MS = 20_000;

export function settleMs({ sessionTtlSeconds }: RunSettings): number {
  return sessionTtlSeconds * 1000 + RETURN_MS;
}

/** From etcd to an answer when all is well: 2 s are promised, and as much again and more is left to a busy machine. */
export const TO_EDGE_MS = 5000;
/** What is recorded of a process' death or pause may come this much before or after it. */
export const LIFE_EDGE_MS = 250;

const troubles = new WeakMap<View, Map<ProcessName, Spans>>();

/**
 * When the way from etcd to the answers of a resolver may have been broken, and until it must be whole again: the
 * warm-up, and every fault but those of an agent or of another resolver, which are not on that way.
 */
export function troubleOf(view: View, resolver: ProcessName): Spans {
  const known = troubles.get(view) ?? new Map<ProcessName, Spans>();
  troubles.set(view, known);
  let trouble = known.get(resolver);
  if (!trouble) {
    const others = resolversOf(view).filter((name) => name !== resolver);
    trouble = withWarmUp(
      view,
      view.faults.filter((fault) => !isBeside(fault, others)),
    );
    known.set(resolver, trouble);
  }
  return trouble;
}

const everything = new WeakMap<View, Spans>();

/** The same of any fault at all. */
export function anyTrouble(view: View): Spans {
  const trouble = everything.get(view) ?? withWarmUp(view, view.faults);
  everything.set(view, trouble);
  return trouble;
}

function withWarmUp(view: View, faults: readonly FaultSpan[]): Spans {
  const marginMs = settleMs(view.settings);
  // Who runs the fleet looks until all agree: whatever was broken before works by then.
  const agreedAt = view.phases.find(({ phase }) => phase === "healed")?.to ?? Infinity;
  return mergeSpans([
    ...view.phases.filter(({ phase }) => phase === "warm-up"),
    ...faults.map(({ from, to }) => ({ from, to: to > agreedAt ? to + marginMs : Math.min(to + marginMs, agreedAt) })),
  ]);
}

const names = new WeakMap<View, readonly ProcessName[]>();

function resolversOf(view: View): readonly ProcessName[] {
  const resolvers = names.get(view) ?? [...new Set(view.reads.map(({ resolver }) => resolver))];
  names.set(view, resolvers);
  return resolvers;
}

function isBeside({ event: { target } }: FaultSpan, others: readonly ProcessName[]): boolean {
  return sourcesOf(target).every((source) => /^agent-\d+$/.test(source) || others.includes(source));
}

/** The processes a fault was done to: of a line, the one that calls. */
export function sourcesOf(target: string): readonly string[] {
  return target.split(/[\s,]+/).map((part) => part.split(">")[0] ?? part);
}

/** Whether something was done to Redis' data, or to the processes that have it. */
export function touchesRedis({ event: { name, target } }: FaultSpan): boolean {
  return /redis|replica|flush|promot/i.test(`${name} ${target}`);
}

/** Whether the room of an agent's state had run out before `at`: its next life may not know what it had registered. */
export function mayHaveForgotten(view: View, agent: ProcessName, at: At): boolean {
  return view.faults.some(
    ({ from, event: { name, target } }) => from <= at && /disk|state/i.test(name) && sourcesOf(target).includes(agent),
  );
}

/** When a resolver's clock was off, and until what was read with it has been read again. */
export function clockTrouble(view: View, resolver: ProcessName): Spans {
  return mergeSpans(
    view.faults
      .filter(({ event: { name, target } }) => /clock/i.test(name) && sourcesOf(target).includes(resolver))
      .map(({ from, to }) => ({ from, to: to + view.settings.swrMs })),
  );
}

/** When at least `countMin` of these processes did nothing, as far as is known of them. */
export function deathsOf(view: View, processes: readonly ProcessName[], countMin: number): Spans {
  const edges: { readonly at: At; readonly step: number }[] = [];
  for (const process of processes) {
    for (const { from, to } of view.deaths.get(process) ?? []) edges.push({ at: from, step: 1 }, { at: to, step: -1 });
  }
  // Where one ends as another begins they were not absent together.
  edges.sort((a, b) => a.at - b.at || a.step - b.step);
  const spans: { from: At; to: At }[] = [];
  let absent = 0;
  for (const { at, step } of edges) {
    const before = absent;
    absent += step;
    if (before < countMin && absent >= countMin) spans.push({ from: at, to: Infinity });
    const last = spans.at(-1);
    if (before >= countMin && absent < countMin && last) last.to = at;
  }
  return spans;
}

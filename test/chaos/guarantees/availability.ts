import type { At, ReadEvent } from "../history/event.ts";
import { defineGuarantee } from "./define.ts";
import { covering, mergeSpans, overlapMs, touching, type Spans } from "./spans.ts";
import { LIFE_EDGE_MS } from "./trouble.ts";
import type { View } from "./view.ts";
import { answer, milliseconds, reader, second } from "./words.ts";
import { existenceOf } from "./writes.ts";

/**
 * Beyond the budget: for the way there and back, and for a machine whose two cores run a dozen processes and their
 * faults. What waits for something that is down waits for seconds.
 */
export const LATENCY_SLACK_MS = 1000;

/** Lookups of a phase at one resolver, of which half must be answered within the budget: fewer tell nothing of it. */
export const TYPICAL_MIN = 50;

export function failed(read: ReadEvent): boolean {
  return read.error !== undefined || read.epoch === undefined || (read.status !== undefined && read.status !== 200);
}

/** Who has answered before: an isolate holds what it has answered, and so does a client, over all lives of a resolver. */
function holderOf({ by, reader: name, resolver, life, service }: ReadEvent): string {
  return by === "client" ? `${name} ${service}` : `${resolver} ${life} ${service}`;
}

export const availability = defineGuarantee(
  "availability",
  "after the first answer, no lookup of a service that exists fails, whatever the fault, within its budget",
  (view, accuse) => {
    const existences = new Map<string, Spans>();
    for (const service of view.chronicles.keys()) existences.set(service, existenceOf(view, service));
    const known = new Map<string, { readonly since: At; readonly good: ReadEvent }>();
    const reads = view.reads.filter(({ by }) => by !== "stream").toSorted((a, b) => a.from - b.from);
    let judged = judgeTypical(view, accuse);
    for (const read of reads) {
      const existence = covering(existences.get(read.service) ?? [], read.from, read.to);
      if (!existence) continue;
      const holder = holderOf(read);
      const before = known.get(holder);
      if (before?.since === existence.from && before.good.to < read.from) {
        judged++;
        judgeOne(view, read, before.good, accuse);
      }
      if (failed(read)) continue;
      if (before?.since !== existence.from || read.to < before.good.to)
        known.set(holder, { since: existence.from, good: read });
    }
    return judged;
  },
);

function judgeOne(
  view: View,
  read: ReadEvent,
  good: ReadEvent,
  accuse: (what: string, events: readonly ReadEvent[]) => void,
): void {
  const away = view.absences.get(read.resolver) ?? [];
  // A process that is gone or stopped answers nobody; what a client holds is in this process, and needs none.
  const excused = read.by !== "client" && touching(away, read.from - LIFE_EDGE_MS, read.to + LIFE_EDGE_MS);
  const tookMs = read.to - read.from;
  if (failed(read)) {
    if (excused) return;
    accuse(
      `${reader(read)} was answered ${answer(read)} about ${read.service} at ${second(read.to)}, after ` +
        `${milliseconds(tookMs)}; it had an answer at ${second(good.to)}, and the service existed all the time.`,
      [good, read],
    );
    return;
  }
  const mostMs = view.settings.budgetMs + LATENCY_SLACK_MS;
  // A long poll waits for as long as it was asked to.
  if (read.by === "poll" || tookMs <= mostMs) return;
  const standstills = mergeSpans([...view.stalls, ...(read.by === "http" ? away : [])]);
  const withoutMs = tookMs - overlapMs(standstills, read.from, read.to);
  if (withoutMs <= mostMs) return;
  accuse(
    `${reader(read)} waited ${milliseconds(withoutMs)} for an answer about ${read.service} at ${second(read.to)}, ` +
      `beyond the budget of ${view.settings.budgetMs} ms; what it was told was held since ${second(good.to)} or before.`,
    [good, read],
  );
}

/** What one lookup may need beyond its budget on a busy machine, half of all do not, whatever fails. */
function judgeTypical(
  { reads, phases, settings }: View,
  accuse: (what: string, events: readonly ReadEvent[]) => void,
): number {
  const answered = reads.filter((read) => read.by === "http" && !failed(read));
  const groups = Map.groupBy(answered, ({ resolver, from }) => {
    const index = phases.findLastIndex((one) => one.from <= from);
    // Until everything is known lookups wait for what they do not hold yet.
    return index < 0 || phases[index]?.phase === "warm-up" ? "" : `${index} ${resolver}`;
  });
  let judged = 0;
  for (const [group, own] of groups) {
    if (group === "" || own.length < TYPICAL_MIN) continue;
    judged++;
    const sorted = own.toSorted((a, b) => a.to - a.from - (b.to - b.from));
    const middle = sorted[sorted.length >> 1] as ReadEvent;
    if (middle.to - middle.from <= settings.budgetMs) continue;
    accuse(
      `Half of ${own.length} lookups at ${middle.resolver}, in one phase from ${second((own[0] as ReadEvent).from)} on, took ` +
        `${milliseconds(middle.to - middle.from)} or more, beyond the budget of ${settings.budgetMs} ms.`,
      [middle],
    );
  }
  return judged;
}

import type { ReadEvent } from "../history/event.ts";
import { defineGuarantee, type Accuse } from "./define.ts";
import { mergeSpans, touching, type Spans } from "./spans.ts";
import { settleMs, touchesRedis } from "./trouble.ts";
import type { View } from "./view.ts";
import { answer, reader, second, version } from "./words.ts";

type Versioned = ReadEvent & { readonly epoch: number; readonly revision: number };

const isVersioned = (read: ReadEvent): read is Versioned => read.epoch !== undefined && read.revision !== undefined;
const compare = (a: Versioned, b: Versioned) => a.epoch - b.epoch || a.revision - b.revision;

/**
 * Goes through reads that must not fall back behind each other. One counts as later than another only if it began after
 * the other had ended: what overlaps may be told in any order. `isExcused` tells of two that may.
 */
function judgeGroup(
  reads: readonly Versioned[],
  judges: (read: Versioned) => boolean,
  accuse: Accuse,
  isExcused: (before: Versioned, after: Versioned) => boolean = () => false,
): number {
  const ended = reads.toSorted((a, b) => a.to - b.to);
  let next = 0;
  let judged = 0;
  let newest: Versioned | undefined;
  for (const read of reads.toSorted((a, b) => a.from - b.from)) {
    for (let one = ended[next]; one && one.to < read.from; one = ended[++next]) {
      if (!newest || compare(one, newest) > 0) newest = one;
    }
    if (!newest || !judges(read)) continue;
    judged++;
    if (compare(read, newest) >= 0 || isExcused(newest, read)) continue;
    accuseOf(newest, read, accuse);
  }
  return judged;
}

function accuseOf(before: Versioned, after: Versioned, accuse: Accuse): void {
  accuse(
    `${reader(after)} was told ${version(after)} of ${after.service} at ${second(after.to)}, after ${reader(before)} ` +
      `had been told ${version(before)} at ${second(before.to)}.`,
    [before, after],
  );
}

/** When Redis may have lost what had been read of it: an isolate that begins then knows nothing better. */
function lossesOf(view: View): Spans {
  const marginMs = settleMs(view.settings);
  const absences = [...view.absences]
    .filter(([process]) => /redis|replica/.test(process))
    .flatMap(([, spans]) => spans);
  return mergeSpans(
    [...view.faults.filter(touchesRedis), ...absences].map(({ from, to }) => ({ from, to: to + marginMs })),
  );
}

export const forwardOnly = defineGuarantee(
  "forward only",
  "no reader of one resolver sees an older (epoch, revision) after a newer one, and each tells the same to all",
  (view, accuse) => {
    const reads = view.reads.filter(isVersioned);
    const direct = reads.filter(({ by }) => by !== "client");
    let judged = judgeSame(reads, accuse);
    // What one isolate has answered binds it, whoever asks. An event of a stream was on its way for nobody knows how long.
    for (const group of Map.groupBy(direct, (one) => `${one.resolver} ${one.life} ${one.service}`).values()) {
      judged += judgeGroup(group, ({ by }) => by !== "stream", accuse);
    }
    for (const group of Map.groupBy(direct, (one) => `${one.resolver} ${one.service}`).values()) {
      judged += judgeLives(view, group, accuse);
    }
    const streams = direct.filter(({ by }) => by === "stream");
    for (const group of Map.groupBy(streams, (one) => `${one.reader} ${one.life} ${one.service}`).values()) {
      judged += judgeInTurn(group, accuse);
    }
    // A client holds what it was told, over all lives of the resolver; what fails there may end that.
    const clients = view.reads.filter(({ by }) => by === "client");
    for (const group of Map.groupBy(clients, (one) => `${one.reader} ${one.service}`).values()) {
      for (const stretch of betweenFailures(group)) judged += judgeGroup(stretch, () => true, accuse);
    }
    return judged;
  },
);

/** The first that an isolate reads is no older than what the one before it had answered, unless Redis lost that. */
function judgeLives(view: View, group: readonly Versioned[], accuse: Accuse): number {
  const losses = lossesOf(view);
  let judged = 0;
  let newest: Versioned | undefined;
  const lives = [...Map.groupBy(group, ({ life }) => life)].toSorted(([a], [b]) => a - b);
  for (const [, own] of lives) {
    const first = own.toSorted((a, b) => a.to - b.to)[0];
    if (newest && first && newest.to < first.from) {
      judged++;
      const isExcused = touching(losses, newest.from, first.to) !== undefined;
      if (compare(first, newest) < 0 && !isExcused) accuseOf(newest, first, accuse);
    }
    for (const read of own) if (!newest || compare(read, newest) > 0) newest = read;
  }
  return judged;
}

/** Events of one connection come in the order in which they were sent. */
function judgeInTurn(group: readonly Versioned[], accuse: Accuse): number {
  let newest: Versioned | undefined;
  for (const read of group) {
    if (newest && compare(read, newest) < 0) accuseOf(newest, read, accuse);
    else newest = read;
  }
  return Math.max(0, group.length - 1);
}

function betweenFailures(reads: readonly ReadEvent[]): Versioned[][] {
  const stretches: Versioned[][] = [[]];
  for (const read of reads.toSorted((a, b) => a.to - b.to)) {
    if (isVersioned(read)) stretches.at(-1)?.push(read);
    else stretches.push([]);
  }
  return stretches;
}

/** Whoever is told the same version of a service is told the same of it. */
function judgeSame(reads: readonly Versioned[], accuse: Accuse): number {
  let judged = 0;
  for (const group of Map.groupBy(reads, (one) => `${one.service} ${version(one)}`).values()) {
    let told: Versioned | undefined;
    for (const read of group) {
      if (!read.instances) continue;
      if (!told) {
        told = read;
        continue;
      }
      judged++;
      if (servedIn(read) === servedIn(told)) continue;
      accuse(
        `${reader(read)} was told ${answer(read)} of ${read.service} at ${second(read.to)}, and ${reader(told)} ` +
          `${answer(told)} at ${second(told.to)}, both as ${version(read)}.`,
        [told, read],
      );
      break;
    }
  }
  return judged;
}

/** What is down or draining is not told to everybody. */
function servedIn({ instances = {} }: ReadEvent): string {
  return Object.entries(instances)
    .flatMap(([id, { status, generation }]) =>
      status === "up" || status === "suspect" ? [`${id} ${status} ${generation}`] : [],
    )
    .toSorted()
    .join(", ");
}

import type { ReadEvent, WriteEvent } from "../history/event.ts";
import { defineGuarantee, type Accuse } from "./define.ts";
import { covering, touching, type Spans } from "./spans.ts";
import { anyTrouble, clockTrouble, deathsOf, LIFE_EDGE_MS, mayHaveForgotten, TO_EDGE_MS } from "./trouble.ts";
import type { Chronicle, View } from "./view.ts";
import { milliseconds, reader, second, written } from "./words.ts";
import { outcomeOf } from "./writes.ts";

/** Ages are rounded, and three processes' clocks are read for one: of the same machine, but not in the same moment. */
export const AGE_SLACK_MS = 100;
/** A client counts an answer's age from when it heard it: on its way it may have been for as long as a client waits. */
export const CLIENT_SLACK_MS = 3000;

type Aged = ReadEvent & { readonly ageMs: number };

interface Outage {
  readonly of: string;
  readonly spans: Spans;
}

export const honestAge = defineGuarantee(
  "honest age",
  "no answer is older than it says; anything past its freshness says so",
  (view, accuse) => {
    const clocks = new Map<string, Spans>();
    const outages = outagesOf(view);
    let judged = 0;
    for (const read of view.reads) {
      if (!isAged(read)) continue;
      judged++;
      judgeStale(view, read, accuse);
      const clock = clocks.get(read.resolver) ?? clockTrouble(view, read.resolver);
      clocks.set(read.resolver, clock);
      // A clock that was set back makes the time since the publisher's look short: what is left of it is a lower bound.
      if (touching(clock, read.from, read.to)) continue;
      for (const outage of outages) judgeOutage(view, read, outage, accuse);
      for (const chronicle of view.chronicles.get(read.service)?.values() ?? [])
        judgeOne(view, read, chronicle, accuse);
    }
    return judged;
  },
);

function isAged(read: ReadEvent): read is Aged {
  return read.ageMs !== undefined && read.instances !== undefined && read.error === undefined;
}

function judgeStale(view: View, read: Aged, accuse: Accuse): void {
  const isOld = read.by !== "client" && read.ageMs > view.settings.staleAfterMs;
  if (read.stale !== false || (!isOld && read.source !== "last-known-good")) return;
  accuse(
    `${reader(read)} was told ${read.service} as not stale at ${second(read.to)}, from ${read.source ?? "nowhere"} and ` +
      `${milliseconds(read.ageMs)} old.`,
    [read],
  );
}

/** What nothing new can come without: answers age while all of it is gone. */
function outagesOf(view: View): readonly Outage[] {
  const named = (pattern: RegExp) => [...view.deaths.keys()].filter((process) => pattern.test(process));
  const publishers = named(/^publisher-/);
  const members = named(/^etcd-/);
  const gateways = named(/^gateway$/);
  return [
    { of: "every publisher", spans: deathsOf(view, publishers, Math.max(1, publishers.length)) },
    { of: "a quorum of etcd", spans: deathsOf(view, members, Math.ceil(members.length / 2)) },
    { of: "the gateway", spans: deathsOf(view, gateways, 1) },
  ];
}

function judgeOutage(view: View, read: Aged, { of, spans }: Outage, accuse: Accuse): void {
  if (read.by !== "http" && read.by !== "poll") return;
  const outage = covering(spans, read.from, read.to + LIFE_EDGE_MS);
  // What has not been there yet is not gone.
  if (!outage || outage.from === 0) return;
  const leastMs = read.from - outage.from - LIFE_EDGE_MS - AGE_SLACK_MS;
  if (read.ageMs >= leastMs) return;
  const lives = [...view.lives.values()].flat().filter(({ at }) => at === outage.from);
  accuse(
    `${reader(read)} was told ${read.service} as ${milliseconds(read.ageMs)} old at ${second(read.to)}, while ${of} ` +
      `had been gone since ${second(outage.from)}.`,
    [...lives, read],
  );
}

/** Whatever was answered before the moment that the age tells must be in the answer. */
function judgeOne(view: View, read: Aged, chronicle: Chronicle, accuse: Accuse): void {
  const slackMs = read.by === "client" ? CLIENT_SLACK_MS : AGE_SLACK_MS;
  const horizon = read.from - read.ageMs - slackMs;
  const told = read.instances?.[chronicle.instance];
  const last = chronicle.writes.findLast((write) => write.from < read.to && outcomeOf(write) !== "refused");
  if (!last) return;
  const isKnown = outcomeOf(last) === "done" && last.to < horizon;
  if (told && told.status !== "suspect" && told.status !== "down") {
    const newest = chronicle.writes.findLast(
      (write) => write.operation === "register" && outcomeOf(write) === "done" && write.to < horizon,
    );
    if (newest && told.generation < newest.generation) {
      accuseOf(read, newest, `with generation ${told.generation}, and not ${newest.generation} or later`, accuse);
    }
    const isGone = isKnown && last.operation === "deregister" && !mayHaveForgotten(view, last.agent, last.to);
    if (isGone) accuseOf(read, last, `as ${told.status}`, accuse);
  }
  if (!told && isKnown && last.operation === "register" && mustBeThere(view, read, chronicle, last, horizon)) {
    accuseOf(read, last, "as not there", accuse);
  }
}

/**
 * Something else may take an instance away in trouble: its lease, or its agent's judgement. A checked one is down until
 * its first success.
 */
function mustBeThere(view: View, read: Aged, { truth }: Chronicle, write: WriteEvent, horizon: number): boolean {
  if (write.to >= horizon - TO_EDGE_MS) return false;
  const isUp = truth.findLast(({ at }) => at <= write.from)?.change === "up";
  const crashed = truth.some(({ at, change }) => change === "crashed" && at >= write.from && at <= read.to);
  return (
    isUp && !crashed && !touching(anyTrouble(view), write.from, read.to) && !touching(view.stalls, write.from, read.to)
  );
}

function accuseOf(read: Aged, write: WriteEvent, told: string, accuse: Accuse): void {
  accuse(
    `${reader(read)} was told of ${write.instance} of ${read.service} ${told}, at ${second(read.to)} and as ` +
      `${milliseconds(read.ageMs)} old; before that: ${written(write)}.`,
    [write, read],
  );
}

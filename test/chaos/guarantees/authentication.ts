import type { EtcdSampleEvent, ProcessName, SampleEvent } from "../history/event.ts";
import { defineGuarantee, type Accuse } from "./define.ts";
import { settleMs, sourcesOf } from "./trouble.ts";
import type { FaultSpan, PhaseSpan, View } from "./view.ts";
import { second } from "./words.ts";

const METRIC = "fingerpost_etcd_authentications_total";

/** Of a registrar's life: its first, and one more for a token that was issued while members were still being joined. */
export const CALLS_PER_LIFE = 2;
/**
 * After so long a member has forgotten a token that was used at others: whoever moves to it then needs a new one, also
 * where nothing but load made it move.
 */
export const TOKEN_TTL_MS = 300_000;
/** Of a fault that can cost a token: one for each member it may move to, and as many that fail. */
export const CALLS_PER_FAULT = 6;
/** While it lasts: failed ones back off to one in 2 s on average, and a token that is refused is replaced within 1 s. */
export const CALLS_PER_FAULT_SECOND = 1;
/** Within any ten seconds: the backoff's first steps are short, a fresh token is not replaced sooner than a second. */
export const WINDOW_MS = 10_000;
export const CALLS_PER_WINDOW = 15;
/** Of all registrars together while nothing is wrong: tokens are kept by use. */
export const QUIET_CALLS_MAX = 1;

const callsOf = (sample: SampleEvent) => sample.metrics?.[METRIC];

type Counted = SampleEvent & { readonly metrics: Readonly<Record<string, number>> };

export const authentication = defineGuarantee(
  "authentication",
  "no fault makes more than the bounded number of Authenticate calls",
  (view, accuse) => {
    let judged = 0;
    for (const samples of view.samples.values()) {
      const counted = samples.filter((sample): sample is Counted => callsOf(sample) !== undefined);
      for (const own of Map.groupBy(counted, ({ life }) => life).values()) {
        judged++;
        judgeLife(view, own, accuse);
        judgeWindows(own, accuse);
      }
    }
    judged += judgeMembers(view, accuse);
    for (const phase of view.phases)
      if (phase.phase === "idle" || phase.phase === "lookups") judged += judgeQuiet(view, phase, accuse);
    return judged;
  },
);

/** Whether a fault can cost this registrar its token, or the member that knows it. */
function costsToken({ event: { name, target } }: FaultSpan, process: ProcessName): boolean {
  if (/auth|token|role|password|quorum|leader/i.test(name)) return true;
  return sourcesOf(target).some((source) => source.startsWith("etcd") || source === process);
}

function judgeLife(view: View, samples: readonly Counted[], accuse: Accuse): void {
  const [first, last] = [samples[0], samples.at(-1)];
  if (!first || !last) return;
  const marginMs = settleMs(view.settings);
  let most = CALLS_PER_LIFE + Math.floor((last.at - first.at) / TOKEN_TTL_MS);
  const costly = view.faults.filter((fault) => {
    return costsToken(fault, last.process) && fault.from <= last.at && fault.to + marginMs >= first.at;
  });
  for (const { from, to } of costly) {
    const seconds = (Math.min(to, last.at) - Math.max(from, first.at)) / 1000;
    most += CALLS_PER_FAULT + Math.max(0, seconds) * CALLS_PER_FAULT_SECOND;
  }
  const calls = callsOf(last) ?? 0;
  if (calls <= most) return;
  const faults = costly.length === 1 ? "1 fault" : `${costly.length} faults`;
  accuse(
    `${last.process} (life ${last.life}) had authenticated ${calls} times by ${second(last.at)}, through ${faults} that ` +
      `can cost a token; at most ${Math.floor(most)} are allowed.`,
    [...costly.map(({ event }) => event), last],
  );
}

/** The first window of a life that has too many of them. */
function judgeWindows(samples: readonly Counted[], accuse: Accuse): void {
  let start = 0;
  for (const [index, sample] of samples.entries()) {
    // The whole of the time between two samples, which may be more than a window, would tell no rate.
    while (start < index - 1 && sample.at - (samples[start] as Counted).at > WINDOW_MS) start++;
    const since = samples[start] as Counted;
    const calls = (callsOf(sample) ?? 0) - (callsOf(since) ?? 0);
    const windows = Math.max(1, (sample.at - since.at) / WINDOW_MS);
    if (calls <= CALLS_PER_WINDOW * windows) continue;
    accuse(
      `${sample.process} (life ${sample.life}) authenticated ${calls} times from ${second(since.at)} to ` +
        `${second(sample.at)}; at most ${CALLS_PER_WINDOW} in ${second(WINDOW_MS)} are allowed.`,
      [since, sample],
    );
    return;
  }
}

/** By etcd's own count, whoever called: nobody else has to in these phases. */
function judgeQuiet(view: View, { from, to, phase }: PhaseSpan, accuse: Accuse): number {
  let calls = 0;
  const ends: EtcdSampleEvent[] = [];
  for (const samples of view.etcdSamples.values()) {
    const own = samples.filter(({ at }) => at >= from && at <= to);
    const [first, last] = [own[0], own.at(-1)];
    if (!first || !last || first.life !== last.life) return 0;
    calls += (last.requests["Authenticate"] ?? 0) - (first.requests["Authenticate"] ?? 0);
    ends.push(first, last);
  }
  if (ends.length === 0) return 0;
  if (calls > QUIET_CALLS_MAX) {
    accuse(
      `etcd was asked to authenticate ${calls} times from ${second(from)} to ${second(to)}, in the phase "${phase}"; at ` +
        `most ${QUIET_CALLS_MAX} is allowed.`,
      ends,
    );
  }
  return 1;
}

/** The first window in which all members together, by their own count, were asked more often than all registrars may ask. */
function judgeMembers(view: View, accuse: Accuse): number {
  const { agents, publishers } = view.settings;
  const most = CALLS_PER_WINDOW * (agents + publishers);
  const asked = [...view.etcdSamples.values()].flatMap(askedBetween).toSorted((a, b) => a.last.at - b.last.at);
  let start = 0;
  let calls = 0;
  for (const one of asked) {
    calls += one.calls;
    let first = asked[start] as Asked;
    for (; one.last.at - first.since.at > WINDOW_MS && first !== one; first = asked[++start] as Asked)
      calls -= first.calls;
    // What one pair of samples far apart tells is no rate of ten seconds.
    const windows = Math.max(1, (one.last.at - first.since.at) / WINDOW_MS);
    if (calls <= most * windows) continue;
    accuse(
      `etcd was asked to authenticate ${calls} times from ${second(first.since.at)} to ${second(one.last.at)}; at most ` +
        `${most} in ${second(WINDOW_MS)} are allowed, to all registrars together.`,
      asked.slice(start, asked.indexOf(one) + 1).flatMap(({ since, last }) => [since, last]),
    );
    break;
  }
  return asked.length === 0 ? 0 : 1;
}

interface Asked {
  readonly since: EtcdSampleEvent;
  readonly last: EtcdSampleEvent;
  readonly calls: number;
}

/** From one sample to the next of the same life. */
function askedBetween(samples: readonly EtcdSampleEvent[]): readonly Asked[] {
  const countOf = ({ requests }: EtcdSampleEvent) => requests["Authenticate"] ?? 0;
  return samples.flatMap((last, index) => {
    const since = samples[index - 1];
    return since?.life === last.life ? [{ since, last, calls: countOf(last) - countOf(since) }] : [];
  });
}

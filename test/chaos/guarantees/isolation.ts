import type { At, EtcdSampleEvent, ReadEvent } from "../history/event.ts";
import { defineGuarantee } from "./define.ts";
import type { PhaseSpan, View } from "./view.ts";
import { second } from "./words.ts";

/** Fewer lookups in a phase could hide in what etcd is asked besides. */
export const LOOKUPS_MIN = 100;
/** What etcd is asked besides comes in beats and audits: a phase may meet half as many again, and some more. */
export const BACKGROUND_FACTOR = 1.5;
export const BACKGROUND_SLACK = 20;

interface Count {
  readonly requests: Readonly<Record<string, number>>;
  readonly seconds: number;
  readonly samples: readonly EtcdSampleEvent[];
}

/** What all members together were asked between the first sample of the phase and its last, by method. */
function countIn(view: View, { from, to }: PhaseSpan): Count | undefined {
  const requests: Record<string, number> = {};
  const samples: EtcdSampleEvent[] = [];
  let seconds = Infinity;
  for (const all of view.etcdSamples.values()) {
    const own = all.filter(({ at }) => at >= from && at <= to);
    const [first, last] = [own[0], own.at(-1)];
    if (!first || !last || first === last || first.life !== last.life) return undefined;
    for (const [method, count] of Object.entries(last.requests)) {
      requests[method] = (requests[method] ?? 0) + count - (first.requests[method] ?? 0);
    }
    samples.push(first, last);
    seconds = Math.min(seconds, (last.at - first.at) / 1000);
  }
  return samples.length === 0 ? undefined : { requests, seconds, samples };
}

function lookupsIn({ reads }: View, from: At, to: At): readonly ReadEvent[] {
  return reads.filter((read) => read.from >= from && read.to <= to);
}

export const isolation = defineGuarantee("isolation", "etcd sees no request because of a lookup", (view, accuse) => {
  const counted = view.phases.map((phase) => ({ phase, count: countIn(view, phase) }));
  const idle = counted.flatMap(({ phase, count }) => (phase.phase === "idle" && count ? [count] : []));
  if (idle.length === 0) return 0;
  let judged = 0;
  for (const { phase, count } of counted) {
    if (phase.phase !== "lookups" || !count) continue;
    const lookups = lookupsIn(view, phase.from, phase.to);
    if (lookups.length < LOOKUPS_MIN) continue;
    judged += lookups.length;
    for (const [method, requests] of Object.entries(count.requests)) {
      const ratePerSecond = Math.max(...idle.map((one) => (one.requests[method] ?? 0) / one.seconds));
      const most = ratePerSecond * count.seconds * BACKGROUND_FACTOR + BACKGROUND_SLACK;
      if (requests <= most) continue;
      accuse(
        `etcd was asked ${method} ${requests} times in ${count.seconds.toFixed(1)} s of ${lookups.length} lookups ` +
          `(from ${second(phase.from)}), and ${ratePerSecond.toFixed(1)} times a second without any.`,
        count.samples,
      );
    }
  }
  return judged;
});

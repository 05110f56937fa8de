import type { CommitEvent } from "../history/event.ts";
import { defineGuarantee } from "./define.ts";
import { covering, mergeSpans, touching, type Spans } from "./spans.ts";
import { sourcesOf, touchesRedis } from "./trouble.ts";
import type { View } from "./view.ts";
import { second, version } from "./words.ts";

/** Until a server that follows another one has the other's data in place of its own. */
export const RESYNC_MS = 15_000;

const compare = (a: CommitEvent, b: CommitEvent) => a.epoch - b.epoch || a.revision - b.revision;

/**
 * When a server may have come to have older data than it had: it began anew, from a file or from another server, or the
 * pair changed its master. FLUSHALL is none of these: after it Redis' own time lets no epoch fall. Nor is a pause.
 */
function exchangesOf(view: View, server: string): Spans {
  const ends = (view.lives.get(server) ?? []).filter(({ change }) => change === "killed" || change === "ended");
  const lives = ends.flatMap(({ at }) => covering(view.absences.get(server) ?? [], at, at) ?? []);
  const faults = view.faults.filter(
    (fault) => touchesRedis(fault) && (/promot|lag/i.test(fault.event.name) || replicates(fault.event.target)),
  );
  return mergeSpans([...lives, ...faults].map(({ from, to }) => ({ from, to: to + RESYNC_MS })));
}

/** Of a line between the two servers. */
const replicates = (target: string) =>
  sourcesOf(target).some((source) => /^(redis|replica)/.test(source)) && />/.test(target);

export const singleWriter = defineGuarantee("single writer", "no two epochs interleave in Redis", (view, accuse) => {
  let judged = 0;
  for (const [, commits] of Map.groupBy(view.commits, ({ server, namespace }) => `${server} ${namespace}`)) {
    const [first] = commits;
    if (!first) continue;
    const exchanges = exchangesOf(view, first.server);
    let highest = first;
    /** By epoch, what it was given of it last, and the earlier epoch that came after that. */
    const left = new Map<number, readonly [CommitEvent, CommitEvent]>();
    for (const commit of commits.slice(1)) {
      judged++;
      // What a server has lost may let an epoch fall, but who wrote the lost one then finds what it has not written.
      const back = left.get(commit.epoch);
      if (back) {
        accuse(
          `${commit.server} was given the head ${version(commit)} of ${commit.namespace} at ${second(commit.at)}, of an ` +
            `epoch that ${version(back[1])} had followed at ${second(back[1].at)}.`,
          [...back, commit],
        );
        left.delete(commit.epoch);
      } else if (compare(commit, highest) < 0 && !touching(exchanges, highest.at, commit.at)) {
        accuse(
          `${commit.server} was given the head ${version(commit)} of ${commit.namespace} at ${second(commit.at)}, ` +
            `after ${version(highest)} at ${second(highest.at)}.`,
          [highest, commit],
        );
      } else if (commit.epoch < highest.epoch) left.set(highest.epoch, [highest, commit]);
      // From here on it has what it was given, whatever that followed.
      highest = commit;
    }
  }
  return judged;
});

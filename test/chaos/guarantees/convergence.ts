import type { At, InstanceEvent, RunSettings, StateEvent, WriteEvent } from "../history/event.ts";
import { defineGuarantee, type Accuse } from "./define.ts";
import { departuresOf } from "./departures.ts";
import { crashMs, heldMs } from "./no-ghosts.ts";
import { overlapMs } from "./spans.ts";
import { settleMs } from "./trouble.ts";
import type { Chronicle, View } from "./view.ts";
import { second, written } from "./words.ts";
import { outcomeOf } from "./writes.ts";

/**
 * From the end of the last fault: until every part works again, what crashed in it is gone, and so is what of that was
 * held, since what is held is in Redis and not in etcd.
 */
export const convergenceMs = (settings: RunSettings) => settleMs(settings) + crashMs(settings) + heldMs(settings);
/** Between two looks at all of the state, and for the look itself. */
export const LOOK_MS = 5000;

export const convergence = defineGuarantee(
  "convergence",
  "when faults stop, etcd, Redis and every resolver agree within a bound, byte by byte, on what was answered to be done",
  (view, accuse) => {
    const latest = new Map(view.states.map((state) => [state.of, state]));
    const etcd = latest.get("etcd");
    if (!etcd) return 0;
    const lookedAt = Math.max(...[...latest.values()].map(({ at }) => at));
    // While this process stood still it could not ask either.
    const isLate = ({ at }: StateEvent) => lookedAt - at - overlapMs(view.stalls, at, lookedAt) > LOOK_MS;
    let judged = 0;
    for (const state of latest.values()) {
      judged++;
      if (isLate(state)) {
        accuse(`${state.of} could not be asked any more after ${second(state.at)}, until ${second(lookedAt)}.`, [
          { ...state, services: {} },
        ]);
      } else if (state !== etcd && !isLate(etcd)) judgePair(etcd, state, accuse);
    }
    judgeTime(view, etcd, accuse);
    for (const chronicles of view.chronicles.values()) {
      for (const chronicle of chronicles.values()) judged += judgeWrites(etcd, chronicle, accuse);
    }
    return judged;
  },
);

/** A service without instances may be there, or not any more: a tombstone tells the same as nothing. */
const instancesIn = ({ services }: StateEvent, service: string) => services[service] ?? "[]";

function only(state: StateEvent, service: string): StateEvent {
  return { ...state, services: { [service]: instancesIn(state, service) } };
}

function judgePair(etcd: StateEvent, other: StateEvent, accuse: Accuse): void {
  for (const service of new Set([...Object.keys(etcd.services), ...Object.keys(other.services)])) {
    if (instancesIn(etcd, service) === instancesIn(other, service)) continue;
    accuse(
      `etcd has ${instancesIn(etcd, service)} of ${service} at ${second(etcd.at)}, and ${other.of} has ` +
        `${instancesIn(other, service)}.`,
      [only(etcd, service), only(other, service)],
    );
    // One shows it; that there are more of them tells nothing new.
    return;
  }
}

/** Whoever runs the fleet looks until all agree: when that was is when the last states were taken. */
function judgeTime({ settings, faults, stalls }: View, etcd: StateEvent, accuse: Accuse): void {
  const last = faults.toSorted((a, b) => a.to - b.to).at(-1);
  if (!last || last.to === Infinity) return;
  const tookMs = etcd.at - last.to - overlapMs(stalls, last.to, etcd.at);
  if (tookMs <= convergenceMs(settings) + LOOK_MS) return;
  accuse(`All agreed only at ${second(etcd.at)}, ${second(tookMs)} after the last fault.`, [
    last.event,
    { ...etcd, services: {} },
  ]);
}

interface Registered {
  readonly generation: number;
  readonly status: string;
}

/** What was answered to be done, and that nothing has changed since, is so in the end. */
function judgeWrites(etcd: StateEvent, chronicle: Chronicle, accuse: Accuse): number {
  const { service, instance, truth, writes } = chronicle;
  const last = writes.findLast((write) => write.from < etcd.at && outcomeOf(write) !== "refused");
  if (!last || last.to >= etcd.at || outcomeOf(last) !== "done") return 0;
  const found = registeredIn(instancesIn(etcd, service), instance);
  const tell = (what: string) =>
    accuse(`${what} at ${second(etcd.at)}; before: ${written(last)}.`, [last, only(etcd, service)]);
  if (last.operation === "deregister") {
    const isGone = departuresOf(chronicle).some(({ event, until }) => event === last && until > etcd.at);
    if (isGone && found) tell(`etcd still has ${instance} of ${service}`);
    return 1;
  }
  if (last.operation !== "register" || !isUpThroughout(truth, last, etcd.at)) return 0;
  if (!found) tell(`etcd has lost ${instance} of ${service}, which is up`);
  else if (found.generation < last.generation) {
    tell(`etcd has generation ${found.generation} of ${instance} of ${service}, and not ${last.generation},`);
  }
  return 1;
}

function isUpThroughout(truth: readonly InstanceEvent[], { from }: WriteEvent, until: At): boolean {
  const isUp = truth.findLast(({ at }) => at <= from)?.change === "up";
  return isUp && !truth.some(({ at, change }) => change === "crashed" && at >= from && at <= until);
}

/** Undefined where it is not there, or is not registered as anything that would be served. */
function registeredIn(instances: string, id: string): Registered | undefined {
  const parsed: unknown = JSON.parse(instances);
  if (!Array.isArray(parsed)) throw new Error(`the state of a service is a list of instances, not ${instances}`);
  const found = (parsed as { id: string; status: string; metadata?: Record<string, unknown> }[]).find(
    (one) => one.id === id,
  );
  return found && { status: found.status, generation: Number(found.metadata?.["generation"] ?? -1) };
}

import type { Registration } from "../../../contract/registration.ts";
import { sleep, type Clock } from "../../../kernel/clock.ts";
import { messageOf } from "../../../kernel/errors.ts";
import type { Random } from "../../../kernel/random.ts";
import type { Log } from "../../../node/log.ts";
import { createTokenBucket } from "../../agent/token-bucket.ts";
import type { CatalogState } from "../catalog-state.ts";
import { createTally } from "./evidence.ts";
import type { Guard } from "./guard.ts";
import type { ProbeResult } from "./hold.ts";
import { createTurns, type HeldTarget, type ProbedGuard } from "./turns.ts";

/** Connections at a time, each for a second at most: a mass expiry must not look like a scan of ports. */
const PROBES_MAX = 32;
const PROBES_PER_SECOND = 100;
/**
 * Held instances of a round, of all namespaces: half a minute where all are silent. More, and a round outlasts what it
 * probes, and the next evidence is far from the last; fewer, and most wait for their deadline.
 */
const TARGETS_MAX = 1000;
/** Live instances asked a round, of each protocol and zone in which something is held, and of so many of those. */
const CONTROLS_MAX = 4;
const PLACES_MAX = 32;

/** A namespace as the prober sees it. */
export interface ProbedNamespace {
  readonly namespace: string;
  readonly guard: ProbedGuard & Pick<Guard, "probed" | "size">;
  /** These are published anew. */
  readonly changed: (services: Iterable<string>) => void;
}

export interface ProberOptions {
  readonly namespaces: () => Iterable<ProbedNamespace>;
  readonly catalog: Pick<CatalogState, "services" | "registrations">;
  readonly intervalMs: number;
  /** Undefined when it says nothing of the instance. */
  readonly probe: (registration: Registration, signal: AbortSignal) => Promise<ProbeResult | undefined>;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

/**
 * Probes what is held, round by round, and a sample of what is live in each: only where others answer does it say
 * something that one does not. Runs until `signal` aborts.
 */
export async function runProber(options: ProberOptions, signal: AbortSignal): Promise<void> {
  const { namespaces, intervalMs, probe, clock, random, log } = options;
  const bucket = createTokenBucket({ clock, ratePerSecond: PROBES_PER_SECOND, burst: PROBES_MAX });

  const turns = createTurns(random);
  let free = PROBES_MAX;
  const waiting: (() => void)[] = [];

  /** One probe, once its turn comes among all; undefined also when it is not wanted any more by then. */
  async function probeInTurn(registration: Registration, isWanted: () => boolean): Promise<ProbeResult | undefined> {
    if (free > 0) free--;
    else await new Promise<void>((resolve) => waiting.push(resolve));
    try {
      if (signal.aborted || !isWanted()) return undefined;
      await bucket.take(signal);
      const result = signal.aborted ? undefined : await probe(registration, signal);
      return signal.aborted ? undefined : result;
    } finally {
      const next = waiting.shift();
      if (next) next();
      else free++;
    }
  }

  async function round({ namespace, guard, changed }: ProbedNamespace, targetsMax: number): Promise<void> {
    const targets = turns.next(guard, targetsMax);
    const controls = sampleControls(options, namespace, guard, targets);
    // Held anew since, maybe at another address, it is another one.
    const stands = ({ service, id, registration }: HeldTarget) =>
      guard.held(service).get(id)?.registration === registration;
    const results = new Map<Registration, ProbeResult>();
    const calls = [
      ...targets.map((target) => ({ registration: target.registration, isWanted: () => stands(target) })),
      ...controls.map((registration) => ({ registration, isWanted: () => true })),
    ];
    async function work(call: (typeof calls)[number]): Promise<void> {
      const result = await probeInTurn(call.registration, call.isWanted);
      if (result) results.set(call.registration, result);
    }
    const ends = await Promise.allSettled(shuffle(calls, random).map(work));
    // Also after a failure: the next round must not be of the same ones again.
    for (const { registration } of targets) turns.probed(registration, results.get(registration));
    for (const end of ends) if (end.status === "rejected") throw end.reason;
    const tally = createTally();
    for (const control of controls) {
      const result = results.get(control);
      if (result) tally.addLive(control, result);
    }
    for (const { registration } of targets) {
      const result = results.get(registration);
      if (result) tally.addHeld(registration, result);
    }
    const ended = new Set<string>();
    for (const target of targets) {
      const { service, id, registration } = target;
      const result = results.get(registration);
      if (result === undefined || !stands(target)) continue;
      for (const name of guard.probed(service, id, result, tally.evidenceFor(registration))) ended.add(name);
    }
    if (ended.size > 0) changed(ended);
  }

  async function attempt(each: ProbedNamespace, targetsMax: number): Promise<void> {
    try {
      await round(each, targetsMax);
    } catch (error) {
      log.error({ namespace: each.namespace, err: error }, `A round of probes failed: ${messageOf(error)}`);
    }
  }

  while (!signal.aborted) {
    // Some time first, since most of what is held registers again soon; never in step with another registrar.
    await sleep(clock, intervalMs * (0.5 + random()), signal);
    if (signal.aborted) break;
    const smallestFirst = [...namespaces()]
      .filter(({ guard }) => guard.size() > 0)
      .toSorted((a, b) => a.guard.size() - b.guard.size());
    let left = TARGETS_MAX;
    const rounds: Promise<void>[] = [];
    for (const [index, each] of smallestFirst.entries()) {
      // An equal share each, and what the small ones do not need goes to the others. No more namespaces than targets.
      const targetsMax = Math.min(each.guard.size(), Math.floor(left / (smallestFirst.length - index)));
      left -= targetsMax;
      rounds.push(attempt(each, targetsMax));
    }
    await Promise.all(rounds);
  }
}

/** Live instances of the protocols and zones in which something is held, at random. */
function sampleControls(
  { catalog, random }: ProberOptions,
  namespace: string,
  guard: ProbedNamespace["guard"],
  targets: readonly HeldTarget[],
): readonly Registration[] {
  const samples = new Map<string, { seen: number; readonly chosen: Registration[] }>();
  for (const { registration } of shuffle(targets, random)) {
    // A place of its own for the protocol at large, since a zone may have nothing live.
    for (const place of [placeOf(registration), registration.protocol]) {
      if (samples.size < PLACES_MAX && !samples.has(place)) samples.set(place, { seen: 0, chosen: [] });
    }
  }
  for (const service of catalog.services(namespace)) {
    for (const registration of catalog.registrations(namespace, service).values()) {
      if (registration.status !== "up" || guard.held(service).has(registration.id)) continue;
      for (const place of [placeOf(registration), registration.protocol]) {
        const sample = samples.get(place);
        if (sample === undefined) continue;
        // Each is chosen with the same chance, without a list of all of them (Vitter's algorithm R, 1985).
        const position = sample.seen < CONTROLS_MAX ? sample.seen : Math.floor(random() * (sample.seen + 1));
        if (position < CONTROLS_MAX) sample.chosen[position] = registration;
        sample.seen++;
      }
    }
  }
  return [...new Set([...samples.values()].flatMap(({ chosen }) => chosen))];
}

function placeOf({ protocol, zone }: Registration): string {
  return `${protocol}/${zone ?? ""}`;
}

/** Fisher and Yates. */
function shuffle<T>(items: readonly T[], random: Random): T[] {
  const shuffled = [...items];
  for (let last = shuffled.length - 1; last > 0; last--) {
    const other = Math.floor(random() * (last + 1));
    [shuffled[last], shuffled[other]] = [shuffled[other] as T, shuffled[last] as T];
  }
  return shuffled;
}

import { sleep, type Clock } from "../../../kernel/clock.ts";
import { within } from "../../../kernel/deadline.ts";
import { messageOf } from "../../../kernel/errors.ts";
import { seededRandom } from "../../support/random.ts";
import type { Fleet } from "../fleet/fleet.ts";
import type { At, FaultEvent } from "../history/event.ts";
import type { Fault, FaultUnderWay, Planned, Touched } from "./fault.ts";
import { healAll } from "./heal.ts";

/** To begin one, or to undo it: the start of processes and elections on a busy machine are in it. */
const STEP_MS_MAX = 90_000;

export interface FaultDriverOptions {
  readonly fleet: Fleet;
  readonly faults: readonly Fault[];
  readonly clock: Clock;
  /** Of the history. */
  readonly now: () => At;
  readonly onFault: (event: FaultEvent) => void;
}

/** Faults that were not begun, or not undone: the run says nothing then, whatever it saw. */
export class FaultFailure extends Error {
  override readonly name = "FaultFailure";
  readonly problems: readonly string[];

  constructor(problems: readonly string[]) {
    super(`The faults were not what the schedule says: ${problems.join("; ")}`);
    this.problems = problems;
  }
}

/**
 * Begins and undoes each fault of the schedule at its time, and at the end, or as soon as `signal` aborts, makes the
 * fleet whole whatever failed. Rejects with a FaultFailure after that if a fault could not be begun or undone.
 */
export async function runFaults(
  { fleet, faults, clock, now, onFault }: FaultDriverOptions,
  schedule: readonly Planned[],
  signal: AbortSignal,
): Promise<void> {
  const problems: string[] = [];
  const startedAtMs = clock.monotonic();
  /** What is touched is free again, by what touches it. */
  const busy = new Map<Touched, Promise<void>>();

  async function strike(fault: Fault, { id, name, durationMs, seed }: Planned): Promise<void> {
    const from = now();
    const step = `${name} (#${id})`;
    let underWay: FaultUnderWay;
    try {
      underWay = await within(clock, STEP_MS_MAX, "it", fault.begin(fleet, seededRandom(seed)));
    } catch (error) {
      problems.push(`${step} was not begun: ${messageOf(error)}`);
      return;
    }
    const event: FaultEvent = { type: "fault", id, name, target: underWay.target, detail: underWay.detail ?? {}, from };
    onFault(event);
    await sleep(clock, durationMs, signal);
    let more = {};
    try {
      more = (await within(clock, STEP_MS_MAX, "it", underWay.end())) ?? {};
    } catch (error) {
      problems.push(`${step} was not undone: ${messageOf(error)}`);
    }
    onFault({ ...event, detail: { ...event.detail, ...more }, to: now() });
  }

  const running: Promise<void>[] = [];
  for (const planned of schedule) {
    const fault = faults.find(({ name }) => name === planned.name);
    if (!fault) throw new Error(`there is no fault ${planned.name}`);
    await sleep(clock, Math.max(0, startedAtMs + planned.atMs - clock.monotonic()), signal);
    if (signal.aborted) break;
    // One that took longer than planned is waited for by those that touch the same, and by nobody else.
    const before = fault.touches.flatMap((touched) => busy.get(touched) ?? []);
    const struck = Promise.all(before).then(() => (signal.aborted ? undefined : strike(fault, planned)));
    for (const touched of fault.touches) busy.set(touched, struck);
    running.push(struck);
  }
  await Promise.all(running);
  problems.push(...(await healAll(fleet)));
  if (problems.length > 0) throw new FaultFailure(problems);
}

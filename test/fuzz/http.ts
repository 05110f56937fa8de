import * as fc from "fast-check";
import { exchange, type Outcome } from "./exchange.ts";
import { aRequest, type FuzzedRequest } from "./requests.ts";
import type { Surface } from "./surfaces.ts";
import { wrongWith } from "./verdict.ts";

/** Nothing here takes longer on a machine that does other things as well, but for long polls. */
const ANSWERED_WITHIN_MS = 8000;
/** Of a request in a message. */
const SHOWN_CHARACTERS = 3000;
/** A counterexample is made smaller for so long: each step is one more request. */
const SHRINK_MS = 10_000;

export interface Finding {
  readonly surface: string;
  readonly what: string;
  /** The command that does it again. */
  readonly replay: string;
}

/** Sends `requests` requests, one after another, and tells the first that was answered wrongly, as small as it can be made. */
export async function fuzzSurface(
  surface: Surface,
  seed: number,
  requests: number,
  observe: (request: FuzzedRequest, outcome: Outcome) => void = () => undefined,
): Promise<readonly Finding[]> {
  const { target, verdict, templates, name, found } = surface;
  const request = aRequest({ templates, port: target.port, token: target.token, secrets: verdict.secrets });
  let stopAt = Infinity;
  let what = "";
  const property = fc.asyncProperty(request, async (one) => {
    if (performance.now() > stopAt) return;
    const outcome = await exchange(target.port, one.pieces, timeoutOf(one));
    observe(one, outcome);
    const wrong = wrongWith(one, outcome, verdict);
    if (wrong === undefined) return;
    stopAt = Math.min(stopAt, performance.now() + SHRINK_MS);
    what = `${wrong}\n${shown(one)}`;
    throw new Error(wrong);
  });
  const { failed } = await fc.check(property, { seed, numRuns: requests, examples: found.map((one) => [one]) });
  return failed ? [{ surface: name, what, replay: replayOf(seed, requests, name) }] : [];
}

export function replayOf(seed: number, cases: number, only: string): string {
  return `npm run fuzz -- --seed ${seed} --cases ${cases} --only ${only}`;
}

/** A stream, or a poll that waits, is given up soon. */
function timeoutOf({ target }: FuzzedRequest): number {
  return target.includes("watch") ? 300 : ANSWERED_WITHIN_MS;
}

function shown({ pieces }: FuzzedRequest): string {
  const text = Buffer.concat(pieces).toString("latin1");
  const cut = text.length > SHOWN_CHARACTERS ? `${text.slice(0, SHOWN_CHARACTERS)}… (${text.length} bytes)` : text;
  return JSON.stringify(cut);
}

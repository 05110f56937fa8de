import { readFileSync } from "node:fs";
import type { ServiceAnswer } from "../../contract/http.ts";
import { messageOf } from "../../kernel/errors.ts";
import { until } from "../support/until.ts";
import type { FuzzStack, Target } from "./stack.ts";
import { CANARY, SURFACE_NAMES } from "./surfaces.ts";

/** What bodies of a few hundred kilobytes and their like may leave behind before it is collected. */
const GROWTH_MB_MAX = 250;
/** Of pino: `error` and above are our own defects, and no request, value or key may be one. */
const LEVEL_ERROR = 50;

/** How the stack was before it was fuzzed. */
export interface Before {
  readonly memoryMb: ReadonlyMap<string, number>;
  /** What has been told of the logs is not told again. */
  readonly told: Set<string>;
}

/** Registers the canary, and waits until both resolvers answer it. */
export async function settle(stack: FuzzStack): Promise<Before> {
  const { registrar, resolver, worker } = stack;
  const response = await fetch(
    `http://127.0.0.1:${registrar.port}/v1/services/${CANARY.service}/instances/${CANARY.instance}`,
    {
      method: "PUT",
      headers: { authorization: `Bearer ${registrar.token}`, "content-type": "application/json" },
      body: JSON.stringify({ address: "127.0.0.1", port: CANARY.port, ttlSeconds: 3600, tags: ["a"] }),
    },
  );
  if (response.status !== 201) throw new Error(`the canary was not registered: ${response.status}`);
  for (const target of [resolver, worker]) {
    await until("the canary is answered", async () => (await canaryFault(target)) === undefined);
  }
  return { memoryMb: new Map(SURFACE_NAMES.map((name) => [name, memoryMb(stack[name].pid)])), told: new Set() };
}

/** What is not as it was: who is not healthy, what has grown, what a log tells of a defect or of a secret. */
export async function faultsOf(stack: FuzzStack, before: Before): Promise<readonly string[]> {
  const faults: string[] = [];
  for (const name of SURFACE_NAMES) {
    const target = stack[name];
    try {
      const response = await fetch(`http://127.0.0.1:${target.port}/readyz`, { signal: AbortSignal.timeout(8000) });
      if (!response.ok) faults.push(`${name} is not ready: ${response.status} ${await response.text()}`);
      const grownMb = memoryMb(target.pid) - (before.memoryMb.get(name) ?? 0);
      if (grownMb > GROWTH_MB_MAX) faults.push(`${name} has grown by ${Math.round(grownMb)} MB`);
    } catch (error) {
      faults.push(`${name} is gone or hangs: ${messageOf(error)}; ${target.log().slice(-2000)}`);
    }
    if (stack.secrets.some((secret) => target.log().includes(secret))) faults.push(`${name} has logged a secret`);
    const defects = defectsIn(target.log()).filter((line) => !before.told.has(line));
    for (const line of defects) before.told.add(line);
    faults.push(...defects.map((line) => `${name} has logged a defect: ${line.slice(0, 1000)}`));
  }
  for (const name of ["resolver", "worker"] as const) {
    const fault = await canaryFault(stack[name]);
    if (fault !== undefined) faults.push(`${name}: ${fault}`);
  }
  return faults;
}

/** What is wrong with a resolver's answer about the service that nothing has touched. */
export async function canaryFault({ port, token }: Target): Promise<string | undefined> {
  const response = await fetch(`http://127.0.0.1:${port}/v1/services/${CANARY.service}`, {
    headers: { authorization: `Bearer ${token}` },
    signal: AbortSignal.timeout(8000),
  });
  const text = await response.text();
  if (response.status !== 200) return `the canary was answered ${response.status}: ${text.slice(0, 300)}`;
  const { instances } = JSON.parse(text) as ServiceAnswer;
  const [first] = instances;
  const isRight = instances.length === 1 && first?.id === CANARY.instance && first.port === CANARY.port;
  return isRight ? undefined : `the canary's instances are ${JSON.stringify(instances).slice(0, 300)}`;
}

function defectsIn(log: string): readonly string[] {
  return log.split("\n").filter((line) => {
    const level = /"level":(\d+)/.exec(line)?.[1];
    return level !== undefined && Number(level) >= LEVEL_ERROR;
  });
}

function memoryMb(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1] ?? 0) / 1024;
}

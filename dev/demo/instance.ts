import { systemClock, sleep } from "../../kernel/clock.ts";
import { messageOf } from "../../kernel/errors.ts";
import { listen } from "../../node/listen.ts";
import { shutdownSignal } from "../../node/shutdown.ts";
import { createRegistration, type InstanceRegistration } from "./registration.ts";
import { AWAY_MS, DEMO_TTL_SECONDS, demoInstances, PRESENT_MS } from "./services.ts";

/** A process of `fingerpost dev`: one instance of a demo service, an HTTP server that keeps itself registered. */
const HEARTBEAT_MS = (DEMO_TTL_SECONDS * 1000) / 3;

async function run(): Promise<void> {
  const signal = shutdownSignal();
  const id = required("FINGERPOST_DEMO_ID");
  const instance = demoInstances.find((candidate) => candidate.id === id);
  if (!instance) throw new Error(`there is no demo instance "${id}"`);

  let registered = false;
  const listener = await listen({ host: "127.0.0.1", port: Number(required("FINGERPOST_DEMO_PORT")) }, (request) => {
    if (new URL(request.url).pathname === "/readyz") return new Response(null, { status: registered ? 200 : 503 });
    return Response.json({ service: instance.service, instance: id, pid: process.pid });
  });
  const registration = createRegistration({
    registrar: required("FINGERPOST_REGISTRAR_URL"),
    token: required("FINGERPOST_REGISTRAR_TOKEN"),
    instance,
    port: listener.port,
    pid: process.pid,
  });

  while (!signal.aborted) {
    registered = await attempt(() => registration.register());
    if (!registered) {
      await sleep(systemClock, HEARTBEAT_MS, signal);
      continue;
    }
    await stayPresent(registration, instance.comesAndGoes ? PRESENT_MS : Number.POSITIVE_INFINITY, signal);
    await attempt(() => registration.deregister());
    if (!signal.aborted) await sleep(systemClock, AWAY_MS, signal);
  }
  await listener.close();
}

async function stayPresent(registration: InstanceRegistration, forMs: number, signal: AbortSignal): Promise<void> {
  const end = systemClock.monotonic() + forMs;
  while (!signal.aborted && systemClock.monotonic() < end) {
    await sleep(systemClock, HEARTBEAT_MS, signal);
    if (!signal.aborted) await attempt(() => registration.heartbeat());
  }
}

/** Whether it went well. A registrar that is away is what a demo is there to show: said, and tried again. */
async function attempt(work: () => Promise<void>): Promise<boolean> {
  try {
    await work();
    return true;
  } catch (error) {
    console.error(messageOf(error));
    return false;
  }
}

function required(name: string): string {
  const value = process.env[name];
  if (value === undefined) throw new Error(`${name} is not set`);
  return value;
}

await run();

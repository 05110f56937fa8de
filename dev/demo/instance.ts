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

  let notReady: string | undefined = "It has not registered yet.";
  const listener = await listen({ host: "127.0.0.1", port: Number(required("FINGERPOST_DEMO_PORT")) }, (request) => {
    if (new URL(request.url).pathname === "/readyz") {
      return notReady === undefined ? new Response(null) : Response.json({ detail: notReady }, { status: 503 });
    }
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
    const failure = await attempt(() => registration.register());
    notReady = failure === undefined ? undefined : `It could not register: ${failure}`;
    if (failure !== undefined) {
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

/** What went wrong, if anything. A registrar that is away is what a demo is there to show: said, and tried again. */
async function attempt(work: () => Promise<void>): Promise<string | undefined> {
  try {
    await work();
    return undefined;
  } catch (error) {
    const failure = messageOf(error);
    console.error(failure);
    return failure;
  }
}

function required(name: string): string {
  const value = process.env[name];
  if (value === undefined) throw new Error(`${name} is not set`);
  return value;
}

await run();

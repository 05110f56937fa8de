import { openHttpConnection } from "../../support/http-connection.ts";
import { serveTask } from "../../support/task-process.ts";
import { instancePath, registrationBody } from "../../support/workload.ts";

export interface RegisterInput {
  /** Dealt out to these registrars in turn. */
  readonly urls: readonly string[];
  readonly connectionsPerUrl: number;
  readonly services: number;
  /** The first instance's number. */
  readonly from: number;
  /** Ends after so many instances, or so many milliseconds, whichever comes first. */
  readonly count: number;
  readonly durationMs: number;
}

export interface RegisterOutput {
  readonly acknowledged: number;
  readonly failed: number;
  readonly tookMs: number;
  readonly latenciesMs: readonly number[];
}

export interface Registrations extends Record<string, unknown> {
  readonly register: (input: RegisterInput) => Promise<RegisterOutput>;
}

/** Registers instances over HTTP as fast as it is answered, one at a time on each connection. */
async function register(input: RegisterInput): Promise<RegisterOutput> {
  const { urls, connectionsPerUrl, services, from, count, durationMs } = input;
  const latenciesMs: number[] = [];
  let next = 0;
  let failed = 0;
  const places = urls.flatMap((url) => Array.from({ length: connectionsPerUrl }, () => url));
  const connections = await Promise.all(places.map((url) => openHttpConnection(url)));
  const startedAt = performance.now();
  await Promise.all(
    connections.map(async (connection) => {
      while (next < count) {
        const sentAt = performance.now();
        if (sentAt - startedAt >= durationMs) return;
        const index = from + next++;
        const status = await connection.request("PUT", instancePath(index, services), registrationBody(index));
        if (status === 201) latenciesMs.push(performance.now() - sentAt);
        else failed++;
      }
    }),
  );
  const tookMs = performance.now() - startedAt;
  for (const connection of connections) connection.close();
  return { acknowledged: latenciesMs.length, failed, tookMs, latenciesMs };
}

serveTask({ register });

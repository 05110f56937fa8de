import { setTimeout as pause } from "node:timers/promises";
import type { ServiceAnswer } from "../../contract/http.ts";
import { systemClock } from "../../kernel/clock.ts";
import { systemRandom } from "../../kernel/random.ts";
import { createLog } from "../../node/log.ts";
import { runGateway } from "../../gateway/run.ts";
import { runResolver } from "../../src/node.ts";

/** Often enough to see what is there for a moment only, and the tests beside this one get to run. */
const READ_PAUSE_MS = 10;
const TOKEN = "a-token-for-tests-only";
const parts = { clock: systemClock, random: systemRandom, log: createLog("test", "silent") };

/** One answer of the resolver, in the order in which they came. */
export interface EdgeAnswer {
  readonly status: number;
  readonly service: string;
  readonly epoch: number;
  readonly revision: number;
  /** The status of each instance by its id. */
  readonly instances: ReadonlyMap<string, string>;
}

/** A gateway in front of a Redis and a resolver behind it, on real sockets. */
export interface Edge {
  lookup(service: string): Promise<EdgeAnswer>;
  close(): Promise<void>;
}

export async function startEdge(redisUrl: string, publicKeys: readonly string[] = []): Promise<Edge> {
  const closing = new AbortController();
  const listen = { host: "127.0.0.1", port: 0 };
  const gateway = await runGateway({ listen, token: TOKEN, redisUrl }, { ...parts, signal: closing.signal });
  const resolver = await runResolver(
    {
      listen,
      env: {
        UPSTASH_REDIS_REST_URL: gateway.url,
        UPSTASH_REDIS_REST_TOKEN: TOKEN,
        FINGERPOST_OPEN: "true",
        FINGERPOST_FRESH_MS: "100",
        FINGERPOST_SWR_MS: "200",
        ...(publicKeys.length > 0 ? { FINGERPOST_PUBLIC_KEYS: publicKeys.join() } : {}),
      },
    },
    parts,
  );
  return {
    async lookup(service) {
      const response = await fetch(`${resolver.url}/v1/services/${service}`);
      const answer = (await response.json()) as Partial<ServiceAnswer>;
      return {
        status: response.status,
        service,
        epoch: answer.epoch ?? 0,
        revision: answer.revision ?? 0,
        instances: new Map((answer.instances ?? []).map(({ id, status }) => [id, status])),
      };
    },
    async close() {
      await resolver.close();
      closing.abort();
      await gateway.close();
    },
  };
}

/** Reads services all the time until it is stopped, and holds what it was told against what is promised. */
export interface EdgeReader {
  readonly answers: readonly EdgeAnswer[];
  latest(service: string): EdgeAnswer | undefined;
  stop(): Promise<void>;
  /** What was wrong with any answer: failed, older than one before it, or what `fault` says. Empty when all is well. */
  faults(fault?: (answer: EdgeAnswer) => string | undefined): readonly string[];
}

export function readThroughout(edge: Edge, services: readonly string[]): EdgeReader {
  const answers: EdgeAnswer[] = [];
  const latest = new Map<string, EdgeAnswer>();
  const stopping = new AbortController();
  const reading = (async () => {
    while (!stopping.signal.aborted) {
      for (const service of services) {
        const answer = await edge.lookup(service);
        answers.push(answer);
        latest.set(service, answer);
      }
      await pause(READ_PAUSE_MS);
    }
  })();
  return {
    answers,
    latest: (service) => latest.get(service),
    async stop() {
      stopping.abort();
      await reading;
    },
    faults(fault = () => undefined) {
      const last = new Map<string, EdgeAnswer>();
      const found = answers.flatMap((answer) => {
        const before = last.get(answer.service);
        last.set(answer.service, answer);
        if (answer.status !== 200) return [`${answer.service} was answered ${answer.status}`];
        if (before && isOlder(answer, before)) return [`${describe(answer)} came after ${describe(before)}`];
        const told = fault(answer);
        return told === undefined ? [] : [`${describe(answer)}: ${told}`];
      });
      return [...new Set(found)];
    },
  };
}

function isOlder(a: EdgeAnswer, b: EdgeAnswer): boolean {
  return a.epoch < b.epoch || (a.epoch === b.epoch && a.revision < b.revision);
}

function describe({ service, epoch, revision }: EdgeAnswer): string {
  return `${service} of epoch ${epoch}, revision ${revision}`;
}

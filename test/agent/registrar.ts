import type { Registration } from "../../contract/registration.ts";
import { systemClock } from "../../kernel/clock.ts";
import type { Violation } from "../../kernel/errors.ts";
import { systemRandom } from "../../kernel/random.ts";
import { createLog } from "../../node/log.ts";
import type { AgentCounts } from "../../registrar/agent/agent.ts";
import type { HeldView } from "../../registrar/agent/held.ts";
import { createEtcd } from "../../registrar/etcd/etcd.ts";
import type { Etcd, KeyValue } from "../../registrar/etcd/port.ts";
import type { PublisherStatus } from "../../registrar/publisher/publisher.ts";
import { runRegistrar, type Registrar, type RegistrarConfig } from "../../registrar/run.ts";
import type { TestEtcd } from "../support/etcd.ts";

const dependencies = {
  clock: systemClock,
  random: systemRandom,
  log: createLog("test", "silent"),
  signal: new AbortController().signal,
};

/** A registrar on a free port, in the role of an agent unless told otherwise. */
export function startRegistrar(
  etcd: TestEtcd,
  config: Partial<RegistrarConfig> = {},
  signal: AbortSignal = dependencies.signal,
): Promise<Registrar> {
  return runRegistrar(
    {
      etcd: { endpoints: [etcd.endpoint], ...etcd.user },
      listen: { host: "127.0.0.1", port: 0 },
      role: "agent",
      namespace: "default",
      leaseTtlSeconds: 5,
      adopt: false,
      leave: false,
      ...config,
    },
    { ...dependencies, signal },
  );
}

/** An etcd client of its own, as root or as the registrar's user. */
export function connect(etcd: TestEtcd, user: "root" | "user", options: { readonly timeoutMs?: number } = {}): Etcd {
  return createEtcd({ endpoints: [etcd.endpoint], ...etcd[user], ...dependencies, ...options });
}

/** Everything below a prefix. */
export async function entriesBelow(etcd: Etcd, prefix: string): Promise<KeyValue[]> {
  const entries: KeyValue[] = [];
  for await (const page of etcd.list(prefix, dependencies.signal)) entries.push(...page.entries);
  return entries;
}

export interface Call {
  readonly method?: string;
  readonly path: string;
  readonly body?: unknown;
  /** Sent as it is, instead of `body` as JSON. */
  readonly raw?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

export interface Reply {
  readonly status: number;
  readonly headers: Headers;
  /** Parsed when it is JSON, and else as `text`. What is really in it, a test finds by looking. */
  readonly body: ReplyBody;
}

/** The fields that tests look into, whatever was asked. */
interface ReplyBody {
  readonly text: string;
  readonly namespace: string;
  readonly instance: Registration;
  readonly instances: readonly HeldView[];
  readonly next?: string;
  readonly agent: AgentCounts & { readonly name: string };
  readonly publisher: PublisherStatus;
  readonly etcd: { readonly unansweredSince?: string };
  readonly detail: string;
  readonly errors: readonly Violation[];
}

/** One request over a real socket. */
export async function send(base: string, { method = "GET", path, body, raw, headers = {} }: Call): Promise<Reply> {
  const text = raw ?? (body === undefined ? undefined : JSON.stringify(body));
  const response = await fetch(`${base}${path}`, {
    method,
    headers: { ...(text === undefined ? {} : { "content-type": "application/json" }), ...headers },
    ...(text === undefined ? {} : { body: text }),
  });
  const answer = await response.text();
  const isJson = /json/.test(response.headers.get("content-type") ?? "");
  const json: unknown = isJson ? JSON.parse(answer) : { text: answer };
  return { status: response.status, headers: response.headers, body: json as ReplyBody };
}

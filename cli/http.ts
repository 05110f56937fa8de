import type { Problem } from "../contract/problem.ts";
import { messageOf } from "../kernel/errors.ts";
import { tokenAdvice, tokenFor, type Target } from "./target.ts";

/** How long a command waits for an answer. */
const TIMEOUT_MS = 10_000;

export interface CallOptions {
  readonly method?: string;
  readonly body?: unknown;
}

/** Whom a command asks, and where that is. */
export interface Asked {
  readonly target: Target;
  readonly url: string;
}

/** A failed call, told as the server told it. */
export class CallError extends Error {
  override readonly name = "CallError";
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

/** Calls one of our HTTP APIs, with its token. Rejects with CallError (`status` 0 when nothing answered), which names what to mend. */
export async function call(asked: Asked, path: string, options: CallOptions = {}): Promise<unknown> {
  const url = new URL(path, asked.url);
  const token = tokenFor(asked.target);
  let response: Response;
  try {
    response = await fetch(url, {
      method: options.method ?? "GET",
      headers: {
        accept: "application/json",
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
        ...(options.body === undefined ? {} : { "content-type": "application/json" }),
      },
      ...(options.body === undefined ? {} : { body: JSON.stringify(options.body) }),
      redirect: "error",
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
  } catch (error) {
    throw new CallError(0, `${url.origin} did not answer: ${reasonOf(error)}`);
  }
  const text = await response.text();
  const json = isJson(response) ? (JSON.parse(text) as unknown) : undefined;
  if (response.ok) return json;
  throw new CallError(response.status, explain(response.status, json, asked));
}

function isJson(response: Response): boolean {
  return /^application\/(problem\+)?json\b/.test(response.headers.get("content-type") ?? "");
}

function explain(status: number, json: unknown, { target, url }: Asked): string {
  if (!isProblem(json)) return `${url} answered ${status}`;
  const rules = (json.errors ?? []).map(({ pointer, parameter, detail }) => {
    const place = parameter ?? pointer ?? "";
    return `\n  ${place === "" ? "the body" : place} ${detail}`;
  });
  const hint = status === 401 ? ` ${tokenAdvice(target)}` : "";
  return `${json.detail}${hint}${rules.join("")}`;
}

function isProblem(json: unknown): json is Problem {
  return typeof json === "object" && json !== null && "detail" in json && typeof json.detail === "string";
}

/** fetch says only "fetch failed"; the reason is in its cause. */
function reasonOf(error: unknown): string {
  const cause = error instanceof Error ? error.cause : undefined;
  if (cause instanceof Error && "code" in cause) return String(cause.code);
  return messageOf(error);
}

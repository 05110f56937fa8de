import { ERROR_CODES, problemStatus, PROBLEM_CONTENT_TYPE } from "../../contract/problem.ts";
import type { ErrorCode } from "../../kernel/errors.ts";
import type { Answer, Outcome } from "./exchange.ts";
import type { FuzzedRequest } from "./requests.ts";

/** What refuses a request before any of ours sees it, the HTTP of Node or of workerd. Their words are their own. */
const REFUSED_BY_HTTP = [400, 408, 413, 414, 417, 426, 431, 501, 505];

export interface VerdictOptions {
  /** How errors are told: as problems (RFC 9457), or in Upstash's way. */
  readonly errors: "problem" | "upstash";
  readonly secrets: readonly string[];
  /** Whether Node, and not workerd, reads the bytes. */
  readonly node: boolean;
}

/** What is wrong with how a request was answered; undefined when nothing is. */
export function wrongWith(request: FuzzedRequest, outcome: Outcome, options: VerdictOptions): string | undefined {
  if (outcome.type === "closed") return undefined;
  if (outcome.type === "hung") {
    // A long poll may wait for half a minute, and is not waited for.
    if (request.target.includes("watch")) return undefined;
    return `it was neither answered nor ended: ${outcome.received.slice(0, 200)}`;
  }
  for (const answer of outcome.answers) {
    const wrong = wrongAnswer(answer, options);
    if (wrong !== undefined) return `${answer.status}: ${wrong}; ${answer.body.slice(0, 300)}`;
  }
  return undefined;
}

function wrongAnswer({ status, headers, body, whole }: Answer, options: VerdictOptions): string | undefined {
  const text = `${[...headers].map((pair) => pair.join(": ")).join("\n")}\n${body}`;
  if (options.secrets.some((secret) => text.includes(secret))) return "it tells a secret";
  if (headers.has("x-injected")) return "a header was smuggled into it";
  const type = headers.get("content-type") ?? "";
  const isJson = /^application\/(?:[\w.-]+\+)?json\b/.test(type);
  // Our side has ended by then: workerd takes that for a caller who is gone, and stops in the middle of a large body.
  if (!whole && !options.node) return undefined;
  if (status >= 200 && status < 400) return isJson && body !== "" ? unreadable(body) : undefined;
  if (status < 400) return "it is no final answer";
  if (status === 503 && !headers.has("retry-after")) return "it has no Retry-After";
  if (REFUSED_BY_HTTP.includes(status) && !isJson) {
    return options.node && body !== "" ? "it is neither of ours nor of Node's" : undefined;
  }
  if (status >= 500 && status !== 503) return "it broke";
  // Of HEAD.
  if (body === "") return undefined;
  return options.errors === "upstash" ? wrongUpstashError(body) : wrongProblem(status, type, body);
}

function unreadable(body: string): string | undefined {
  try {
    JSON.parse(body);
    return undefined;
  } catch {
    return "it is not the JSON that it says it is";
  }
}

function wrongUpstashError(body: string): string | undefined {
  const wrong = unreadable(body);
  if (wrong !== undefined) return wrong;
  const { error } = JSON.parse(body) as { readonly error?: unknown };
  return typeof error === "string" ? undefined : "it has no error of Upstash's protocol";
}

function wrongProblem(status: number, type: string, body: string): string | undefined {
  if (type !== PROBLEM_CONTENT_TYPE) return `its type is ${JSON.stringify(type)}`;
  const wrong = unreadable(body);
  if (wrong !== undefined) return wrong;
  const problem = JSON.parse(body) as Readonly<Record<string, unknown>>;
  const code = problem["code"] as ErrorCode;
  if (!ERROR_CODES.includes(code) || problemStatus(code) !== status) return `its code is ${code}`;
  if (problem["status"] !== status) return `it says ${String(problem["status"])}`;
  if (problem["type"] !== `urn:fingerpost:problem:${code.replaceAll("_", "-")}`) return "its type is another's";
  return typeof problem["detail"] === "string" && problem["detail"] !== "" ? undefined : "it says nothing";
}

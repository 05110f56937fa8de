import type { ServiceAnswer, Source } from "../contract/http.ts";
import { ResolveError, type ResolveErrorCode } from "./errors.ts";
import type { Settings } from "./options.ts";

/** Characters of one answer: some tens of thousands of instances. More is no answer of a resolver. */
export const ANSWER_CHARACTERS_MAX = 16 * 1024 * 1024;
/** What a resolver may at most make its callers wait, whatever it says. */
const RETRY_AFTER_MS_MAX = 60_000;
const RETRY_AFTER_MS_DEFAULT = 1000;

/** What the resolver tells of every answer, also of one that has not changed. */
interface Told {
  readonly ageMs: number;
  readonly stale: boolean;
  readonly source: Source;
  readonly etag: string | undefined;
}

export type Heard = Told &
  (
    | { readonly type: "answer"; readonly answer: ServiceAnswer; readonly characters: number }
    /** What was asked about by its ETag still holds. */
    | { readonly type: "unchanged" }
  );

const SOURCES: readonly string[] = ["memory", "colo", "redis", "last-known-good"] satisfies Source[];

const CODES: Readonly<Record<number, ResolveErrorCode>> = {
  400: "invalid_argument",
  401: "unauthenticated",
  403: "permission_denied",
  404: "not_found",
  429: "rate_limited",
};

/** Asks the resolver once. Throws ResolveError; gives plain values only, which on Workers any request may use. */
export async function ask(settings: Settings, path: string, etag: string | undefined): Promise<Heard> {
  const { url, timeoutMs } = settings;
  const headers = headersFor(settings, "application/json");
  if (etag !== undefined) headers.set("If-None-Match", etag);
  const signal = AbortSignal.timeout(timeoutMs);
  try {
    // A resolver does not redirect, and a token is not carried to where it was not meant for.
    const response = await settings.fetch(url + path, { headers, signal, redirect: "manual" });
    if (response.status === 304 && etag !== undefined) return { ...toldBy(response, etag), type: "unchanged" };
    const text = await readText(response);
    if (response.status !== 200) throw refusalOf(response, text);
    const answer = parseAnswer(text, path);
    return { ...toldBy(response, undefined), type: "answer", answer, characters: text.length };
  } catch (error) {
    if (error instanceof ResolveError) throw error;
    if (signal.aborted) {
      throw new ResolveError("timeout", `The resolver did not answer within ${timeoutMs} ms.`, { cause: error });
    }
    throw new ResolveError("unavailable", "The resolver could not be reached.", { cause: error });
  }
}

export function headersFor({ token }: Settings, accept: string): Headers {
  const headers = new Headers({ Accept: accept });
  if (token !== undefined) headers.set("Authorization", `Bearer ${token}`);
  return headers;
}

function toldBy({ headers }: Response, etag: string | undefined): Told {
  const source = headers.get("Fingerpost-Source") ?? "";
  return {
    ageMs: wholeNumber(headers.get("Fingerpost-Age-Ms")) ?? 0,
    stale: headers.get("Fingerpost-Stale") === "true",
    source: SOURCES.includes(source) ? (source as Source) : "memory",
    etag: headers.get("ETag") ?? etag,
  };
}

export function refusalOf({ status, headers }: Response, text: string): ResolveError {
  const code = CODES[status] ?? "unavailable";
  const retryAfterSeconds = wholeNumber(headers.get("Retry-After"));
  const retryAfterMs =
    retryAfterSeconds === undefined
      ? code === "rate_limited"
        ? RETRY_AFTER_MS_DEFAULT
        : undefined
      : Math.min(retryAfterSeconds * 1000, RETRY_AFTER_MS_MAX);
  const detail = detailOf(text) ?? `The resolver answered ${status}.`;
  return new ResolveError(code, detail, { retryAfterMs });
}

/** The sentence of a problem document (RFC 9457), if the body is one. */
function detailOf(text: string): string | undefined {
  try {
    const problem: unknown = JSON.parse(text);
    if (isObject(problem) && typeof problem["detail"] === "string") return problem["detail"].slice(0, 500);
  } catch {
    // Whoever answered, a proxy perhaps, did not write a problem document: the status has to say it all.
  }
  return undefined;
}

export function parseAnswer(text: string, path: string): ServiceAnswer {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw new ResolveError("unavailable", "The resolver's answer is not JSON.", { cause });
  }
  if (!isAnswer(json) || !path.split("?")[0]?.endsWith(`/${json.namespace}/services/${json.service}`)) {
    throw new ResolveError("unavailable", "The resolver's answer is not of the service that was asked for.");
  }
  return json;
}

/** As much as the client itself relies on; a newer resolver may say more. */
function isAnswer(json: unknown): json is ServiceAnswer {
  if (!isObject(json) || !Number.isSafeInteger(json["epoch"]) || !Number.isSafeInteger(json["revision"])) return false;
  const instances = json["instances"];
  return Array.isArray(instances) && instances.every(isInstance);
}

function isInstance(json: unknown): boolean {
  return (
    isObject(json) &&
    typeof json["id"] === "string" &&
    typeof json["address"] === "string" &&
    typeof json["port"] === "number" &&
    typeof json["protocol"] === "string" &&
    typeof json["weight"] === "number" &&
    (json["url"] === undefined || typeof json["url"] === "string")
  );
}

export async function readText(response: Response): Promise<string> {
  if (!response.body) return "";
  const reader = response.body.getReader();
  const decoder = new TextDecoder();
  let text = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return text + decoder.decode();
    text += decoder.decode(value, { stream: true });
    if (text.length > ANSWER_CHARACTERS_MAX) {
      await reader.cancel();
      throw new ResolveError("unavailable", "The resolver's answer is too large.");
    }
  }
}

function wholeNumber(text: string | null): number | undefined {
  return text !== null && /^\d{1,15}$/.test(text) ? Number(text) : undefined;
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}

import { ResolveError } from "./errors.ts";
import { isName } from "./request.ts";

export type Fetch = (input: string, init?: RequestInit) => Promise<Response>;

export interface ClientOptions {
  /** The resolver's address, such as `https://discovery.example.com`; a path in it is kept. */
  readonly url: string;
  /** The bearer token for the resolver. It goes to the resolver only, never to a service. */
  readonly token?: string;
  /** Default `default`. */
  readonly namespace?: string;
  /** Used for lookups and for services; default the global one. On Workers a service binding's `fetch` also works. */
  readonly fetch?: Fetch;
  /**
   * How long an answer is used without asking again, milliseconds; default 1000, 0 asks every time. Higher: fewer
   * requests, and changes are seen later.
   */
  readonly freshMs?: number;
  /** What one request to the resolver may take, milliseconds; default 2000. It is waited for when nothing is held. */
  readonly timeoutMs?: number;
  /**
   * How long a call that holds an older answer waits for a newer one before it returns the older, marked; milliseconds,
   * default 500, at most `timeoutMs`. Too low: a slow moment gives stale answers. Too high: so does an outage, later.
   */
  readonly budgetMs?: number;
  /** Answers held at most, default 500 (and 32 MiB); the least recently used go first. Each set of filters counts. */
  readonly entriesMax?: number;
  /**
   * Keeps a request to the resolver alive when the request it belongs to has ended. On Workers pass the `waitUntil` of
   * `cloudflare:workers`: without it calls of different requests are not combined there, since the end of one would
   * leave the others waiting. Elsewhere it is not needed.
   */
  readonly waitUntil?: (work: Promise<unknown>) => void;
  /** Milliseconds that never go back; default `performance.now`. */
  readonly now?: () => number;
  /** A number in [0, 1); default `Math.random`. */
  readonly random?: () => number;
}

export interface Settings extends Required<Omit<ClientOptions, "token" | "waitUntil">> {
  readonly token: string | undefined;
  readonly waitUntil: (work: Promise<unknown>) => void;
  /** Whether calls may wait for a request that another call has made. */
  readonly sharing: boolean;
}

/** Fills in the defaults. Throws `invalid_argument` with every broken rule. */
export function readOptions(options: Partial<ClientOptions> = {}): Settings {
  const timeoutMs = options.timeoutMs ?? 2000;
  const settings: Settings = {
    // Whoever writes no types may have a variable here that is not set.
    url: typeof options.url === "string" ? options.url.replace(/\/+$/, "") : "",
    token: options.token,
    namespace: options.namespace ?? "default",
    fetch: options.fetch ?? ((input, init) => globalThis.fetch(input, init)),
    freshMs: options.freshMs ?? 1000,
    timeoutMs,
    budgetMs: options.budgetMs ?? Math.min(500, timeoutMs),
    entriesMax: options.entriesMax ?? 500,
    waitUntil: options.waitUntil ?? ignore,
    now: options.now ?? (() => performance.now()),
    random: options.random ?? (() => Math.random()),
    sharing: options.waitUntil !== undefined || !promisesBelongToRequests(),
  };
  const broken = [
    isResolverUrl(settings.url) ? undefined : "url must be http or https, without user name, query or fragment",
    settings.token === "" ? "token must not be empty" : undefined,
    isName(settings.namespace) ? undefined : "namespace is not a name",
    settings.freshMs >= 0 ? undefined : "freshMs must not be negative",
    timeoutMs > 0 ? undefined : "timeoutMs must be above 0",
    settings.budgetMs > 0 && settings.budgetMs <= timeoutMs ? undefined : "budgetMs must be above 0, up to timeoutMs",
    settings.entriesMax >= 1 ? undefined : "entriesMax must be at least 1",
  ].filter((rule) => rule !== undefined);
  if (broken.length > 0) throw new ResolveError("invalid_argument", `The client's options: ${broken.join("; ")}.`);
  return settings;
}

function isResolverUrl(text: string): boolean {
  if (!URL.canParse(text)) return false;
  const url = new URL(text);
  const plain = url.username === "" && url.password === "" && url.search === "" && url.hash === "";
  return (url.protocol === "http:" || url.protocol === "https:") && plain;
}

/** On Workers a promise ends, without settling, with the request that made it. */
function promisesBelongToRequests(): boolean {
  return globalThis.navigator?.userAgent === "Cloudflare-Workers";
}

function ignore(): void {}

import type { ServiceAnswer } from "../contract/http.ts";
import { WATCH_EVENTS, type WatchStatus } from "../contract/watch.ts";
import { ANSWER_CHARACTERS_MAX, headersFor, isObject, parseAnswer, readText, refusalOf } from "./ask.ts";
import { ResolveError, type ResolveErrorCode } from "./errors.ts";
import { createEventBlocks, type EventBlock } from "./event-blocks.ts";
import { isOlder } from "./lookup.ts";
import type { Settings } from "./options.ts";

/** What is known of a watched service. `stale`: it may be out of date, by the resolver's word or for want of one. */
export type Watched =
  | ({ readonly type: "found"; readonly stale: boolean } & ServiceAnswer)
  | { readonly type: "unknown"; readonly stale: boolean };

/** Silence after which a connection counts as broken: the resolver sends something every 15 seconds. */
const SILENCE_MS_MAX = 45_000;
/** Between a failure and the next try: doubles up to the cap, drawn from its upper half. */
const PAUSE_BASE_MS = 500;
const PAUSE_CAP_MS = 30_000;
/** What a resolver may at most ask for between two connections. */
const RETRY_MS_MAX = 60_000;

/** Refusals that another try would meet again. Everything else is an interruption. */
const FINAL: readonly ResolveErrorCode[] = ["invalid_argument", "unauthenticated", "permission_denied", "not_found"];

/**
 * The states of a service, each when it changes, for as long as they are asked for. A caller that is slow gets the
 * latest. Interruptions are mended without a word but `stale`. Throws ResolveError only for what trying again does not
 * mend; ends when `signal` aborts.
 */
export async function* watchPath(
  settings: Settings,
  path: string,
  signal: AbortSignal | undefined,
): AsyncGenerator<Watched, void, void> {
  const view = createView(path);
  let failures = 0;
  for (;;) {
    if (signal?.aborted) return;
    let pauseMs: number;
    try {
      for await (const blocks of connect(settings, path, view.lastEventId(), signal)) {
        failures = 0;
        const seen = view.take(blocks);
        if (seen) yield seen;
      }
      pauseMs = view.retryMs();
    } catch (error) {
      if (signal?.aborted) return;
      if (!(error instanceof ResolveError) || FINAL.includes(error.code)) throw error;
      const seen = view.interrupted();
      if (seen) yield seen;
      const backoffMs = Math.min(PAUSE_BASE_MS * 2 ** failures, PAUSE_CAP_MS) * (0.5 + settings.random() / 2);
      pauseMs = Math.max(backoffMs, error.retryAfterMs ?? 0);
      failures++;
    }
    await pause(pauseMs, signal);
  }
}

interface View {
  /** Gives the state that the blocks lead to, if it is another. */
  take(blocks: readonly EventBlock[]): Watched | undefined;
  interrupted(): Watched | undefined;
  lastEventId(): string | undefined;
  retryMs(): number;
}

function createView(path: string): View {
  let latest: Watched | undefined;
  let newest: ServiceAnswer | undefined;
  let lastEventId: string | undefined;
  let retryMs = PAUSE_BASE_MS;
  let stale = false;

  function takeOne({ event, data, id, retryMs: asked }: EventBlock): void {
    if (asked !== undefined) {
      retryMs = Math.min(asked, RETRY_MS_MAX);
      // A connection begins with it, and what follows is up to date unless it says otherwise.
      stale = false;
    }
    if (event === WATCH_EVENTS.status && data !== undefined) stale = isStale(data);
    else if (event === WATCH_EVENTS.unknown) {
      latest = { type: "unknown", stale };
      lastEventId = undefined;
    } else if (event === WATCH_EVENTS.service && data !== undefined) {
      const answer = parseAnswer(data, path);
      // Data centres lag: after a reconnection one may know less than the last one did.
      if (newest && isOlder(answer, newest)) return;
      newest = answer;
      latest = { type: "found", stale, ...answer };
    }
    if (id !== undefined && event !== WATCH_EVENTS.unknown) lastEventId = id;
  }

  return {
    take(blocks) {
      const before = latest;
      for (const block of blocks) takeOne(block);
      // The first block alone does not tell yet whether what is held is up to date.
      const settled = blocks.some(({ retryMs: asked }) => asked === undefined);
      if (latest && settled && latest.stale !== stale) latest = { ...latest, stale };
      const repeated = latest?.type === "unknown" && before?.type === "unknown" && latest.stale === before.stale;
      return latest === before || repeated ? undefined : latest;
    },
    interrupted() {
      if (!latest || latest.stale) return undefined;
      latest = { ...latest, stale: true };
      return latest;
    },
    lastEventId: () => lastEventId,
    retryMs: () => retryMs,
  };
}

/** One connection: what each of its parts completed. Ends with it; throws ResolveError when it breaks. */
async function* connect(
  settings: Settings,
  path: string,
  lastEventId: string | undefined,
  signal: AbortSignal | undefined,
): AsyncGenerator<readonly EventBlock[], void, void> {
  const connection = new AbortController();
  const abort = () => connection.abort();
  signal?.addEventListener("abort", abort, { once: true });
  /** Counts only while something is waited for: a caller may take its time. */
  const inTime = async <T>(ms: number, promise: Promise<T>): Promise<T> => {
    const timer = setTimeout(abort, ms);
    try {
      return await promise;
    } finally {
      clearTimeout(timer);
    }
  };
  try {
    const headers = headersFor(settings, "text/event-stream");
    if (lastEventId !== undefined) headers.set("Last-Event-ID", lastEventId);
    const [name = "", query] = path.split("?");
    const url = `${settings.url}${name}/watch${query === undefined ? "" : `?${query}`}`;
    const opened = settings.fetch(url, { headers, signal: connection.signal, redirect: "manual" });
    const response = await inTime(settings.timeoutMs, opened);
    const { status, body } = response;
    if (status !== 200) throw refusalOf(response, await inTime(settings.timeoutMs, readText(response)));
    if (!body || !response.headers.get("content-type")?.startsWith("text/event-stream")) {
      throw new ResolveError("unavailable", "The resolver's answer is not an event stream.");
    }
    const reader = body.getReader();
    const decoder = new TextDecoder();
    const events = createEventBlocks();
    for (;;) {
      const { done, value } = await inTime(SILENCE_MS_MAX, reader.read());
      if (done) return;
      const blocks = events.push(decoder.decode(value, { stream: true }));
      if (events.pending > ANSWER_CHARACTERS_MAX) {
        throw new ResolveError("unavailable", "The resolver's event is too large.");
      }
      if (blocks.length > 0) yield blocks;
    }
  } catch (cause) {
    if (cause instanceof ResolveError) throw cause;
    throw new ResolveError("unavailable", "The connection to the resolver broke.", { cause });
  } finally {
    signal?.removeEventListener("abort", abort);
    abort();
  }
}

function isStale(data: string): boolean {
  try {
    const status: unknown = JSON.parse(data);
    return isObject(status) && (status as Partial<WatchStatus>).stale === true;
  } catch (cause) {
    throw new ResolveError("unavailable", "The resolver's status is not JSON.", { cause });
  }
}

/** Also ends when `signal` aborts. */
function pause(ms: number, signal: AbortSignal | undefined): Promise<void> {
  if (signal?.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal?.addEventListener("abort", done, { once: true });
  });
}

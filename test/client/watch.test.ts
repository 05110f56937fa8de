import type { ServerResponse } from "node:http";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { createClient, type ClientOptions, type Watched } from "../../client/index.ts";
import type { ServiceAnswer } from "../../contract/http.ts";
import { instance } from "../support/instance.ts";
import { until } from "../support/until.ts";
import { answerOf, cutting, playResolver, refusing, silent, type PlayedResolver } from "./resolver.ts";

let resolver: PlayedResolver;
/** The connections that are open, the latest last. */
let open: ServerResponse[];
let leave: AbortController;

beforeEach(async () => {
  resolver = await playResolver();
  open = [];
  leave = new AbortController();
  resolver.play((_request, response) => {
    open.push(response);
    response.writeHead(200, { "Content-Type": "text/event-stream" }).write("retry: 1\n\n");
  });
});
afterEach(async () => {
  vi.useRealTimers();
  leave.abort();
  await resolver.close();
});

const web = (id: string, revision: number, epoch = 1) => answerOf("web", [instance(id)], { revision, epoch });
const serviceEvent = (answer: ServiceAnswer) =>
  `id: ${answer.revision}\nevent: service\ndata: ${JSON.stringify(answer)}\n\n`;
const status = (stale: boolean) => `event: status\ndata: {"stale":${stale},"ageMs":1}\n\n`;
const UNKNOWN = 'event: unknown\ndata: {"status":404}\n\n';

interface Watching {
  readonly seen: readonly Watched[];
  /** Each state as its instance and whether it is stale. */
  readonly told: () => string[];
  /** What ended the loop. */
  readonly ended: Promise<unknown>;
}

function watch(options: Partial<ClientOptions> = {}): Watching {
  const client = createClient({ url: resolver.url, token: "resolver-token", random: () => 0, ...options });
  const seen: Watched[] = [];
  const run = async () => {
    for await (const one of client.watch("web", { signal: leave.signal, tags: ["a"] })) seen.push(one);
  };
  const told = () =>
    seen.map((one) => `${one.type === "found" ? one.instances[0]?.id : one.type}${one.stale ? ", stale" : ""}`);
  return { seen, told, ended: run().catch((error: unknown) => error) };
}

async function connection(count: number): Promise<ServerResponse> {
  return await until(`connection ${count}`, () => open[count - 1]);
}

describe("a watch", () => {
  test("gives each state as the resolver sends it, also when that comes in pieces", async () => {
    const { seen, told, ended } = watch();
    const response = await connection(1);
    response.write(serviceEvent(web("a", 7)));
    await until("the first", () => seen.length === 1);
    expect(seen[0]).toEqual({ type: "found", stale: false, ...web("a", 7) });
    const event = serviceEvent(web("b", 8));
    response.write(event.slice(0, 60));
    response.write(event.slice(60));
    await until("the second", () => seen.length === 2);
    response.write(UNKNOWN);
    await until("its end", () => seen.length === 3);
    response.write(serviceEvent(web("c", 9)));
    await until("its return", () => seen.length === 4);
    expect(told()).toEqual(["a", "b", "unknown", "c"]);
    expect(resolver.seen).toMatchObject([
      {
        path: "/v1/namespaces/default/services/web/watch?tag=a",
        headers: { accept: "text/event-stream", authorization: "Bearer resolver-token" },
      },
    ]);
    leave.abort();
    expect(await ended).toBeUndefined();
    await until("the connection is closed", () => response.destroyed);
  });

  test("says once that what it has may be out of date, and once that it no longer is", async () => {
    const { seen, told } = watch();
    const response = await connection(1);
    response.write(status(true) + serviceEvent(web("a", 7)));
    await until("the first", () => seen.length === 1);
    response.write(status(false));
    await until("the second", () => seen.length === 2);
    expect(told()).toEqual(["a, stale", "a"]);
  });

  test("goes on where it was after the resolver has ended the stream, and repeats nothing", async () => {
    const { seen, told } = watch();
    const response = await connection(1);
    response.write(serviceEvent(web("a", 7)) + "id: 8\n:\n\n");
    await until("the first", () => seen.length === 1);
    response.end("retry: 1\n\n");
    const second = await connection(2);
    expect(resolver.seen[1]?.headers["last-event-id"]).toBe("8");
    second.write(`:\n\n${serviceEvent(web("b", 9))}`);
    await until("the change", () => seen.length === 2);
    expect(told()).toEqual(["a", "b"]);
  });

  test("is stale while the connection is broken, whatever breaks it, and up to date again with the next one", async () => {
    const { seen, told } = watch();
    (await connection(1)).write(serviceEvent(web("a", 7)));
    await until("the first", () => seen.length === 1);
    const play = (response: ServerResponse) => {
      open.push(response);
      response.writeHead(200, { "Content-Type": "text/event-stream" }).write("retry: 1\n\n:\n\n");
    };
    const breakIt = [cutting, refusing(503, { "Retry-After": "0" }), refusing(429, { "Retry-After": "0" })];
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    resolver.play((request, response) => {
      const next = breakIt.shift();
      if (next) return next(request, response);
      play(response);
    });
    open[0]?.socket?.resetAndDestroy();
    await until("it is mended", async () => {
      await vi.advanceTimersByTimeAsync(1000);
      return seen.length === 3;
    });
    expect(told()).toEqual(["a", "a, stale", "a"]);
    expect(resolver.seen).toHaveLength(5);
  });

  test("takes silence for a broken connection", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    const { seen, told } = watch();
    (await connection(1)).write(serviceEvent(web("a", 7)));
    await until("the first", () => seen.length === 1);
    await vi.advanceTimersByTimeAsync(44_000);
    expect(told()).toEqual(["a"]);
    await vi.advanceTimersByTimeAsync(2000);
    await until("it is stale", () => seen.length === 2);
    resolver.play(silent);
    await until("it tries again, and again", async () => {
      await vi.advanceTimersByTimeAsync(3000);
      return resolver.seen.length >= 3;
    });
    expect(told()).toEqual(["a", "a, stale"]);
  });

  test("never goes back to an older state, which another data centre may still have", async () => {
    const { seen, told } = watch();
    const response = await connection(1);
    response.write(serviceEvent(web("a", 7, 2)));
    await until("the first", () => seen.length === 1);
    // Something else to tell comes with each: what is told then is not what merely came last.
    response.write(serviceEvent(web("old", 6, 2)) + status(true));
    await until("the second", () => seen.length === 2);
    response.write(serviceEvent(web("older", 9, 1)) + status(false));
    await until("the third", () => seen.length === 3);
    response.write(serviceEvent(web("b", 8, 2)));
    await until("the newest", () => seen.length === 4);
    expect(told()).toEqual(["a", "a, stale", "a", "b"]);
  });

  test("comes back no sooner than the resolver asks", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    let asked = 0;
    const fetch = () => {
      asked++;
      return Promise.resolve(new Response(null, { status: 503, headers: { "Retry-After": "7" } }));
    };
    watch({ fetch });
    await vi.advanceTimersByTimeAsync(6900);
    expect(asked).toBe(1);
    await vi.advanceTimersByTimeAsync(200);
    expect(asked).toBe(2);
  });

  test("gives a caller that took its time the latest", async () => {
    const client = createClient({ url: resolver.url });
    const states = client.watch("web")[Symbol.asyncIterator]();
    const first = states.next();
    const response = await connection(1);
    response.write(serviceEvent(web("a", 1)));
    expect((await first).value).toMatchObject({ revision: 1 });
    const written = Array.from({ length: 50 }, (_, index) => serviceEvent(web("b", index + 2))).join("");
    await new Promise((resolve) => response.write(written, resolve));
    const revisions: number[] = [];
    while (revisions.at(-1) !== 51) {
      const { value } = await states.next();
      revisions.push((value as ServiceAnswer).revision);
    }
    expect(revisions.length).toBeLessThan(10);
    await states.return?.();
    await until("the connection is closed", () => response.destroyed);
  });

  test.each([
    [400, "invalid_argument"],
    [401, "unauthenticated"],
    [403, "permission_denied"],
    [404, "not_found"],
  ])("ends with what another try would not mend: %i", async (code, expected) => {
    resolver.play(refusing(code));
    const { ended } = watch();
    expect(await ended).toMatchObject({ name: "ResolveError", code: expected });
    expect(resolver.seen).toHaveLength(1);
  });

  test("of what is not a name is refused before anything is asked", () => {
    expect(() => createClient({ url: resolver.url }).watch("../head")).toThrow(
      expect.objectContaining({ code: "invalid_argument" }),
    );
    expect(resolver.seen).toHaveLength(0);
  });

  test.each([
    ["is no event stream", (response: ServerResponse) => response.writeHead(200).end("<html>")],
    [
      "is of another service",
      (response: ServerResponse) =>
        response
          .writeHead(200, { "Content-Type": "text/event-stream" })
          .end(`event: service\ndata: ${JSON.stringify(answerOf("api", []))}\n\n`),
    ],
  ])("does not take what %s", async (_, play) => {
    const answered = resolver.seen;
    resolver.play((_request, response) => void play(response));
    const { seen } = watch();
    await until("it tries again", () => answered.length === 2);
    expect(seen).toEqual([]);
  });
});

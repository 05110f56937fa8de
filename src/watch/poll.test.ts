import { beforeEach, expect, it } from "vitest";
import type { ServiceAnswer } from "../../contract/http.ts";
import type { Problem } from "../../contract/problem.ts";
import { sha256 } from "../../kernel/secret.ts";
import { createFixture, type Fixture } from "../../test/resolver/fixture.ts";
import { instance } from "../../test/support/instance.ts";

let fixture: Fixture;

beforeEach(async () => {
  fixture = await filled();
});

async function filled(options: Parameters<typeof createFixture>[0] = {}): Promise<Fixture> {
  const made = createFixture(options);
  made.publisher.services.set("web", [instance("web-1", { tags: ["blue"] })]);
  made.publisher.services.set("api", [instance("api-1")]);
  await made.publisher.fill();
  return made;
}

interface Poll {
  response?: Response;
  ids?: string;
}

/** Begins a long poll and lets it get as far as it can without time passing. */
async function begin(query: string, headers: Record<string, string> = {}, made = fixture): Promise<Poll> {
  const poll: Poll = {};
  void made.get(`/v1/services/${query}`, headers).then(async (response) => {
    poll.response = response;
    if (response.status === 200) {
      poll.ids = ((await response.json()) as ServiceAnswer).instances.map(({ id }) => id).join();
    }
  });
  await made.clock.advance(0);
  return poll;
}

it("a long poll that is behind is answered at once, as is one that says no revision", async () => {
  expect((await begin("web/watch?revision=10")).ids).toBe("web-1");
  expect((await begin("web/watch?wait=30s")).ids).toBe("web-1");
  expect((await begin("web/watch", { accept: "application/json" })).ids).toBe("web-1");
  expect((await begin("web/watch?revision=10&tag=green")).ids).toBe("");
});

it("a long poll that is not behind is answered when its service changes, and by no change of another", async () => {
  const poll = await begin("web/watch?revision=11");
  for (let change = 2; change < 8; change++) {
    await fixture.publisher.put("api", [instance(`api-${change}`)]);
    await fixture.clock.advance(2000);
  }
  expect(poll.response).toBeUndefined();
  await fixture.publisher.put("web", [instance("web-2")]);
  await fixture.clock.advance(1500);
  expect(poll.ids).toBe("web-2");
  expect(poll.response?.headers.get("fingerpost-revision")).toBe("18");
});

it.each([
  ["", 30_000],
  ["&wait=2s", 2000],
  ["&wait=2500ms", 2500],
  ["&wait=60", 60_000],
  ["&wait=0", 0],
])("a long poll with ?revision=…%s is answered with the same within that time, and hardly sooner", async (wait, ms) => {
  const poll = await begin(`web/watch?revision=11${wait}`);
  await fixture.clock.advance(ms * 0.93);
  expect(poll.response === undefined).toBe(ms > 0);
  await fixture.clock.advance(ms * 0.07);
  expect(poll.ids).toBe("web-1");
});

it("a long poll that ran out is 304 to whoever named the tag", async () => {
  const etag = (await fixture.get("/v1/services/web")).headers.get("etag") ?? "";
  const poll = await begin("web/watch?revision=11&wait=1s", { "if-none-match": etag });
  await fixture.clock.advance(1000);
  expect(poll.response?.status).toBe(304);
});

it("a long poll from revision 0 waits for a service to appear; from any other the end of the service is its answer", async () => {
  const poll = await begin("late/watch?revision=0");
  expect((await begin("late/watch?revision=7")).response?.status).toBe(404);
  expect((await begin("late/watch?wait=5s")).response?.status).toBe(404);
  expect(poll.response).toBeUndefined();
  await fixture.publisher.put("late", [instance("late-1")]);
  await fixture.clock.advance(2500);
  expect(poll.ids).toBe("late-1");
  const never = await begin("never/watch?revision=0&wait=2s");
  await fixture.clock.advance(2000);
  expect(never.response?.status).toBe(404);
});

it("a long poll while Redis is down ends with what was last known, marked", async () => {
  const poll = await begin("web/watch?revision=11&wait=20s");
  fixture.store.failing = true;
  await fixture.clock.advance(20_000);
  expect(poll.ids).toBe("web-1");
  expect(poll.response?.headers.get("fingerpost-stale")).toBe("true");
});

it("long polls and streams share the seats, and who is answered at once needs none", async () => {
  const one = await filled({ watchersMax: 1 });
  const poll = await begin("web/watch?revision=11", {}, one);
  expect((await begin("web/watch?revision=11", {}, one)).response?.status).toBe(503);
  expect((await begin("web/watch", {}, one)).response?.status).toBe(503);
  expect((await begin("web/watch?revision=10", {}, one)).ids).toBe("web-1");
  await one.clock.advance(20_000);
  expect((await begin("web/watch", {}, one)).response?.status).toBe(503);
  await one.clock.advance(10_000);
  expect(poll.ids).toBe("web-1");
  const next = await begin("web/watch?revision=11", {}, one);
  one.resolver.endWatches();
  await one.clock.advance(1300);
  expect(next.ids).toBe("web-1");
});

it("seats are counted for each caller: one key cannot take those of another", async () => {
  const keys = await Promise.all(["greedy", "other"].map(async (name) => ({ name, digest: await sha256(name) })));
  const four = await filled({ watchersMax: 4, access: { type: "keys", keys } });
  const status = async (key: string) =>
    (await four.get("/v1/services/web/watch", { authorization: `Bearer ${key}` })).status;
  const statuses = [];
  for (const key of ["greedy", "greedy", "greedy", "greedy", "other"]) statuses.push(await status(key));
  expect(statuses).toEqual([200, 200, 200, 503, 200]);
});

it("a long poll whose caller has gone ends, where the platform tells", async () => {
  const one = await filled({ watchersMax: 1 });
  const caller = new AbortController();
  const request = new Request("http://resolver/v1/services/web/watch?revision=11&wait=60s", { signal: caller.signal });
  const answered = Promise.resolve(one.resolver.fetch(request));
  await one.clock.advance(5000);
  expect((await one.get("/v1/services/web/watch")).status).toBe(503);
  caller.abort();
  await answered;
  expect((await one.get("/v1/services/web/watch")).status).toBe(200);
});

it.each([
  ["revision=-1", "", "revision"],
  ["revision=1.5", "", "revision"],
  ["wait=61s", "", "wait"],
  ["wait=1h", "", "wait"],
  ["wait=", "", "wait"],
  ["color=red", "", "color"],
  ["wait=5s", "text/event-stream", "wait"],
])("?%s with Accept: %s is refused by name", async (query, accept, parameter) => {
  const response = await fixture.get(`/v1/services/web/watch?${query}`, accept === "" ? {} : { accept });
  expect(response.status).toBe(400);
  expect(((await response.json()) as Problem).errors?.map((error) => error.parameter)).toEqual([parameter]);
});

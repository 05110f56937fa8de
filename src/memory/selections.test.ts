import { expect, it } from "vitest";
import type { Instance } from "../../contract/snapshot.ts";
import { instance } from "../../test/support/instance.ts";
import { createHeld, type Held } from "./held.ts";
import { createPlaces } from "./near.ts";
import { filtersOf, OPERATIONS } from "../http/operations.ts";
import { readQuery } from "../http/query.ts";
import { createQuestion } from "../http/question.ts";
import { createSelections } from "./selections.ts";

const MIB = 1024 * 1024;
const SOME = ["a", "b"].map((id) =>
  instance(id, { tags: ["blue", "big"], zone: `${id}-1`, metadata: { x: "1", y: "2" } }),
);

/** A snapshot that counts how often a body was made of it. */
function held(service: string, revision: number, instances: readonly Instance[] = SOME, epoch = 1) {
  const publishedAt = "2026-11-21T04:30:00.125Z";
  const snapshot = { namespace: "default", service, epoch, revision, etcdRevision: 1, publishedAt, instances };
  const made = createHeld(snapshot, 1000);
  const counted = {
    ...made,
    bodies: 0,
    body(these: readonly Instance[]) {
      counted.bodies++;
      return made.body(these);
    },
  };
  return counted;
}

function ask(service: string, search: string) {
  const query = readQuery(`http://resolver/${search}`, OPERATIONS.service.parameters);
  return createQuestion("service", { namespace: "default", service }, filtersOf(query));
}

const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);

it("a body is made once for a revision, however the same filters are written", () => {
  const selections = createSelections(MIB, () => 0.5);
  const web = held("web", 7);
  const searches = ["?tag=big&tag=blue&meta.x=1&meta.y=2", "?meta.y=2&tag=blue&meta.x=1&tag=big&health=healthy-or-all"];
  const bodies = searches.map((search) => selections.body(web, ask("web", search), undefined));
  expect(web.bodies).toBe(1);
  expect(bodies[0]).toBe(bodies[1]);
  selections.body(web, ask("web", "?health=healthy-or-all"), undefined);
  selections.body(web, ask("web", ""), undefined);
  expect(web.bodies).toBe(2);
});

it("a body of another revision, epoch, service, filter or place is another", () => {
  const selections = createSelections(MIB, () => 0.5);
  const places = createPlaces(new Map());
  const asked = (of: Held, search: string, service = "web") =>
    text(selections.body(of, ask(service, search), places.of(ask(service, search).filters.near, { colo: "b-1" })));
  const other = [instance("c", { tags: ["blue"] })];
  expect(asked(held("web", 7), "?tag=blue")).toContain('"id":"a"');
  expect(asked(held("web", 8, other), "?tag=blue")).toContain('"id":"c"');
  expect(asked(held("web", 8, SOME, 2), "?tag=blue")).toContain('"id":"a"');
  expect(asked(held("api", 8, other, 2), "?tag=blue", "api")).toContain('"id":"c"');
  expect(asked(held("web", 8, SOME, 2), "?tag=blue&limit=1")).not.toContain('"id":"b"');
  expect(asked(held("web", 8, SOME, 2), "?limit=1&near=a-1")).toContain('"id":"a"');
  expect(asked(held("web", 8, SOME, 2), "?limit=1&near=auto")).toContain('"id":"b"');
});

it("bodies stay within their bound: what was used least recently goes, and what is too big is made each time", () => {
  const size = text(createSelections(MIB, () => 0).body(held("web", 1), ask("web", "?tag=blue"), undefined)).length;
  // Bodies have two thirds of it, and each some hundred bytes more than its text.
  const selections = createSelections(1.5 * (2 * size + 1500), () => 0.5);
  const [a, b, c] = [held("a", 1), held("b", 1), held("c", 1)];
  const get = (of: Held) => selections.body(of, ask(of.snapshot.service, "?tag=blue"), undefined);
  for (const of of [a, b, a, c, a, b]) get(of);
  expect([a.bodies, b.bodies, c.bodies]).toEqual([1, 2, 1]);
  const big = held(
    "big",
    1,
    Array.from({ length: 100 }, (_, index) => instance(`i${index}`, { tags: ["blue"] })),
  );
  expect(get(big)).toEqual(get(big));
  expect(big.bodies).toBe(2);
  get(a);
  expect(a.bodies).toBe(1);
});

it("what a pick chooses from is remembered without its snapshot, and picks out of the one that is held now", () => {
  const selections = createSelections(MIB, () => 0.99);
  const question = createQuestion("pick", { namespace: "default", service: "web" }, ask("web", "?tag=blue").filters);
  const byKey = createQuestion("pick-by-key", { namespace: "default", service: "web" }, question.filters);
  for (let round = 0; round < 2; round++) {
    const read = held("web", 7, structuredClone(SOME));
    expect(selections.pick(read, question, undefined, undefined)).toBe(read.snapshot.instances[1]);
    expect(read.snapshot.instances).toContain(selections.pick(read, byKey, undefined, "user-1"));
  }
  const none = createQuestion("pick", { namespace: "default", service: "web" }, ask("web", "?tag=red").filters);
  expect(selections.pick(held("web", 7), none, undefined, undefined)).toBeUndefined();
});

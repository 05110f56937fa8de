import { describe, expect, it } from "vitest";
import { openDocument } from "../../contract/envelope.ts";
import { decodeHead, encodeHead } from "../../contract/head.ts";
import { catalogKey, headKey, serviceKey } from "../../contract/redis-keys.ts";
import { decodeSnapshot, encodeSnapshot, type Instance } from "../../contract/snapshot.ts";
import { createVerifier, type Verification } from "../../contract/signature.ts";
import { systemClock } from "../../kernel/clock.ts";
import { REVISION_AHEAD_MAX } from "../../registrar/publisher/claim.ts";
import { COMMIT_SCRIPT } from "../../registrar/publisher/commit-script.ts";
import type { SnapshotStore } from "../../registrar/publisher/store.ts";
import { readText } from "../../registrar/publisher/read-script.ts";
import { createSeal, DOCUMENT_LIFE_MS, HEAD_LIFE_MS, type Seal } from "../../registrar/signing/seal.ts";
import { createSigning } from "../../registrar/signing/signing.ts";
import { readThroughout, startEdge } from "../support/edge.ts";
import { instance } from "../support/instance.ts";
import { publicKeyOf, publicTextOf, SIGNING_KEY, SIGNING_KEY_NEXT } from "../support/signing.ts";
import { until } from "../support/until.ts";
import type { TestNamespace } from "./fixture.ts";
import { live, setStage } from "./stage.ts";

const stage = setStage();
const HEAD = headKey("default");
const CATALOG = catalogKey("default");
const WEB = serviceKey("default", "web");
const verifier = createVerifier([publicKeyOf(SIGNING_KEY)]);

const signing = await createSigning({ signingKey: SIGNING_KEY }, systemClock);
const signingNext = await createSigning({ signingKey: SIGNING_KEY_NEXT }, systemClock);
/** Signs, and takes over from nobody whose key it does not know. */
const strict = await createSigning(
  { signingKey: SIGNING_KEY, publicKeys: [publicTextOf(SIGNING_KEY_NEXT)] },
  systemClock,
);

const textOf = async (key: string) => (await readText(stage.store, key)).text ?? "";
const put = (key: string, text: string) => stage.redis.cli("SET", key, text);

async function verified(key: string, kind: "head" | "catalog" | "service", name = ""): Promise<Verification> {
  return verifier.open(kind, "default", name, await textOf(key));
}

const idsOf = async (service: string) =>
  Object.fromEntries(((await stage.stored.snapshot(service))?.instances ?? []).map(({ id, status }) => [id, status]));

/** A namespace with two services, published and left by its publisher. */
async function leftBehind(options: Parameters<typeof stage.start>[1]): Promise<void> {
  const first = stage.start(stage.store, options);
  first.put("web", "1");
  first.put("api", "1");
  await live(first);
  await first.stop();
}

/** The next publisher, whose etcd has the same services. */
async function takenOver(options: Parameters<typeof stage.start>[1]): Promise<TestNamespace> {
  const next = stage.start(stage.store, { standby: true, revision: 2, ...options });
  next.put("web", "1");
  next.put("api", "1");
  next.lead();
  await live(next);
  return next;
}

describe("a publisher with a key", () => {
  it("signs head, catalog, snapshot and tombstone, each for as long as it is to be believed", async () => {
    const namespace = stage.start(stage.store, signing);
    namespace.put("web", "1");
    namespace.put("ended", "1");
    await live(namespace);
    namespace.remove("ended", "1");
    await live(namespace);
    const now = Date.now();
    const lives = {
      head: await verified(HEAD, "head"),
      catalog: await verified(CATALOG, "catalog"),
      snapshot: await verified(WEB, "service", "web"),
      tombstone: await verified(serviceKey("default", "ended"), "service", "ended"),
    };
    const lifeOf = (one: Verification) => (one.type === "valid" ? one.expiresAt - now : one.fault);
    const about = (ms: number) => expect.toSatisfy((life: number) => life > ms - 10_000 && life <= ms);
    expect(lifeOf(lives.head)).toEqual(about(HEAD_LIFE_MS));
    expect(lifeOf(lives.catalog)).toEqual(about(DOCUMENT_LIFE_MS));
    expect(lifeOf(lives.snapshot)).toEqual(about(DOCUMENT_LIFE_MS));
    expect(lifeOf(lives.tombstone)).toEqual(about(180_000));
    expect(await stage.stored.snapshot("web")).toMatchObject({ instances: [{ id: "1" }] });
  });

  it("signs everything again before it expires, though nothing changes, and not all at once", async () => {
    let aheadMs = 0;
    const clock = {
      ...systemClock,
      now: () => systemClock.now() + aheadMs,
      monotonic: () => systemClock.monotonic() + aheadMs,
    };
    const ownSigning = await createSigning({ signingKey: SIGNING_KEY }, clock);
    const namespace = stage.start(stage.store, { ...ownSigning, clock, auditIntervalMs: 10 * DOCUMENT_LIFE_MS });
    for (let index = 0; index < 120; index++) namespace.put(`s${index}`, "1");
    await live(namespace);
    const filled = await textOf(CATALOG);

    const beat = async () => {
      const before = (await stage.stored.head())?.heartbeatAt ?? 0;
      namespace.publisher.beat(clock.now());
      await until("the head is committed", async () => ((await stage.stored.head())?.heartbeatAt ?? 0) > before);
      await live(namespace);
      const after = await stage.stored.head();
      return after?.ring.entries.length ?? 0;
    };
    aheadMs = DOCUMENT_LIFE_MS / 2 - 60_000;
    expect(await beat()).toBe(0);
    aheadMs = (DOCUMENT_LIFE_MS * 5) / 8;
    const early = await beat();
    expect(early).toBeGreaterThan(10);
    expect(early).toBeLessThanOrEqual(50);
    for (let beats = 0; beats < 5; beats++) await beat();
    expect(await beat()).toBeLessThan(100);
    aheadMs = (DOCUMENT_LIFE_MS * 3) / 4;
    while ((await beat()) < 120);
    expect(await textOf(CATALOG)).not.toBe(filled);
    for (const key of ["s0", "s60", "s119"].map((name) => serviceKey("default", name))) {
      const { envelope } = openDocument(await textOf(key));
      expect(Number(envelope?.expiresAt)).toBeGreaterThan(clock.now() + DOCUMENT_LIFE_MS / 2);
    }
    const { envelope } = openDocument(await textOf(CATALOG));
    expect(Number(envelope?.expiresAt)).toBeGreaterThan(clock.now() + DOCUMENT_LIFE_MS / 2);
    // Once is enough.
    const { revision } = (await stage.stored.head()) ?? {};
    await beat();
    expect((await stage.stored.head())?.revision).toBe(revision);
  });

  it("stores no head without a signature, not even while it claims and fills", async () => {
    const heads: string[] = [];
    const watching: SnapshotStore = {
      ...stage.store,
      evaluate(script, keys, args) {
        if (script === COMMIT_SCRIPT && args[2]) heads.push(args[2]);
        return stage.store.evaluate(script, keys, args);
      },
    };
    const namespace = stage.start(watching, signing);
    namespace.put("web", "1");
    await live(namespace);
    expect(heads.length).toBeGreaterThan(1);
    for (const head of heads) {
      expect(await verifier.open("head", "default", "", head)).toMatchObject({ type: "valid" });
    }
  });

  it("does not claim what a later build has signed in a format of its own", async () => {
    await leftBehind(signing);
    const later = (await textOf(HEAD)).replace("signed:1", "signed:2");
    await put(HEAD, later);
    const next = stage.start(stage.store, signing);
    await until("the claim is refused", () => next.publisher.status().state === "refused");
    expect(next.publisher.status().lastError).toContain("format 2");
    expect(await textOf(HEAD)).toBe(later);
  });
});

describe("a change of keys", () => {
  it.each([
    ["signing is switched on", {}, signing],
    ["signing is switched off", signing, {}],
    ["the key is another one", signing, signingNext],
    ["nothing of it is", strict, strict],
    ["the key is another one, and the last one is known", signingNext, strict],
  ])("takes everything over where %s: its names, its revision, and what is held", async (_what, before, after) => {
    const first = stage.start(stage.store, before);
    first.put("web", "1");
    first.put("api", "1", {}, "lease-1");
    first.put("gone", "1");
    await live(first);
    first.expire("lease-1");
    await live(first);
    expect(await idsOf("api")).toEqual({ 1: "suspect" });
    await first.stop();
    const head = await stage.stored.head();

    const next = stage.start(stage.store, { standby: true, revision: 2, ...after });
    next.put("web", "1");
    next.lead();
    await live(next);
    expect(await idsOf("api")).toEqual({ 1: "suspect" });
    expect(await idsOf("gone")).toEqual({ 1: "suspect" });
    expect((await stage.stored.head())?.revision).toBeGreaterThan(head?.revision ?? Infinity);
    expect((await stage.stored.head())?.complete).toBe(true);
  });

  it("is no gap for a resolver that knows both keys, nor for one that knows the new one afterwards", async () => {
    const both = await startEdge(stage.redis.url, [SIGNING_KEY, SIGNING_KEY_NEXT].map(publicTextOf));
    const onlyLast = await startEdge(stage.redis.url, [publicTextOf(SIGNING_KEY)]);
    const first = stage.start(stage.store, signing);
    first.put("web", "1");
    first.put("api", "1");
    await live(first);
    const served = async () =>
      (await both.lookup("api")).status === 200 && (await onlyLast.lookup("web")).status === 200;
    await until("both are served", served);
    const reader = readThroughout(both, ["web", "api"]);
    const before = (await stage.stored.head())?.epoch;
    await first.stop();
    const next = await takenOver(signingNext);
    const after = (await stage.stored.head())?.epoch;
    await until("the new key's is served", () => reader.latest("web")?.epoch === after);
    next.put("web", "2");
    await until("its changes are", () => reader.latest("web")?.instances.has("2"));
    await reader.stop();
    expect(reader.faults()).toEqual([]);
    // Whoever was not told of the new key keeps what was signed with the last.
    expect(await onlyLast.lookup("web")).toMatchObject({ status: 200, epoch: before });

    const onlyNext = await startEdge(stage.redis.url, [publicTextOf(SIGNING_KEY_NEXT)]);
    await until("it is served with the new key alone", async () => (await onlyNext.lookup("web")).epoch === after);
    await Promise.all([both.close(), onlyNext.close(), onlyLast.close()]);
  });
});

describe("a publisher with public keys", () => {
  /** What is stored of web, with instances more that somebody wrote there: too many to depart at once without a hold. */
  async function smuggled(seal?: Seal): Promise<string> {
    const snapshot = decodeSnapshot(await textOf(WEB), "default", "web");
    const evil = ["a", "b", "c"].map((id): Instance => instance(`evil-${id}`, { address: "203.0.113.66" }));
    const document = encodeSnapshot({ ...snapshot, instances: [...evil, ...snapshot.instances] });
    return seal ? seal("service", "default", "web", document, 60_000) : document;
  }

  it("never signs what it finds in Redis without a good signature", async () => {
    await leftBehind(strict);
    const ofApi = await createSeal(SIGNING_KEY, systemClock);
    const { envelope } = openDocument(await textOf(WEB));
    for (const text of [
      await smuggled(),
      (await textOf(WEB)).replace(/\n.*/s, `\n${await smuggled()}`),
      await smuggled((_kind, namespace, _name, document, life) => ofApi("service", namespace, "api", document, life)),
      await smuggled((kind, namespace, name, document) => ofApi(kind, namespace, name, document, -1)),
    ]) {
      await put(WEB, text);
      const next = await takenOver(strict);
      expect(await idsOf("web")).toEqual({ 1: "up" });
      await next.stop();
    }
    expect(envelope).toBeDefined();
    // The way in is there: without public keys what has been written would be taken for an instance that has departed.
    await put(WEB, await smuggled());
    await takenOver(signing);
    expect(await idsOf("web")).toMatchObject({ "evil-a": "suspect", 1: "up" });
  });

  it.each([
    [
      "what publishing anew made of it",
      (revision: number) => revision + 40_000,
      (revision: number) => revision + 40_001,
    ],
    ["one that nothing honest reaches", () => 2 ** 51, () => 2 + REVISION_AHEAD_MAX + 1],
  ])(
    "takes over no head but one that was signed, and fills after its revision: %s",
    async (_what, claimed, expected) => {
      await leftBehind(strict);
      const stored = decodeHead(await textOf(HEAD), "default");
      const revision = claimed(stored.revision);
      await put(HEAD, encodeHead({ ...stored, revision, services: 7, confirmedAt: stored.confirmedAt + 1000 }));
      const next = await takenOver(strict);
      const head = await stage.stored.head();
      expect(head).toMatchObject({ complete: true, services: 2, revision: expected(stored.revision) });
      expect(head?.ring.floor).toBe(head?.revision);
      expect(head?.epoch).toBeGreaterThan(stored.epoch);
      expect(await verified(HEAD, "head")).toMatchObject({ type: "valid" });
      await next.stop();
    },
  );

  it("takes over an expired head, as it is after an outage of all publishers", async () => {
    await leftBehind(strict);
    const long = { ...systemClock, now: () => systemClock.now() + 2 * HEAD_LIFE_MS };
    const options = { signingKey: SIGNING_KEY, publicKeys: [publicTextOf(SIGNING_KEY)] };
    const next = stage.start(stage.store, { ...(await createSigning(options, long)), clock: long });
    await live(next);
    expect(await idsOf("web")).toEqual({ 1: "suspect" });
  });

  it("still leaves a Redis to the living publisher of another etcd, whose key it does not know", async () => {
    const other = stage.start(stage.store, { ...signingNext, identity: "identity-b" });
    await live(other);
    const before = await textOf(HEAD);
    const own = await createSigning({ signingKey: SIGNING_KEY, publicKeys: [publicTextOf(SIGNING_KEY)] }, systemClock);
    const next = stage.start(stage.store, own);
    await until("the claim is refused", () => next.publisher.status().state === "refused");
    expect(next.publisher.status().lastError).toContain("another etcd");
    expect(await textOf(HEAD)).toBe(before);
  });
});

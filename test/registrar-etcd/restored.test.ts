import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { createFollower, type Follower } from "../../registrar/etcd/follower.ts";
import type { Etcd, Operation } from "../../registrar/etcd/port.ts";
import { startTestEtcd } from "../support/etcd.ts";
import { startProxy, type Proxy } from "../support/proxy.ts";
import { until } from "../support/until.ts";
import { compact, connect, createMirror, parts, put, putEach, type Mirror } from "./fixture.ts";

// Backups made and restored by etcdctl, as an operator does it. The followers are cut off meanwhile, so that they come
// back to an etcd that has gone on.

/** Etcd hangs on the tokens of before, so a call with them takes this long to fail. */
const quick = { timeoutMs: 500 };

interface Followed {
  readonly follower: Follower;
  readonly mirror: Mirror;
  /** Revisions of the lists that it took for those of another history. */
  readonly reverted: readonly number[];
}

let server: Awaited<ReturnType<typeof startTestEtcd>>;
let proxy: Proxy;
let writer: Etcd;
let reader: Etcd;
let prefix: string;
let tests = 0;
const followers: Follower[] = [];

beforeAll(async () => {
  server = await startTestEtcd();
  proxy = await startProxy(server.port);
});
afterAll(async () => {
  await proxy?.close();
  await server?.close();
});

beforeEach(() => {
  prefix = `/fingerpost/default/restored-${++tests}-`;
  writer = connect(server.endpoint, server.user, quick);
  reader = connect(`http://127.0.0.1:${proxy.port}`, server.user, quick);
});
afterEach(async () => {
  await proxy.refuse(false);
  await Promise.all(followers.splice(0).map((follower) => follower.close()));
  await Promise.all([reader.close(), writer.close()]);
});

async function follow(below: string): Promise<Followed> {
  const reverted: number[] = [];
  const mirror = createMirror();
  const follower = createFollower({
    etcd: reader,
    prefix: below,
    sink: {
      ...mirror,
      restore(revision, wentBack) {
        if (wentBack) reverted.push(revision);
        mirror.restore(revision, wentBack);
      },
    },
    ...parts,
    // Short delays: how long a follower waits for its next try is not what is tested.
    random: () => 0.05,
  });
  followers.push(follower);
  follower.start();
  await until("the list is there", () => follower.isReady());
  return { follower, mirror, reverted };
}

async function write(followed: Followed, operation: Operation): Promise<number> {
  const { revision } = await writer.transact([], [operation]);
  await until("it is followed", () => followed.follower.revision() === revision);
  return revision;
}

const keysOf = ({ mirror }: Followed) => [...mirror.entries.keys()].toSorted();

async function cutOff(): Promise<void> {
  await proxy.refuse(true);
  proxy.reset();
}

test("a restored etcd is noticed, also by followers whose last revision it has passed again, a put or a delete", async () => {
  const ahead = `${prefix}ahead/`;
  const byPut = `${prefix}put/`;
  const byDelete = `${prefix}delete/`;
  await putEach(writer, [`${ahead}kept`, `${byPut}kept`, `${byDelete}kept`, `${byDelete}gone`]);
  const backup = await server.backUp(server.root);
  const [put_, delete_, ahead_] = [await follow(byPut), await follow(byDelete), await follow(ahead)];
  const lastPut = await write(put_, put(`${byPut}lost`));
  const lastDelete = await write(delete_, { type: "delete", key: `${byDelete}gone` });
  for (let count = 0; count < 20; count++) await write(ahead_, put(`${ahead}lost`));

  await cutOff();
  await server.kill();
  await backup.restore();
  await server.start();
  await until("etcd takes writes", () => writer.transact([], [put(`${byPut}new`)]));
  await putEach(writer, [`${byPut}new-2`, `${byDelete}new`]);
  const { revision } = await writer.get(prefix);
  expect(revision).toBeGreaterThan(Math.max(lastPut, lastDelete));
  expect(revision).toBeLessThan(ahead_.follower.revision());
  await proxy.refuse(false);

  await until("each was told of another history", () => {
    return [put_, delete_, ahead_].every(({ reverted }) => reverted.length > 0);
  });
  expect(keysOf(put_)).toEqual([`${byPut}kept`, `${byPut}new`, `${byPut}new-2`]);
  expect(keysOf(delete_)).toEqual([`${byDelete}gone`, `${byDelete}kept`, `${byDelete}new`]);
  expect(keysOf(ahead_)).toEqual([`${ahead}kept`]);
  await write(put_, put(`${byPut}later`));
  await write(delete_, put(`${byDelete}later`));
  await write(ahead_, put(`${ahead}later`));
  expect([put_, delete_, ahead_].map(({ mirror }) => mirror.restores())).toEqual([2, 2, 2]);
});

test.each<readonly [string, (key: string) => Operation]>([
  ["a put", (key) => put(key)],
  ["a delete", (key) => ({ type: "delete", key })],
])("after a mere cut of the line the watch goes on without a new list, %s being the last followed", async (_, last) => {
  await putEach(writer, [`${prefix}a`, `${prefix}b`]);
  const followed = await follow(prefix);
  await write(followed, last(`${prefix}b`));
  await cutOff();
  await putEach(writer, [`${prefix}c`]);
  await proxy.refuse(false);
  await until("the watch goes on", () => followed.mirror.entries.has(`${prefix}c`));
  expect(followed.mirror.restores()).toBe(1);
});

test("etcd tells a revision that it does not have yet from one that it has dropped", async () => {
  await writer.transact([], [put(`${prefix}a`)]);
  const { revision } = await writer.transact([], [put(`${prefix}b`)]);
  expect((await writer.get(`${prefix}a`, revision - 1)).entry?.modRevision).toBe(revision - 1);
  expect(await writer.get(`${prefix}b`, revision - 1)).toEqual({ entry: undefined, revision });
  await expect(writer.get(prefix, revision + 100)).rejects.toMatchObject({ code: "future" });
  await compact(server.endpoint, server.root, revision);
  await expect(writer.get(prefix, revision - 1)).rejects.toMatchObject({ code: "compacted" });
});

test("a token on which a restored etcd hangs is replaced by one Authenticate, and one that is only slow is kept", async () => {
  let authentications = 0;
  let refusals = 0;
  const etcd = connect(`http://127.0.0.1:${proxy.port}`, server.user, {
    ...quick,
    onAuthentication: () => authentications++,
    onRequest: (_method, code) => (refusals += code === "unauthenticated" ? 1 : 0),
  });
  const { revision } = await etcd.transact([], [put(`${prefix}a`)]);
  proxy.blackhole(true);
  await expect(etcd.get(prefix)).rejects.toMatchObject({ code: "unavailable" });
  proxy.blackhole(false);
  await until("it was asked without the token", () => refusals === 1);
  await until("etcd answers again", async () => (await etcd.get(prefix)).revision >= revision);
  expect(authentications).toBe(1);

  const backup = await server.backUp(server.root);
  await server.kill();
  await backup.restore();
  await server.start();
  await until("etcd answers after its restore", async () => (await etcd.get(`${prefix}a`)).entry);
  expect(authentications).toBe(2);
  await etcd.close();
});

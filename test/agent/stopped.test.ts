import { expect, it, onTestFinished } from "vitest";
import { instanceKey } from "../../contract/etcd-keys.ts";
import { startTestEtcd } from "../support/etcd.ts";
import { createRegistrarProcess } from "../support/registrar-process.ts";
import { until } from "../support/until.ts";
import { ref } from "./agent-on-memory.ts";
import { connect, entriesBelow, send, startRegistrar } from "./registrar.ts";

const SERVICE = "web";
const PREFIX = `/fingerpost/default/${SERVICE}/`;
const valid = { address: "10.0.0.1", port: 80, ttlSeconds: 600 };

it("an agent stopped past its TTL and woken registers again, and leaves what has moved to another meanwhile", async () => {
  const server = await startTestEtcd();
  onTestFinished(() => server.close());
  const root = connect(server, "root");
  onTestFinished(() => root.close());
  const first = await createRegistrarProcess({
    role: "agent",
    etcdEndpoint: server.endpoint,
    etcdUser: server.user,
    env: { FINGERPOST_LEASE_TTL_SECONDS: "5" },
  });
  onTestFinished(() => first.close());
  const other = await startRegistrar(server, { leaseTtlSeconds: 60 });
  onTestFinished(() => other.close());
  const pathOf = (id: string) => `/v1/services/${SERVICE}/instances/${id}`;
  const beat = async (url: string, id: string) =>
    (await send(url, { method: "POST", path: `${pathOf(id)}/heartbeat` })).status;

  await first.start();
  for (const id of ["stays", "moves", "goes"]) expect(await first.put(SERVICE, id, valid)).toBe(201);
  first.pause();
  await until("its leases have ended", async () => (await entriesBelow(root, PREFIX)).length === 0);
  for (const id of ["moves", "goes"]) {
    await send(other.url, { method: "PUT", path: pathOf(id), body: { ...valid, port: 81 } });
  }
  const moved = await entriesBelow(root, PREFIX);
  expect(moved).toHaveLength(2);
  first.resume();

  const stays = instanceKey(ref("stays", SERVICE));
  await until("it has registered again", async () => (await root.get(stays)).entry);
  await until("it has let go of what moved", async () => (await beat(first.url, "moves")) === 404);
  await first.delete(SERVICE, "goes");
  const after = await entriesBelow(root, PREFIX);
  expect(after.filter(({ key }) => key !== stays)).toEqual(moved);
  expect(await beat(first.url, "stays")).toBe(204);
  expect(await beat(other.url, "moves")).toBe(204);
});

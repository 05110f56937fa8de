import { createServer, type AddressInfo } from "node:net";
import { createClient } from "@redis/client";
import type * as redisClient from "@redis/client";
import { expect, onTestFinished, test, vi } from "vitest";
import { until } from "../support/until.ts";
import { startGateway } from "./gateway.ts";

vi.mock("@redis/client", async (original) => {
  const real = await original<typeof redisClient>();
  return { ...real, createClient: vi.fn<typeof real.createClient>(real.createClient) };
});

test("an attempt to reach a Redis that is away costs no set of commands of its own, which is megabytes", async () => {
  let attempts = 0;
  const server = createServer((socket) => {
    attempts++;
    socket.destroy();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", () => resolve()));
  const redisUrl = `redis://writer:secret@127.0.0.1:${(server.address() as AddressInfo).port}`;
  const readOnlyRedisUrl = redisUrl.replace("writer", "reader");
  const gateway = await startGateway({ redisUrl, readOnlyRedisUrl }, { waitUntilReady: false });
  onTestFinished(async () => {
    await gateway.close();
    server.close();
  });
  const made = vi.mocked(createClient).mock.calls.length;
  const before = attempts;
  await until("it has tried again", () => attempts >= before + 2 * made);
  expect(vi.mocked(createClient)).toHaveBeenCalledTimes(made);
});

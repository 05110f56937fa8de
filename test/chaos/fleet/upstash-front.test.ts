import { createServer } from "node:http";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { expect, it, onTestFinished } from "vitest";
import { seededRandom } from "../../support/random.ts";
import { startUpstashFront, type FrontMode } from "./upstash-front.ts";

const BODY = JSON.stringify({ result: "x".repeat(2000) });

async function setup() {
  const asked: string[] = [];
  const behind = createServer((request, answer) => {
    void request.toArray().then((chunks: Buffer[]) => {
      asked.push(
        `${request.method} ${request.url} ${request.headers.authorization} ${Buffer.concat(chunks).toString()}`,
      );
      answer.writeHead(200, { "content-type": "application/json" }).end(BODY);
    });
  }).listen(0, "127.0.0.1");
  await once(behind, "listening");
  const front = await startUpstashFront(`http://127.0.0.1:${(behind.address() as AddressInfo).port}`);
  const end = () => {
    behind.closeAllConnections();
    behind.close();
  };
  onTestFinished(async () => {
    end();
    await front.close();
  });
  const ask = async () => {
    const headers = { authorization: "Bearer t", connection: "close" };
    const body = '["GET","k"]';
    const response = await fetch(`http://127.0.0.1:${front.port}/pipeline`, { method: "POST", headers, body });
    return { status: response.status, retryAfter: response.headers.get("retry-after"), text: await response.text() };
  };
  const mode = (to: FrontMode, share = 1) => front.mode(to, share, seededRandom(5));
  return { front, ask, mode, asked, end };
}

it("passes requests and answers on as they are", async () => {
  const { ask, asked, front } = await setup();
  expect(await ask()).toEqual({ status: 200, retryAfter: null, text: BODY });
  expect(asked).toEqual(['POST /pipeline Bearer t ["GET","k"]']);
  expect(front.spoilt()).toBe(0);
});

it("answers with a status, or with garbage, and asks nothing behind it", async () => {
  const { ask, mode, asked, front } = await setup();
  mode({ type: "status", status: 429, retryAfterSeconds: 3 });
  expect(await ask()).toMatchObject({ status: 429, retryAfter: "3", text: expect.stringContaining("error") });
  mode({ type: "garbage" });
  const texts = [];
  for (let count = 0; count < 20; count++) texts.push((await ask()).text);
  expect(texts).not.toContain(BODY);
  expect(new Set(texts).size).toBeGreaterThan(4);
  expect(asked).toEqual([]);
  expect(front.spoilt()).toBe(21);
});

it("answers late, or cuts the answer off in the middle, once it was asked behind", async () => {
  const { ask, mode, asked } = await setup();
  mode({ type: "slow", delayMs: 80 });
  const fromMs = performance.now();
  expect((await ask()).text).toBe(BODY);
  expect(performance.now() - fromMs).toBeGreaterThanOrEqual(79);
  mode({ type: "cut" });
  await expect(ask()).rejects.toThrow(/terminated|fetch failed/);
  expect(asked).toHaveLength(2);
});

it("spoils the share it is told, and none of them once it passes", async () => {
  const { ask, mode, front } = await setup();
  mode({ type: "status", status: 500 }, 0.5);
  const statuses = [];
  for (let count = 0; count < 40; count++) statuses.push((await ask()).status);
  expect(new Set(statuses)).toEqual(new Set([200, 500]));
  expect(front.spoilt()).toBe(statuses.filter((status) => status === 500).length);
  mode({ type: "pass" });
  expect((await ask()).status).toBe(200);
});

it("ends the connection of who asks where nobody is behind it", async () => {
  const { ask, end } = await setup();
  end();
  await expect(ask()).rejects.toThrow(/terminated|fetch failed/);
});

import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { connect } from "node:net";
import { expect, onTestFinished, test } from "vitest";
import { createManualClock } from "../../support/clock.ts";
import { seededRandom } from "../../support/random.ts";
import { until } from "../../support/until.ts";
import type { FleetProcess } from "../fleet/fleet.ts";
import type { HistoryEvent } from "../history/event.ts";
import { createKeeper, TTL_SECONDS } from "./keeper.ts";
import { createListener } from "./listener.ts";
import type { Change } from "./plan.ts";
import { createRequests } from "./requests.ts";

/** Answers of an agent by its operation: a status, or nothing before the connection is cut. */
type Answers = Partial<Record<"PUT" | "heartbeat" | "drain" | "DELETE", readonly (number | "cut")[]>>;
const USUAL = { PUT: 200, heartbeat: 204, drain: 204, DELETE: 204 } as const;

/** Two agents that answer as they are told, since a real one cannot be made to lose just this answer. */
async function stage(answers: Answers = {}) {
  const left = new Map(Object.entries(answers).map(([operation, list]) => [operation, [...list]]));
  const asked: string[] = [];
  const agents = await Promise.all(
    [0, 1].map(async (index): Promise<FleetProcess> => {
      const server = createServer((request, response) => {
        const last = request.url?.split("/").at(-1) ?? "";
        const operation =
          request.method === "POST" ? (last as "heartbeat" | "drain") : (request.method as "PUT" | "DELETE");
        asked.push(`${operation} ${index}`);
        request.resume();
        const answer = left.get(operation)?.shift() ?? USUAL[operation];
        if (answer === "cut") request.socket.resetAndDestroy();
        else response.writeHead(answer).end();
      });
      await new Promise<void>((resolve) => server.listen({ host: "127.0.0.1", port: 0 }, resolve));
      onTestFinished(() => {
        server.closeAllConnections();
        server.close();
      });
      const { port } = server.address() as AddressInfo;
      return { name: `agent-${index}`, url: `http://127.0.0.1:${port}` } as FleetProcess;
    }),
  );
  const clock = createManualClock();
  const events: HistoryEvent[] = [];
  const recorder = { at: () => clock.monotonic(), record: (event: HistoryEvent) => void events.push(event), events };
  const requests = createRequests();
  const listener = createListener(process.pid, 0);
  const keeper = createKeeper({
    placement: { kind: "churn", service: "web", instance: "web-0", agent: 0, liveness: "heartbeat" },
    listener,
    agents,
    requests,
    clock,
    random: seededRandom(1),
    recorder: { ...recorder, close() {} },
  });
  onTestFinished(async () => {
    await keeper.close();
    requests.close();
  });
  keeper.begin();
  return {
    asked,
    events,
    keeper,
    act: (change: Change, agent = 0) => {
      keeper.act({ service: "web", instance: "web-0", change, agent, weight: 1 });
    },
    /** Lets time pass until it holds: each wait between two requests ends. */
    untilAfterTime: (what: string, probe: () => boolean) =>
      until(what, async () => {
        await clock.advance(500);
        return probe();
      }),
    advance: (ms: number) => clock.advance(ms),
    listens: () =>
      new Promise<boolean>((resolve) => {
        const socket = connect({ host: listener.address, port: listener.port() });
        socket.once("connect", () => resolve(true)).once("error", () => resolve(false));
        onTestFinished(() => void socket.destroy());
      }),
  };
}

test("an instance registers, beats three times in its TTL, and registers anew where its agent has forgotten it", async () => {
  const { asked, events, keeper, untilAfterTime, advance, listens } = await stage({ heartbeat: [204, 204, 404] });
  await until("it is registered", () => keeper.settled());
  expect(await listens()).toBe(true);
  for (let beats = 1; beats <= 3; beats++) {
    await advance((TTL_SECONDS * 1000) / 3);
    await until("it beats", () => asked.filter((one) => one === "heartbeat 0").length === beats);
  }
  await untilAfterTime("it is registered again", () => asked.filter((one) => one === "PUT 0").length === 2);
  await until("that is answered", () => keeper.settled());
  const generations = events.flatMap((event) =>
    event.type === "write" ? [[event.operation, event.generation, event.status]] : [],
  );
  expect(generations.slice(0, 5)).toEqual([
    ["register", 1, 200],
    ["heartbeat", 1, 204],
    ["heartbeat", 1, 204],
    ["heartbeat", 1, 404],
    ["register", 2, 200],
  ]);
});

test("a deregistration is repeated until it is known, and before anything else, and once more after doubt", async () => {
  const { asked, events, keeper, act, untilAfterTime, listens } = await stage({ DELETE: ["cut", 503, 204, 204] });
  await until("it is registered", () => keeper.settled());
  act("deregister");
  await until("it is asked for", () => asked.includes("DELETE 0"));
  expect(keeper.settled()).toBe(false);
  // Wanted back before it is gone.
  act("return");
  await untilAfterTime("it is registered again", () => asked.filter((one) => one === "PUT 0").length === 2);
  await until("that is answered", () => keeper.settled());
  const writes = events.filter((event) => event.type === "write");
  const told = writes.map(({ operation, status, error }) => `${operation} ${status ?? error}`);
  const expected = ["register 200", "deregister ECONNRESET", "deregister 503", "deregister 204", "deregister 204"];
  expect(told.filter((one) => !one.startsWith("heartbeat"))).toEqual([...expected, "register 200"]);
  expect(await listens()).toBe(true);
});

test("one that is deregistered for good takes no connections and asks nothing more", async () => {
  const { asked, keeper, act, untilAfterTime, advance, listens } = await stage();
  await until("it is registered", () => keeper.settled());
  act("deregister");
  await untilAfterTime("it is deregistered", () => keeper.settled());
  await until("it has stopped to listen", async () => !(await listens()));
  const before = asked.length;
  await advance(60_000);
  expect(asked.length).toBe(before);
});

test("it does not move while its old agent may yet take what was sent to it", async () => {
  const { asked, keeper, act, untilAfterTime } = await stage({ PUT: ["cut", "cut", 200] });
  await until("its registration was cut off", () => asked.length > 0);
  act("move", 1);
  await untilAfterTime("it has moved", () => asked.includes("PUT 1"));
  await until("that is answered", () => keeper.settled());
  expect(asked.slice(0, 4)).toEqual(["PUT 0", "PUT 0", "PUT 0", "PUT 1"]);
});

test("a crash closes its port and ends its requests at once; it returns at the same port", async () => {
  const { asked, events, keeper, act, advance, listens } = await stage();
  await until("it is registered", () => keeper.settled());
  act("crash");
  await until("it is gone", async () => !(await listens()));
  const before = asked.length;
  await advance(60_000);
  expect(asked.length).toBe(before);
  act("return");
  await until("it is registered again", () => asked.length > before && keeper.settled());
  expect(await listens()).toBe(true);
  expect(events.flatMap((event) => (event.type === "instance" ? [event.change] : []))).toEqual(["up", "crashed", "up"]);
});

test("one that drains goes on beating until its agent has removed it, and does not register again by itself", async () => {
  const { asked, keeper, act, untilAfterTime, advance, listens } = await stage({ heartbeat: [204, 404] });
  await until("it is registered", () => keeper.settled());
  act("drain");
  await until("it drains", () => keeper.settled());
  await untilAfterTime("it has been removed", () => asked.filter((one) => one === "heartbeat 0").length === 2);
  await until("it has stopped to listen", async () => {
    await advance(10);
    return !(await listens());
  });
  await advance(60_000);
  expect(asked.filter((one) => !one.startsWith("heartbeat"))).toEqual(["PUT 0", "drain 0"]);
});

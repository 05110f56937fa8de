import { execFile } from "node:child_process";
import { once } from "node:events";
import { createServer, type AddressInfo } from "node:net";
import { promisify } from "node:util";
import { describe, expect, it, onTestFinished } from "vitest";
import { systemClock } from "../../kernel/clock.ts";
import { createManualClock } from "../../test/support/clock.ts";
import { startSilentPort } from "../../test/support/silent-port.ts";
import { until } from "../../test/support/until.ts";
import { connect } from "./connect.ts";

const LONG_MS = 60_000;
const run = promisify(execFile);

async function listening() {
  let open = 0;
  const server = createServer((socket) => {
    open += 1;
    socket.on("close", () => (open -= 1));
    socket.on("error", () => {});
  });
  server.listen({ host: "127.0.0.1", port: 0 });
  await once(server, "listening");
  onTestFinished(() => void server.close());
  return { server, port: (server.address() as AddressInfo).port, open: () => open };
}

describe("a connection that is tried", () => {
  it("is answered where something listens, and closed again", async () => {
    const { port, open, server } = await listening();
    const accepted = once(server, "connection");
    expect(await connect({ ip: "127.0.0.1", port, timeoutMs: LONG_MS, clock: systemClock })).toBe("answered");
    await accepted;
    await until("it is closed", () => open() === 0);
  });

  it("is refused where nothing listens", async () => {
    const { port, server } = await listening();
    server.close();
    await once(server, "close");
    expect(await connect({ ip: "127.0.0.1", port, timeoutMs: LONG_MS, clock: systemClock })).toBe("refused");
  });

  it("is silent where nothing answers in time, and when it is given up", async () => {
    const silent = await startSilentPort();
    onTestFinished(() => silent.close());
    const clock = createManualClock();
    const target = { ip: "127.0.0.1", port: silent.port, timeoutMs: 1000, clock };
    let ended: unknown;
    const tried = connect(target).then((what) => (ended = what));
    await clock.advance(999);
    expect(ended).toBeUndefined();
    await clock.advance(1);
    expect(await tried).toBe("silent");
    const giveUp = new AbortController();
    const given = connect({ ...target, signal: giveUp.signal });
    giveUp.abort();
    expect(await given).toBe("silent");
    expect(await connect({ ...target, signal: giveUp.signal })).toBe("silent");
  });

  it("rejects when it cannot be tried, which says nothing of the other side", async () => {
    const { port } = await listening();
    // A process of its own, with so few file descriptors that some of the connections cannot even be tried.
    const { stdout } = await run("bash", [
      "-c",
      'ulimit -n 64; exec "$0" --input-type=module -e "$1"',
      ...script(port),
    ]);
    const { answered, resource_exhausted: exhausted, ...rest } = JSON.parse(stdout) as Record<string, number>;
    expect(answered).toBeGreaterThan(0);
    expect(exhausted).toBeGreaterThan(0);
    expect(rest).toEqual({});
  });
});

function script(port: number): [string, string] {
  const source = `
    import { connect } from ${JSON.stringify(new URL("connect.ts", import.meta.url))};
    import { systemClock as clock } from ${JSON.stringify(new URL("../../kernel/clock.ts", import.meta.url))};
    const once = () => connect({ ip: "127.0.0.1", port: ${port}, timeoutMs: ${LONG_MS}, clock }).catch(({ code }) => code);
    const counts = {};
    for (const what of await Promise.all(Array.from({ length: 100 }, once))) counts[what] = (counts[what] ?? 0) + 1;
    console.log(JSON.stringify(counts));
  `;
  return [process.execPath, source];
}
